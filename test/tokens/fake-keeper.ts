/**
 * The keeper's port in this process, with node:crypto: it really generates, seals, opens, wraps and signs, and refuses what
 * the keeper refuses. Test code may look into its cells; the domain cannot.
 */
import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  createPrivateKey,
  createPublicKey,
  decapsulate,
  encapsulate,
  generateKeyPairSync,
  randomBytes,
} from 'node:crypto';
import { SidekeyError } from '../../src/errors.ts';
import { decodeTemplate, encodeAttributes, encodeUlong } from '../../src/tokens/objects/attribute-value.ts';
import { CKA, CKK, CKM, CKO } from '../../src/tokens/cryptoki.ts';
import { outcomeOf } from '../../src/tokens/outcome.ts';
import type {
  Binding,
  CellId,
  CellSeen,
  ClientId,
  ClientSeen,
  Keeper,
  KeeperItem,
  MadeKey,
  Mechanism,
  MechanismRow,
  NewKey,
  NoncedItems,
  Outcome,
  Template,
} from '../../src/tokens/ports.ts';
import { WireReader } from '../../src/wire/buffer.ts';
import { eachNonced } from './nonced-items.ts';

interface Cell {
  readonly key: NewKey;
  readonly components: Map<number, Buffer>;
  note: Buffer | null;
}

const SECRET: readonly number[] = [CKA.VALUE, CKA.SEED, 0x123, 0x124, 0x125, 0x126, 0x127, 0x128];
export const P256 = Buffer.from('06082a8648ce3d030107', 'hex');
export const AES_KEY_WRAP = 0x2109;
const SPKI = { format: 'der', type: 'spki' } as const;

const row = (type: number, name: string, keyType: number | null, flags: number): MechanismRow => ({
  ...{ type, name, keyType, flags },
  min: 0,
  max: 4096,
  standing: 'approved',
});
export const MECHANISMS: readonly MechanismRow[] = [
  row(CKM.AES_KEY_GEN, 'CKM_AES_KEY_GEN', CKK.AES, 0x8000),
  row(CKM.AES_GCM, 'CKM_AES_GCM', CKK.AES, 0x300),
  row(AES_KEY_WRAP, 'CKM_AES_KEY_WRAP', CKK.AES, 0x60000),
  row(CKM.GENERIC_SECRET_KEY_GEN, 'CKM_GENERIC_SECRET_KEY_GEN', CKK.GENERIC_SECRET, 0x8000),
  row(CKM.SHA256_HMAC, 'CKM_SHA256_HMAC', CKK.GENERIC_SECRET, 0x2800),
  row(CKM.SHA512_HMAC, 'CKM_SHA512_HMAC', CKK.GENERIC_SECRET, 0x2800),
  row(CKM.EC_KEY_PAIR_GEN, 'CKM_EC_KEY_PAIR_GEN', CKK.EC, 0x10000),
  row(0x1044, 'CKM_ECDSA_SHA256', CKK.EC, 0x2800),
  row(CKM.ECDH1_DERIVE, 'CKM_ECDH1_DERIVE', CKK.EC, 0x80000),
  row(CKM.RSA_PKCS_KEY_PAIR_GEN, 'CKM_RSA_PKCS_KEY_PAIR_GEN', CKK.RSA, 0x10000),
  row(1, 'CKM_RSA_PKCS', CKK.RSA, 0x62b00),
  row(0x09, 'CKM_RSA_PKCS_OAEP', CKK.RSA, 0x60300),
  row(0x40, 'CKM_SHA256_RSA_PKCS', CKK.RSA, 0x2800),
  row(0x43, 'CKM_SHA256_RSA_PKCS_PSS', CKK.RSA, 0x2800),
  row(0x45, 'CKM_SHA512_RSA_PKCS_PSS', CKK.RSA, 0x2800),
  row(0x1041, 'CKM_ECDSA', CKK.EC, 0x2800),
  row(0x1045, 'CKM_ECDSA_SHA384', CKK.EC, 0x2800),
  row(CKM.EC_EDWARDS_KEY_PAIR_GEN, 'CKM_EC_EDWARDS_KEY_PAIR_GEN', CKK.EC_EDWARDS, 0x10000),
  row(0x1057, 'CKM_EDDSA', CKK.EC_EDWARDS, 0x2800),
  row(CKM.ML_KEM_KEY_PAIR_GEN, 'CKM_ML_KEM_KEY_PAIR_GEN', CKK.ML_KEM, 0x10000),
  row(CKM.ML_KEM, 'CKM_ML_KEM', CKK.ML_KEM, 0x30000000),
  row(CKM.ML_DSA_KEY_PAIR_GEN, 'CKM_ML_DSA_KEY_PAIR_GEN', CKK.ML_DSA, 0x10000),
  row(CKM.ML_DSA, 'CKM_ML_DSA', CKK.ML_DSA, 0x2800),
];

