/** wrapping_key, keys/:name/import and import_version: imports keys that were wrapped for the token. */
import { createPublicKey } from 'node:crypto';
import { z } from 'zod';
import type { NamedKey } from '../../tokens/service.ts';
import { decodeBase64 } from '../base64.ts';
import { flag, integer, text, textOrInteger } from './field.ts';
import { Refusal } from '../fault.ts';
import { findHash } from './hash-algorithm.ts';
import { kindOfImport, nextKindOf } from './key-type.ts';
import { noBody, type Reply } from '../route.ts';
import { defineTransitRoute, nameOf, type TransitCall, type TransitRoute } from './call.ts';
import { autoRotateMsOf, NEW_NAME, refuseUnsupported } from './keys.ts';

const material = z.object({ ciphertext: text, hash_function: text, public_key: text });
const first = material.extend({
  type: text,
  exportable: flag,
  derived: flag,
  allow_rotation: flag,
  convergent_encryption: flag,
  allow_plaintext_backup: flag,
  auto_rotate_period: textOrInteger,
  context: text,
});
const next = material.extend({ version: integer });

/** For RSA-OAEP, by Vault's names. */
const HASH_FUNCTIONS: Readonly<Record<string, string>> = {
  SHA1: 'sha1',
  SHA224: 'sha2-224',
  SHA256: 'sha2-256',
  SHA384: 'sha2-384',
  SHA512: 'sha2-512',
};

function readMaterial(body: z.output<typeof material>) {
  if (body.public_key) throw new Refusal(400, 'field "public_key": not supported');
  if (!body.ciphertext) throw new Refusal(400, 'missing ciphertext');
  const name = body.hash_function || 'SHA256';
  const hash = Object.hasOwn(HASH_FUNCTIONS, name) ? HASH_FUNCTIONS[name] : undefined;
  if (hash === undefined) throw new Refusal(400, 'unsupported hash function');
  return { wrapped: decodeBase64(body.ciphertext), hash: findHash(hash).mechanisms };
}

function findKey(call: TransitCall): NamedKey | null {
  return call.tokens.findNamedKey(call.peer, call.token, nameOf(call));
}

async function importKey(call: TransitCall, body: z.output<typeof first>): Promise<Reply> {
  refuseUnsupported(body);
  if (body.derived === true) throw new Refusal(400, 'field "derived": not supported for imported keys');
  const name = nameOf(call);
  const kind = kindOfImport(body.type || 'aes256-gcm96');
  const autoRotateMs = autoRotateMsOf(body.auto_rotate_period) ?? 0;
  const exportable = body.exportable ?? false;
  const wanted = { ...readMaterial(body), kind, exportable, derived: false, autoRotateMs };
  if (findKey(call) !== null)
    throw new Refusal(400, 'the key already exists: use import_version to add a version to an imported key');
  if (!NEW_NAME.test(name)) throw new Refusal(400, 'a key name is of letters, digits, "_", "-" and "."');
  await call.tokens.importNamedKey(call.peer, call.token, name, wanted, false);
  return { empty: true };
}

async function importNext(call: TransitCall, body: z.output<typeof next>): Promise<Reply> {
  const key = findKey(call);
  if (key === null) throw new Refusal(404);
  if (!key.imported) throw new Refusal(400, 'import_version is for keys that were imported');
  if (body.version != null) throw new Refusal(400, 'field "version": not supported');
  const { extractable: exportable } = key;
  const wanted = { ...readMaterial(body), kind: nextKindOf(key), exportable, derived: false };
  await call.tokens.importNamedKey(call.peer, call.token, key.name, wanted, true);
  return { empty: true };
}

async function wrappingKey(call: TransitCall): Promise<Reply> {
  const der = await call.tokens.wrappingKey(call.peer, call.token);
  const pem = createPublicKey({ key: der, format: 'der', type: 'spki' }).export({
    format: 'pem',
    type: 'spki',
  });
  return { data: { public_key: pem.toString() } };
}

export const IMPORT_ROUTES: readonly TransitRoute[] = [
  defineTransitRoute({
    methods: ['GET'],
    path: '/wrapping_key',
    summary: 'The RSA key that keys are wrapped with to be imported',
    body: noBody,
    answer: z.object({ public_key: z.string() }),
    handle: wrappingKey,
  }),
  defineTransitRoute({
    methods: ['POST', 'PUT'],
    path: '/keys/:name/import',
    summary: 'Make a key of material that was wrapped with the wrapping key',
    body: first,
    form: 'empty',
    handle: importKey,
  }),
  defineTransitRoute({
    methods: ['POST', 'PUT'],
    path: '/keys/:name/import_version',
    summary: 'Make the next version of an imported key of wrapped material',
    body: next,
    form: 'empty',
    handle: importNext,
  }),
];
