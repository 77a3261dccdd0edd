/** export/:type/:name: public keys of pairs, and the material of exportable keys. */
import { createPrivateKey } from 'node:crypto';
import { z } from 'zod';
import type { NamedKey, NamedKeyVersion } from '../../tokens/service.ts';
import { Refusal } from '../fault.ts';
import { describePublicKey, typeNameOf } from './key-type.ts';
import { noBody, type Reply } from '../route.ts';
import { encodeBase64, encodePem, joinAndWipe } from '../secret-text.ts';
import { defineTransitRoute, nameOf, type TransitCall, type TransitRoute } from './call.ts';

const answer = z.object({
  name: z.string(),
  type: z.string(),
  /** By version number. */
  keys: z.record(z.string(), z.string()),
});

const KINDS: Readonly<Record<string, readonly NamedKey['kind'][]>> = {
  'encryption-key': ['aes', 'chacha20', 'rsa'],
  'signing-key': ['rsa', 'ec', 'ed25519'],
  // For type hmac the key itself, for others the secret that accompanies it (hmac.ts).
  'hmac-key': ['generic', 'aes', 'chacha20', 'rsa', 'ec', 'ed25519', 'ml-dsa'],
  'public-key': ['rsa', 'ec', 'ed25519', 'x25519', 'ml-dsa'],
};

const RAW_25519_BYTES = 32;

function der(pkcs8: Buffer, type: 'pkcs1' | 'sec1'): Buffer {
  return createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' }).export({ format: 'der', type });
}

/** Seed followed by public key, as in Go and Vault. PKCS#8 of RFC 8410 ends with the seed. */
function ed25519Key(pkcs8: Buffer, { publicKeyInfo }: NamedKeyVersion): Buffer {
  const shown = publicKeyInfo?.subarray(-RAW_25519_BYTES) ?? Buffer.alloc(0);
  const whole = joinAndWipe([Buffer.from(pkcs8.subarray(-RAW_25519_BYTES)), Buffer.from(shown)]);
  const text = encodeBase64(whole);
  whole.fill(0);
  return text;
}

function pemOf(label: string, bytes: Buffer): Buffer {
  const text = encodePem(label, bytes);
  bytes.fill(0);
  return text;
}

/** The material as text, by kind, in Vault's formats. */
const FORMS: Readonly<
  Partial<Record<NamedKey['kind'], (material: Buffer, version: NamedKeyVersion) => Buffer>>
> = {
  aes: encodeBase64,
  chacha20: encodeBase64,
  generic: encodeBase64,
  rsa: (pkcs8) => pemOf('RSA PRIVATE KEY', der(pkcs8, 'pkcs1')),
  ec: (pkcs8) => pemOf('EC PRIVATE KEY', der(pkcs8, 'sec1')),
  ed25519: ed25519Key,
};

function chooseVersions(call: TransitCall, key: NamedKey): readonly NamedKeyVersion[] {
  const asked = call.params['version'];
  const allowed = key.versions.filter(({ version }) => version >= key.policy.minDecryptionVersion);
  if (asked === undefined) return allowed;
  const number = asked === 'latest' ? key.latestVersion : Number(asked);
  const chosen = allowed.filter(({ version }) => version === number);
  if (chosen.length === 0) throw new Refusal(400, 'version does not exist or cannot be found');
  return chosen;
}

function exportPublic(key: NamedKey, versions: readonly NamedKeyVersion[]): Reply {
  const keys = versions.map((each) => [each.version, describePublicKey(key, each)]);
  return { data: { name: key.name, type: typeNameOf(key), keys: Object.fromEntries(keys) } };
}

async function exportSecret(
  call: TransitCall,
  key: NamedKey,
  versions: readonly NamedKeyVersion[],
  isBeside: boolean,
): Promise<Reply> {
  if (!key.extractable) throw new Refusal(400, 'private key material is not exportable');
  const form = isBeside ? encodeBase64 : FORMS[key.kind];
  const beside = isBeside ? ({ beside: 'hmac' } as const) : {};
  if (form === undefined) throw new Refusal(400, 'private key material is not exportable');
  const parts: Buffer[] = [];
  for (const each of versions) {
    const wanted = { version: each.version, ...beside };
    const material = await call.tokens.exportNamedKey(call.peer, call.token, key.name, wanted);
    const comma = parts.length === 0 ? '' : ',';
    parts.push(Buffer.from(`${comma}"${each.version}":"`), form(material, each), Buffer.from('"'));
    material.fill(0);
  }
  const head = `{"name":${JSON.stringify(key.name)},"type":"${typeNameOf(key)}","keys":{`;
  return { secret: joinAndWipe([Buffer.from(head), ...parts, Buffer.from('}}')]) };
}

function exportKey(call: TransitCall): Reply | Promise<Reply> {
  const type = call.params['type'] ?? '';
  const kinds = Object.hasOwn(KINDS, type) ? KINDS[type] : undefined;
  if (kinds === undefined) throw new Refusal(400, 'invalid export type');
  const key = call.tokens.findNamedKey(call.peer, call.token, nameOf(call));
  if (key === null) throw new Refusal(404);
  if (!kinds.includes(key.kind)) throw new Refusal(400, `key type ${typeNameOf(key)} has no ${type}`);
  const versions = chooseVersions(call, key);
  if (type === 'public-key') return exportPublic(key, versions);
  return exportSecret(call, key, versions, type === 'hmac-key' && key.kind !== 'generic');
}

export const EXPORT_ROUTES: readonly TransitRoute[] = ['', '/:version'].map((version) =>
  defineTransitRoute({
    methods: ['GET'],
    path: `/export/:type/:name${version}`,
    summary: 'The material of a key that was made exportable, or a public key',
    body: noBody,
    answer,
    handle: exportKey,
  }),
);