function unbase64(text: string | undefined): Buffer {
  return Buffer.from(text ?? '', 'base64url');
}

/** ML-KEM-768 and ML-DSA-65, by their seeds. */
const SEEDED: Readonly<Record<number, 'ml-kem-768' | 'ml-dsa-65'>> = {
  [CKM.ML_KEM_KEY_PAIR_GEN]: 'ml-kem-768',
  [CKM.ML_DSA_KEY_PAIR_GEN]: 'ml-dsa-65',
};

function makeSeeded(name: 'ml-kem-768' | 'ml-dsa-65'): [number, Buffer][] {
  const { privateKey, publicKey } = generateKeyPairSync(name as 'ml-kem-768');
  return [
    [CKA.PARAMETER_SET, encodeUlong(2)],
    [CKA.SEED, privateKey.export({ format: 'raw-seed' })],
    [CKA.PUBLIC_KEY_INFO, publicKey.export({ format: 'der', type: 'spki' })],
  ];
}

function makePair(mechanism: number): [number, Buffer][] {
  const seeded = SEEDED[mechanism];
  if (seeded !== undefined) return makeSeeded(seeded);
  if (mechanism === CKM.EC_KEY_PAIR_GEN) {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const { d, x, y } = privateKey.export({ format: 'jwk' });
    const point = Buffer.concat([Buffer.of(4, 65, 4), unbase64(x), unbase64(y)]);
    return [
      [CKA.VALUE, unbase64(d)],
      [CKA.EC_PARAMS, P256],
      [CKA.EC_POINT, point],
    ];
  }
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const { n, e, d } = privateKey.export({ format: 'jwk' });
  return [
    [CKA.PUBLIC_KEY_INFO, publicKey.export({ format: 'der', type: 'spki' })],
    [CKA.MODULUS, unbase64(n)],
    [CKA.PUBLIC_EXPONENT, unbase64(e)],
    [CKA.PRIVATE_EXPONENT, unbase64(d)],
  ];
}

export class FakeKeeper implements Keeper {
  pid: number | null = 1;
  opens = 0;
  readonly bindings = new Map<string, Binding>();
  readonly unbound: string[] = [];
  readonly held = new Map<CellId, Cell>();
  readonly connected = new Map<ClientId, ClientSeen>();
  /** Components of routed create requests, by request ID. */
  readonly material = new Map<bigint, Template>();
  #next = 1n;

