/**
 * Imports wrapped keys under a name, in the format of CKM_RSA_AES_KEY_WRAP: a fresh AES key under the token's
 * RSA key, and the key (PKCS#8, or a secret's bytes) under the AES key. The keeper unwraps both; this process
 * sees neither.
 */
import { SidekeyError } from '../../errors.ts';
import { WireWriter } from '../../wire/buffer.ts';
import { encodeBool, encodeUlong } from '../objects/attribute-value.ts';
import { CKA, CKK, CKM, CKO } from '../cryptoki.ts';
import type { Domain } from '../domain.ts';
import { generatePair } from '../objects/key-generation.ts';
import { findFamily, kindOfKey, sizeBitsOf, type KeyFamily } from './family.ts';
import { ownAttributes } from './maker.ts';
import { draftKey, keep, type Draft, type Maker } from '../objects/object-maker.ts';
import { buildAttributes, publicComponents } from '../objects/object-template.ts';
import type { CellId, Mechanism } from '../ports.ts';
import { isSecret } from './recipes.ts';
import type { NewNamedKey, NewNamedKeyKind, OaepHash } from '../service.ts';
import type { TokenRow } from '../store-port.ts';
import type { TokenObject } from '../objects/token-object.ts';

/** Not a name that Transit lets anybody create. */
export const WRAPPING_KEY = 'import/wrapping-key';
const WRAPPING_KEY_BITS = 4096;
/** Size of the AES key in between: what Vault's clients use. */
const EPHEMERAL_KEY_BITS = 256;

/** Makes the token's RSA key for imports. It can only unwrap. */
export async function makeWrappingKey(domain: Domain, token: TokenRow): Promise<TokenObject[]> {
  const common: [number, Buffer][] = [
    [CKA.TOKEN, encodeBool(true)],
    [CKA.LABEL, Buffer.from(WRAPPING_KEY)],
    [CKA.ID, domain.random(16)],
  ];
  const not = (...types: number[]) => types.map((type): [number, Buffer] => [type, encodeBool(false)]);
  const open = new Map([
    ...common,
    [CKA.MODULUS_BITS, encodeUlong(WRAPPING_KEY_BITS)] as const,
    ...not(CKA.ENCRYPT, CKA.VERIFY, CKA.VERIFY_RECOVER),
  ]);
  const hidden = new Map([
    ...common,
    [CKA.UNWRAP, encodeBool(true)] as const,
    ...not(CKA.DECRYPT, CKA.SIGN, CKA.SIGN_RECOVER, CKA.EXTRACTABLE),
  ]);
  const mechanism = { type: CKM.RSA_PKCS_KEY_PAIR_GEN, params: Buffer.alloc(0) };
  const templates = { public: open, private: hidden };
  const pair = await generatePair(domain, { token, session: null }, mechanism, templates, () => undefined);
  return [pair.public, pair.private];
}

export function findWrappingKey(domain: Domain, token: TokenRow): KeyFamily | null {
  return findFamily(domain.objects, { tokenId: token.id, client: null, seesPrivate: true }, WRAPPING_KEY);
}

const KEY_TYPES: Readonly<Record<NewNamedKeyKind['kind'], number>> = {
  ...{
    aes: CKK.AES,
    chacha20: CKK.CHACHA20,
    generic: CKK.GENERIC_SECRET,
    rsa: CKK.RSA,
    ec: CKK.EC,
    ed25519: CKK.EC_EDWARDS,
    'ml-dsa': CKK.ML_DSA,
  },
};

export interface ImportedVersion extends NewNamedKey {
  readonly name: string;
  readonly version: number;
  readonly like: KeyFamily | null;
  readonly wrapped: Buffer;
  readonly hash: OaepHash;
}

function unwrapping({ hash, mgf }: OaepHash): Mechanism {
  const writer = new WireWriter().u32(EPHEMERAL_KEY_BITS).u64(hash).u64(mgf).bytes(Buffer.alloc(0));
  return { type: CKM.RSA_AES_KEY_WRAP, params: writer.done() };
}

function sizeOf(kind: NewNamedKeyKind): number {
  return kind.kind === 'ed25519' ? 255 : kind.sizeBits;
}

/** The keeper has verified that the key has the declared type. Its size is checked here. */
function checkSize({ kind }: ImportedVersion, { object }: Draft): void {
  const made = { ...object, handle: 0 };
  if (kindOfKey(made) === kind.kind && (kind.kind === 'generic' || sizeBitsOf(made) === sizeOf(kind))) return;
  throw new SidekeyError('key_size_range', 'the size of the key does not match its type');
}

async function draftPublic(
  domain: Domain,
  maker: Maker,
  common: [number, Buffer][],
  hidden: Draft,
): Promise<Draft> {
  const components = publicComponents(hidden.object.attributes);
  const template = new Map([
    ...common,
    ...components.map(({ type, value }): [number, Buffer] => [type, value]),
  ]);
  const keyType = hidden.object.attributes.get(CKA.KEY_TYPE)?.readUInt32LE() ?? 0;
  const objectClass = CKO.PUBLIC_KEY;
  const attributes = buildAttributes({ origin: 'create', objectClass, keyType, template });
  const info = hidden.object.attributes.get(CKA.PUBLIC_KEY_INFO);
  if (info !== undefined) attributes.set(CKA.PUBLIC_KEY_INFO, info);
  return draftKey(domain, maker, attributes, { origin: 'create' }, (key) =>
    domain.keeper.importComponents(key, components),
  );
}

/** Durable when it resolves. wrapped_key_invalid if it cannot be unwrapped, or is not a key of this kind. */
export async function importVersion(
  domain: Domain,
  token: TokenRow,
  by: CellId,
  wanted: ImportedVersion,
): Promise<TokenObject[]> {
  const { name, kind, exportable, wrapped, hash } = wanted;
  const maker = { token, session: null, own: ownAttributes(wanted) };
  const common: [number, Buffer][] = [
    [CKA.TOKEN, encodeBool(true)],
    [CKA.LABEL, Buffer.from(name)],
    [CKA.ID, domain.random(16)],
  ];
  const secret = isSecret(kind);
  const attributes = buildAttributes({
    origin: 'unwrap',
    objectClass: secret ? CKO.SECRET_KEY : CKO.PRIVATE_KEY,
    keyType: KEY_TYPES[kind.kind],
    template: new Map([
      ...common,
      [CKA.SENSITIVE, encodeBool(true)],
      [CKA.EXTRACTABLE, encodeBool(exportable)],
    ]),
  });
  const hidden = await draftKey(domain, maker, attributes, { origin: 'unwrap' }, (key) =>
    domain.keeper.unwrap(key, by, unwrapping(hash), wrapped, null),
  );
  try {
    checkSize(wanted, hidden);
    const shown = secret ? [] : [await draftPublic(domain, maker, common, hidden)];
    return await keep(domain, maker, [...shown, hidden]);
  } catch (error) {
    if (hidden.cell !== null) domain.cells.drop(hidden.cell);
    throw error;
  }
}
