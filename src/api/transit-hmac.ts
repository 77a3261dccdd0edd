/**
 * hmac/:name. In Vault every key has an HMAC key beside it; here a key is one PKCS#11 object, so that only keys of type
 * hmac (generic secrets) do this, and others are refused.
 */
import { z } from 'zod';
import type { Mechanism } from '../tokens/ports.ts';
import type { NamedKey } from '../tokens/service.ts';
import { decodeBase64 } from './base64.ts';
import { answerItems, batchOf } from './batch.ts';
import { integer, text } from './field.ts';
import { Refusal } from './fault.ts';
import { DEFAULT_HASH, findHash, mechanismsOf } from './hash-algorithm.ts';
import { typeNameOf } from './key-type.ts';
import { plainMechanism } from './mechanism.ts';
import {
  defineTransitRoute,
  isVerified,
  operate,
  requireKey,
  type TransitCall,
  type TransitRoute,
} from './transit-call.ts';
import { checkVersion, formatVersioned, LATEST_VERSION, parseVersioned } from './versioned.ts';

const item = z.object({ input: text, key_version: integer, reference: text });
const body = item.extend({ algorithm: text, ...batchOf(item) });

function requireMechanism(key: NamedKey, hash: string): Mechanism {
  if (key.kind !== 'generic')
    throw new Refusal(400, `key type ${typeNameOf(key)} has no HMAC key: hmac is for keys of type hmac`);
  return plainMechanism(mechanismsOf(findHash(hash)).hmac);
}

async function makeHmac(
  call: TransitCall,
  key: NamedKey,
  mechanism: Mechanism,
  { input, key_version }: z.output<typeof item>,
): Promise<object> {
  if (input == null) throw new Refusal(400, 'missing input for HMAC');
  checkVersion(key_version ?? undefined);
  const mac = await operate(call, key, 'sign', mechanism, decodeBase64(input));
  return { hmac: formatVersioned(mac.toString('base64')), key_version: LATEST_VERSION };
}

/** For verify/:name with `hmac`. */
export function isHmacValid(
  call: TransitCall,
  key: NamedKey,
  hash: string,
  input: Buffer,
  hmac: string,
): Promise<boolean> {
  const mac = decodeBase64(parseVersioned(hmac, 'HMAC'));
  return isVerified(call, key, requireMechanism(key, hash), input, mac);
}

function handle(call: TransitCall, request: z.output<typeof body>) {
  const key = requireKey(call);
  const mechanism = requireMechanism(key, call.params['algorithm'] ?? request.algorithm ?? DEFAULT_HASH);
  return answerItems(request, (each) => makeHmac(call, key, mechanism, each));
}

export const HMAC_ROUTES: readonly TransitRoute[] = ['/hmac/:name', '/hmac/:name/:algorithm'].map((path) =>
  defineTransitRoute({ methods: ['POST', 'PUT'], path, body, handle }),
);