  #cell(id: CellId): Cell {
    const cell = this.held.get(id);
    if (cell === undefined) throw new SidekeyError('cell_unknown', `cell ${id}`);
    return cell;
  }

  secret(id: CellId): Buffer {
    return this.#cell(id).components.get(CKA.VALUE) ?? Buffer.alloc(0);
  }

  async #make(key: NewKey, components: Map<number, Buffer>): Promise<MadeKey> {
    await Promise.resolve();
    const value = components.get(CKA.VALUE);
    if (key.objectClass === CKO.SECRET_KEY && value) components.set(CKA.VALUE_LEN, encodeUlong(value.length));
    const cell = this.#next++;
    this.held.set(cell, { key, components, note: key.note });
    const shown = [...components]
      .filter(([type]) => key.objectClass === CKO.PUBLIC_KEY || !SECRET.includes(type))
      .map(([type, v]) => ({ type, value: v }));
    const info = components.get(CKA.PUBLIC_KEY_INFO);
    // As in the keeper, CKA_VALUE among the public components of a private key is the public value.
    if (components.has(CKA.SEED) && info !== undefined)
      shown.push({
        type: CKA.VALUE,
        value: createPublicKey({ key: info, ...SPKI }).export({ format: 'raw-public' }),
      });
    const blob = key.seal === null ? null : await this.seal(cell, key.seal.by, key.seal.aad);
    return { cell, components: shown, blob };
  }

  /** false: like an OpenSSL before 3.5. */
  hasSets = true;
  mechanisms(): readonly MechanismRow[] {
    if (!this.hasSets)
      return MECHANISMS.filter(({ keyType }) => keyType !== CKK.ML_KEM && keyType !== CKK.ML_DSA);
    return MECHANISMS;
  }
  state(): Promise<never> {
    return Promise.reject(new Error('not in this test'));
  }
  async clients(): Promise<ClientSeen[]> {
    return [...this.connected.values()];
  }
  async noteClient(client: ClientId, note: Buffer): Promise<void> {
    const seen = this.connected.get(client);
    if (seen !== undefined) this.connected.set(client, { ...seen, note });
  }
  async cells(): Promise<CellSeen[]> {
    return [...this.held].map(([cell, { key, note }]) => ({
      cell,
      owner: key.owner,
      leftMs: key.leaseMs,
      note,
    }));
  }

  async generate(key: NewKey, mechanism: Mechanism, template: Template): Promise<MadeKey> {
    const length = template.find(({ type }) => type === CKA.VALUE_LEN)?.value.readUInt32LE() ?? 0;
    const isPair = key.objectClass === CKO.PRIVATE_KEY;
    const made = isPair
      ? makePair(mechanism.type)
      : ([[CKA.VALUE, randomBytes(length)]] as [number, Buffer][]);
    return this.#make(key, new Map(made));
  }
  generateDomain(): Promise<never> {
    return Promise.reject(new Error('not in this test'));
  }
  importComponents(key: NewKey, components: Template): Promise<MadeKey> {
    return this.#make(key, new Map(components.map(({ type, value }) => [type, Buffer.from(value)])));
  }
  importMaterial(key: NewKey, routedId: bigint, components: Template): Promise<MadeKey> {
    return this.importComponents(key, [...components, ...(this.material.get(routedId) ?? [])]);
  }

  async open(key: NewKey, by: CellId, aad: Buffer, blob: Buffer): Promise<MadeKey> {
    this.opens++;
    const decipher = createDecipheriv('aes-256-gcm', this.secret(by), blob.subarray(1, 13));
    decipher.setAAD(aad).setAuthTag(blob.subarray(-16));
    try {
      const plain = Buffer.concat([decipher.update(blob.subarray(13, -16)), decipher.final()]);
      return await this.#make(key, new Map(decodeTemplate(plain).map(({ type, value }) => [type, value])));
    } catch (cause) {
      throw new SidekeyError('seal_broken', 'a seal is broken', { cause });
    }
  }
  async seal(id: CellId, by: CellId, aad: Buffer): Promise<Buffer> {
    const nonce = randomBytes(12);
    const cipher = createCipheriv('aes-256-gcm', this.secret(by), nonce).setAAD(aad);
    const sealed = Buffer.concat([
      cipher.update(encodeAttributes(this.#cell(id).components)),
      cipher.final(),
    ]);
    return Buffer.concat([Buffer.of(1), nonce, sealed, cipher.getAuthTag()]);
  }
  async wrap(id: CellId, by: CellId, { type }: Mechanism): Promise<Buffer> {
    if (type === CKM.AES_KEY_WRAP_KWP) {
      const padded = createCipheriv('id-aes256-wrap-pad', this.secret(by), Buffer.from('a65959a6', 'hex'));
      return Buffer.concat([padded.update(this.secret(id)), padded.final()]);
    }
    const cipher = createCipheriv('aes256-wrap', this.secret(by), Buffer.alloc(8, 0xa6));
    return Buffer.concat([cipher.update(this.secret(id)), cipher.final()]);
  }
  async unwrap(key: NewKey, by: CellId, _mechanism: Mechanism, wrapped: Buffer): Promise<MadeKey> {
    const decipher = createDecipheriv('aes256-wrap', this.secret(by), Buffer.alloc(8, 0xa6));
    return this.#make(
      key,
      new Map([[CKA.VALUE, Buffer.concat([decipher.update(wrapped), decipher.final()])]]),
    );
  }
  derive(key: NewKey, base: CellId, mechanism: Mechanism, length: number | null): Promise<MadeKey> {
    const value = createHmac('sha256', this.secret(base)).update(mechanism.params).digest();
    return this.#make(key, new Map([[CKA.VALUE, value.subarray(0, length ?? 32)]]));
  }
  async deriveData(base: CellId, mechanism: Mechanism, length: number | null): Promise<Buffer> {
    const value = createHmac('sha256', this.secret(base)).update(mechanism.params).digest();
    return value.subarray(0, length ?? 32);
  }
  derivePassword(key: NewKey, routedId: bigint, mechanism: Mechanism): Promise<MadeKey> {
    const value = createHmac('sha256', String(routedId)).update(mechanism.params).digest();
    return this.#make(key, new Map([[CKA.VALUE, value]]));
  }
  async encapsulate(key: NewKey, to: CellId): Promise<{ made: MadeKey; ciphertext: Buffer }> {
    const raw = { key: this.secret(to), format: 'raw-public', asymmetricKeyType: 'ml-kem-768' } as const;
    const { sharedKey, ciphertext } = encapsulate(createPublicKey(raw));
    return { made: await this.#make(key, new Map([[CKA.VALUE, sharedKey]])), ciphertext };
  }
  decapsulate(key: NewKey, by: CellId, _mechanism: Mechanism, ciphertext: Buffer): Promise<MadeKey> {
    const seed = this.#cell(by).components.get(CKA.SEED) ?? Buffer.alloc(0);
    const own = createPrivateKey({ key: seed, format: 'raw-seed', asymmetricKeyType: 'ml-kem-768' });
    return this.#make(key, new Map([[CKA.VALUE, decapsulate(own, ciphertext)]]));
  }
  copy(key: NewKey, id: CellId): Promise<MadeKey> {
    return this.#make(key, new Map(this.#cell(id).components));
  }
  async note(id: CellId, note: Buffer): Promise<void> {
    this.#cell(id).note = note;
  }
  async drop(id: CellId): Promise<void> {
    this.held.delete(id);
  }

  async operate(
    id: CellId,
    operation: string,
    mechanism: Mechanism,
    data: Buffer,
    signature?: Buffer,
  ): Promise<Buffer> {
    if (mechanism.type === CKM.SHA256_HMAC || mechanism.type === CKM.SHA512_HMAC)
      return createHmac(mechanism.type === CKM.SHA256_HMAC ? 'sha256' : 'sha512', this.secret(id))
        .update(data)
        .digest();
    const isOfPair = this.#cell(id).key.objectClass !== CKO.SECRET_KEY;
    // As long as a signature with P-256.
    if (isOfPair && operation === 'sign') return createHash('sha512').update(data).digest();
    if (isOfPair && operation === 'verify') {
      if (signature?.equals(createHash('sha512').update(data).digest()) !== true)
        throw new SidekeyError('signature_invalid', 'a signature is wrong');
      return Buffer.alloc(0);
    }
    return this.#gcm(id, operation, mechanism, data);
  }
  #gcm(id: CellId, operation: string, { params }: Mechanism, data: Buffer): Buffer {
    const reader = new WireReader(params);
    const [iv, aad] = [reader.bytes(256), reader.bytes(16384)];
    if (operation === 'encrypt') {
      const cipher = createCipheriv('aes-256-gcm', this.secret(id), iv).setAAD(aad);
      return Buffer.concat([cipher.update(data), cipher.final(), cipher.getAuthTag()]);
    }
    const decipher = createDecipheriv('aes-256-gcm', this.secret(id), iv).setAAD(aad);
    decipher.setAuthTag(data.subarray(-16));
    try {
      return Buffer.concat([decipher.update(data.subarray(0, -16)), decipher.final()]);
    } catch (cause) {
      throw new SidekeyError('encrypted_data_invalid', 'a tag is wrong', { cause });
    }
  }
  operateMany(id: CellId, operation: string, items: readonly KeeperItem[]): Promise<Outcome[]> {
    return Promise.all(
      items.map(({ mechanism, data, signature }) =>
        outcomeOf(this.operate(id, operation, mechanism, data, signature)),
      ),
    );
  }
  operateAtOnce(id: CellId, operation: string, mechanism: Mechanism, items: NoncedItems): Buffer[] | null {
    const each = eachNonced(mechanism, items);
    if (each === null) return null;
    try {
      return each.map((item) => this.#gcm(id, operation, item.mechanism, item.data));
    } catch (error) {
      if (error instanceof SidekeyError) return null;
      throw error;
    }
  }
  async random(length: number): Promise<Buffer> {
    return randomBytes(length);
  }

  async bind(binding: Binding): Promise<void> {
    this.#cell(binding.cell);
    this.bindings.set(`${binding.client}/${binding.slot}/${binding.handle}`, binding);
  }
  async unbind(client: ClientId | null, slot: number, handle: number | null): Promise<void> {
    this.unbound.push(`${client ?? '*'}/${slot}/${handle ?? '*'}`);
    for (const [name, b] of this.bindings) {
      const isMeant = (client === null || b.client === client) && (handle === null || b.handle === handle);
      if (isMeant && b.slot === slot) this.bindings.delete(name);
    }
  }
  async usage(): Promise<[]> {
    return [];
  }
}
