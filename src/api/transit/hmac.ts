/**
 * hmac/:name. A key of type hmac is used directly; every other kind is accompanied by a separate HMAC secret,
 * as in Vault, created on first use.
 */
import { z } from 'zod';
import type { NamedKey, NamedKeyUse } from '../../tokens/service.ts';
import { decodeBase64 } from '../base64.ts';
import { answerJobs, type KeyJob } from './key-jobs.ts';
import { batchAnswer, batchOf } from './batch.ts';
import { integer, text } from './field.ts';
import { Refusal } from '../fault.ts';
import { DEFAULT_HASH, findHash } from './hash-algorithm.ts';
import { plainMechanism } from '../mechanism.ts';
import { defineTransitRoute, isVerified, requireKey, type TransitCall, type TransitRoute } from './call.ts';
import { formatVersioned, parseVersioned, versionToUse } from './versioned.ts';

const item = z.object({ input: text, key_version: integer, reference: text });
const body = item.extend({ algorithm: text, ...batchOf(item) });
const answer = batchAnswer(z.object({ hmac: z.string() }));

function useOf(key: NamedKey, hash: string, version: number): Omit<NamedKeyUse, 'operation'> {
  const mechanism = plainMechanism(findHash(hash).mechanisms.hmac);
  return { mechanism, version, ...(key.kind === 'generic' ? {} : { beside: 'hmac' }) };
}

function hmacJob(key: NamedKey, hash: string, { input, key_version }: z.output<typeof item>): KeyJob {
  if (input == null) throw new Refusal(400, 'missing input for HMAC');
  const version = versionToUse(key, key_version);
  const use = { ...useOf(key, hash, version), operation: 'sign' } as const;
  const finish = (mac: Buffer): object => ({ hmac: formatVersioned(version, mac.toString('base64')) });
  return { use, data: decodeBase64(input), finish };
}

/** For verify/:name with `hmac`. */
export function isHmacValid(
  call: TransitCall,
  key: NamedKey,
  hash: string,
  input: Buffer,
  hmac: string,
): Promise<boolean> {
  const { version, body: mac } = parseVersioned(key, hmac, 'HMAC');
  return isVerified(call, key, useOf(key, hash, version), input, decodeBase64(mac));
}

function handle(call: TransitCall, request: z.output<typeof body>) {
  const key = requireKey(call);
  const hash = call.params['algorithm'] ?? (request.algorithm || DEFAULT_HASH);
  return answerJobs(call, key, request, (each) => hmacJob(key, hash, each), { status: 200, row: {} });
}

export const HMAC_ROUTES: readonly TransitRoute[] = ['/hmac/:name', '/hmac/:name/:algorithm'].map((path) =>
  defineTransitRoute({ methods: ['POST', 'PUT'], path, summary: 'Make an HMAC', body, answer, handle }),
);
