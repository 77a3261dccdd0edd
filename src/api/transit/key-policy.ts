/** keys/:name/config, rotate, trim, and DELETE keys/:name, by Vault's rules. */
import { z } from 'zod';
import type { KeyPolicy, NamedKey } from '../../tokens/service.ts';
import { flag, integer, textOrInteger } from './field.ts';
import { Refusal } from '../fault.ts';
import { describeKey, keyAnswer, nextKindOf } from './key-type.ts';
import { noBody, type Reply } from '../route.ts';
import { autoRotateMsOf } from './keys.ts';
import { defineTransitRoute, nameOf, type TransitCall, type TransitRoute } from './call.ts';

const config = z.object({
  min_decryption_version: integer,
  min_encryption_version: integer,
  deletion_allowed: flag,
  exportable: flag,
  allow_plaintext_backup: flag,
  auto_rotate_period: textOrInteger,
});
const trim = z.object({ min_available_version: integer });

function requireKey(call: TransitCall): NamedKey {
  const key = call.tokens.findNamedKey(call.peer, call.token, nameOf(call));
  if (key === null) throw new Refusal(400, 'no existing key with that name could be found');
  return key;
}

function checkNumber(key: NamedKey, name: string, version: number, least: number): number {
  if (version < least || version > key.latestVersion)
    throw new Refusal(400, `field "${name}": expected ${least} to ${key.latestVersion}`);
  return version;
}

/**
 * 0 means 1 for decryption; for encryption, it means only the latest version unless the request names one.
 */
function policyOf(key: NamedKey, body: z.output<typeof config>): KeyPolicy {
  const { policy } = key;
  const decryption = body.min_decryption_version ?? policy.minDecryptionVersion;
  const encryption = body.min_encryption_version ?? policy.minEncryptionVersion;
  const least = Math.max(1, policy.minAvailableVersion);
  const minDecryptionVersion = checkNumber(
    key,
    'min_decryption_version',
    decryption === 0 ? 1 : decryption,
    least,
  );
  const minEncryptionVersion = checkNumber(key, 'min_encryption_version', encryption, 0);
  if (minEncryptionVersion !== 0 && minEncryptionVersion < minDecryptionVersion)
    throw new Refusal(400, 'min_encryption_version must not be below min_decryption_version');
  const autoRotateMs = autoRotateMsOf(body.auto_rotate_period) ?? policy.autoRotateMs;
  // A key type that cannot be created here cannot be rotated either.
  if (autoRotateMs > 0) nextKindOf(key);
  const deletionAllowed = body.deletion_allowed ?? policy.deletionAllowed;
  return { ...policy, minDecryptionVersion, minEncryptionVersion, deletionAllowed, autoRotateMs };
}

/** Both are decided at creation: a key that was not exportable must not become so. */
function refuseLoosening(key: NamedKey, body: z.output<typeof config>): void {
  if (body.exportable === true && !key.extractable)
    throw new Refusal(400, 'field "exportable": cannot be enabled for an existing key');
  if (body.allow_plaintext_backup === true)
    throw new Refusal(400, 'field "allow_plaintext_backup": not supported');
}

async function configure(call: TransitCall, body: z.output<typeof config>): Promise<Reply> {
  const key = requireKey(call);
  refuseLoosening(key, body);
  const changed = await call.tokens.configureNamedKey(call.peer, call.token, key.name, policyOf(key, body));
  return { data: describeKey(changed) };
}

async function rotate(call: TransitCall): Promise<Reply> {
  const { name } = requireKey(call);
  return { data: describeKey(await call.tokens.rotateNamedKey(call.peer, call.token, name)) };
}

async function trimVersions(call: TransitCall, body: z.output<typeof trim>): Promise<Reply> {
  const { name, policy } = requireKey(call);
  const wanted = body.min_available_version;
  if (wanted == null) throw new Refusal(400, 'missing min_available_version');
  if (policy.minEncryptionVersion === 0)
    throw new Refusal(
      400,
      'minimum available version cannot be set when minimum encryption version is not set',
    );
  const most = Math.min(policy.minEncryptionVersion, policy.minDecryptionVersion);
  if (wanted < Math.max(1, policy.minAvailableVersion))
    throw new Refusal(400, 'minimum available version cannot be decremented');
  if (wanted > most)
    throw new Refusal(
      400,
      'minimum available version cannot be higher than minimum encryption or decryption version',
    );
  const change = { minAvailableVersion: wanted };
  return { data: describeKey(await call.tokens.configureNamedKey(call.peer, call.token, name, change)) };
}

async function deleteKey(call: TransitCall): Promise<Reply> {
  const { name, policy } = requireKey(call);
  if (!policy.deletionAllowed) throw new Refusal(400, 'deletion is not allowed for this key');
  await call.tokens.deleteNamedKey(call.peer, call.token, name);
  return { empty: true };
}

export const KEY_POLICY_ROUTES: readonly TransitRoute[] = [
  defineTransitRoute({
    methods: ['POST', 'PUT'],
    path: '/keys/:name/config',
    summary: 'Change which versions of a key may be used, and whether it may be deleted',
    body: config,
    answer: keyAnswer,
    handle: configure,
  }),
  defineTransitRoute({
    methods: ['POST', 'PUT'],
    path: '/keys/:name/rotate',
    summary: 'Make the next version of a key',
    body: noBody,
    answer: keyAnswer,
    handle: rotate,
  }),
  defineTransitRoute({
    methods: ['POST', 'PUT'],
    path: '/keys/:name/trim',
    summary: 'Destroy the versions of a key that are older than one',
    body: trim,
    answer: keyAnswer,
    handle: trimVersions,
  }),
  defineTransitRoute({
    methods: ['DELETE'],
    path: '/keys/:name',
    summary: 'Destroy a key in all its versions',
    body: noBody,
    form: 'empty',
    handle: deleteKey,
  }),
];
