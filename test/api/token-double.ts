/**
 * A TokenService that does real cryptography by node:crypto, in place of tokens, store and keeper. It is strict: it decodes
 * every parameter as native-shim/wire/params.h lays it out, and refuses what the keeper would refuse.
 */
import * as crypto from 'node:crypto';
import { outcomeOf } from '../../src/tokens/outcome.ts';
import type { Peer } from '../../src/access/peer.ts';
import { SidekeyError, type ErrorCode } from '../../src/errors.ts';
import type { Operation } from '../../src/tokens/ports.ts';
import type { NamedKey, NewNamedKeyKind, TokenService, TokenSummary } from '../../src/tokens/service.ts';
import { WireReader } from '../../src/wire/buffer.ts';
import { eachNonced } from '../tokens/nonced-items.ts';

interface Held {
  readonly named: NamedKey;
  readonly secret: crypto.KeyObject;
  readonly open: crypto.KeyObject;
}

interface Work {
  readonly key: Held;
  readonly operation: Operation;
  readonly params: Buffer;
  readonly data: Buffer;
  readonly signature: Buffer | undefined;
  readonly message: Buffer;
}

export interface TokenDouble extends TokenService {
  /** A handle on what tests must know that HTTP does not say. */
  readonly held: Map<string, Held>;
  /** Rejections to come, for whatever operation is next. */
  readonly failures: ErrorCode[];
  /** Uids that are not admitted. */
  readonly refusedUids: Set<number>;
  /** The message behind the digests that will be signed. */
  message: Buffer;
  /** How long an operation takes. */
  delayMs: number;
  /** Whether every batch must be asked for item by item. */
  refusesAtOnce: boolean;
  /** How many were not. */
  batchesAtOnce: number;
  /** What came out of them. */
  readonly seenAtOnce: Buffer[];
}

function refuse(code: ErrorCode): never {
  throw new SidekeyError(code, 'refused by the double: this text must not reach a client');
}

function check(condition: boolean, code: ErrorCode): asserts condition {
  if (!condition) refuse(code);
}

function gcm({ key, operation, params, data }: Work): Buffer {
  const reader = new WireReader(params);
  const iv = reader.bytes(256);
  const aad = reader.bytes(16384);
  check(reader.u32() === 128, 'mechanism_param_invalid');
  reader.end();
  check(iv.length === 12, 'mechanism_param_invalid');
  const name = `aes-${key.named.sizeBits}-gcm` as crypto.CipherGCMTypes;
  if (operation === 'encrypt') {
    const cipher = crypto.createCipheriv(name, key.secret, iv).setAAD(aad);
    return Buffer.concat([cipher.update(data), cipher.final(), cipher.getAuthTag()]);
  }
  try {
    const decipher = crypto.createDecipheriv(name, key.secret, iv).setAAD(aad).setAuthTag(data.subarray(-16));
    return Buffer.concat([decipher.update(data.subarray(0, -16)), decipher.final()]);
  } catch {
    refuse('encrypted_data_invalid');
  }
}

const HASH_NAMES = new Map([
  [0x220, { name: 'sha1', mgf: 1 }],
  [0x255, { name: 'sha224', mgf: 5 }],
  [0x250, { name: 'sha256', mgf: 2 }],
  [0x260, { name: 'sha384', mgf: 3 }],
  [0x270, { name: 'sha512', mgf: 4 }],
  [0x2b0, { name: 'sha3-256', mgf: 7 }],
]);

function readHash(reader: WireReader): string {
  const hash = HASH_NAMES.get(reader.number());
  check(hash !== undefined && reader.number() === hash.mgf, 'mechanism_param_invalid');
  return hash.name;
}

function oaep({ key, operation, params, data }: Work): Buffer {
  const reader = new WireReader(params);
  const oaepHash = readHash(reader);
  check(reader.bytes(16384).length === 0, 'mechanism_param_invalid');
  reader.end();
  const padding = crypto.constants.RSA_PKCS1_OAEP_PADDING;
  try {
    if (operation === 'encrypt') return crypto.publicEncrypt({ key: key.open, padding, oaepHash }, data);
    return crypto.privateDecrypt({ key: key.secret, padding, oaepHash }, data);
  } catch {
    refuse(operation === 'encrypt' ? 'data_len_range' : 'encrypted_data_invalid');
  }
}

type SignInput = crypto.SignKeyObjectInput & crypto.VerifyKeyObjectInput;

function signOrVerify(work: Work, hash: string | null, options: Omit<SignInput, 'key'>): Buffer {
  const { key, operation, data, signature } = work;
  if (operation === 'sign') return crypto.sign(hash, data, { ...options, key: key.secret });
  check(signature !== undefined, 'arguments_bad');
  check(crypto.verify(hash, data, { ...options, key: key.open }, signature), 'signature_invalid');
  return Buffer.alloc(0);
}

function pssWithHash(hash: string | null) {
  return (work: Work): Buffer => {
    const reader = new WireReader(work.params);
    const named = readHash(reader);
    const saltLength = reader.number();
    reader.end();
    check(hash === null || hash === named, 'mechanism_param_invalid');
    const padding = crypto.constants.RSA_PKCS1_PSS_PADDING;
    if (hash !== null) return signOrVerify(work, hash, { padding, saltLength });
    return pssOfDigest(work, named, saltLength);
  };
}

const PREIMAGE_HASHES = ['sha1', 'sha256', 'sha384', 'sha512', 'sha3-256'] as const;

/**
 * node:crypto signs no digests, so the double must be told the message (`TokenDouble.message`): it finds the hash that makes
 * the digest from it, and signs the message, which gives the very signature that a token would make of the digest.
 */
function findPreimage(work: Work): { hash: string; message: Buffer } {
  const digestOf = (name: string) => crypto.createHash(name).update(work.message).digest();
  const hash = PREIMAGE_HASHES.find((name) => digestOf(name).subarray(0, work.data.length).equals(work.data));
  check(hash !== undefined, 'data_invalid');
  return { hash, message: work.message };
}

function pssOfDigest(work: Work, named: string, saltLength: number): Buffer {
  const { hash, message } = findPreimage(work);
  check(hash === named, 'mechanism_param_invalid');
  const padding = crypto.constants.RSA_PKCS1_PSS_PADDING;
  return signOrVerify({ ...work, data: message }, hash, { padding, saltLength });
}

function pkcs1(hash: string | null) {
  return (work: Work): Buffer => {
    check(work.params.length === 0, 'mechanism_param_invalid');
    const padding = crypto.constants.RSA_PKCS1_PADDING;
    if (hash !== null) return signOrVerify(work, hash, { padding });
    return pkcs1Raw(work);
  };
}

function pkcs1Raw({ key, operation, data, signature }: Work): Buffer {
  const padding = crypto.constants.RSA_PKCS1_PADDING;
  if (operation === 'sign') return crypto.privateEncrypt({ key: key.secret, padding }, data);
  check(signature !== undefined, 'arguments_bad');
  let opened: Buffer;
  try {
    opened = crypto.publicDecrypt({ key: key.open, padding }, signature);
  } catch {
    refuse('signature_invalid');
  }
  check(opened.equals(data), 'signature_invalid');
  return Buffer.alloc(0);
}

function ecdsa(work: Work): Buffer {
  const size = Math.ceil(work.key.named.sizeBits / 8);
  check(work.params.length === 0, 'mechanism_param_invalid');
  check(work.data.length <= size, 'data_len_range');
  if (work.operation === 'verify') check(work.signature?.length === 2 * size, 'signature_len_range');
  const { hash, message } = findPreimage(work);
  return signOrVerify({ ...work, data: message }, hash, { dsaEncoding: 'ieee-p1363' });
}

function eddsa(work: Work): Buffer {
  const reader = new WireReader(work.params);
  check(reader.u8() === 0 && reader.u8() === 0, 'mechanism_param_invalid');
  check(reader.bytes(255).length === 0, 'mechanism_param_invalid');
  reader.end();
  return signOrVerify(work, null, {});
}

function hmac(hash: string) {
  return ({ key, operation, params, data, signature }: Work): Buffer => {
    check(params.length === 0, 'mechanism_param_invalid');
    const mac = crypto.createHmac(hash, key.secret).update(data).digest();
    if (operation === 'sign') return mac;
    check(signature?.length === mac.length, 'signature_len_range');
    check(crypto.timingSafeEqual(mac, signature), 'signature_invalid');
    return Buffer.alloc(0);
  };
}

const MECHANISMS = new Map<number, { kind: NamedKey['kind']; run: (work: Work) => Buffer }>([
  [0x1087, { kind: 'aes', run: gcm }],
  [0x0009, { kind: 'rsa', run: oaep }],
  [0x0001, { kind: 'rsa', run: pkcs1(null) }],
  [0x0006, { kind: 'rsa', run: pkcs1('sha1') }],
  [0x0040, { kind: 'rsa', run: pkcs1('sha256') }],
  [0x0041, { kind: 'rsa', run: pkcs1('sha384') }],
  [0x0042, { kind: 'rsa', run: pkcs1('sha512') }],
  [0x000d, { kind: 'rsa', run: pssWithHash(null) }],
  [0x000e, { kind: 'rsa', run: pssWithHash('sha1') }],
  [0x0043, { kind: 'rsa', run: pssWithHash('sha256') }],
  [0x0044, { kind: 'rsa', run: pssWithHash('sha384') }],
  [0x0045, { kind: 'rsa', run: pssWithHash('sha512') }],
  [0x0060, { kind: 'rsa', run: pkcs1('sha3-256') }],
  [0x0063, { kind: 'rsa', run: pssWithHash('sha3-256') }],
  [0x1041, { kind: 'ec', run: ecdsa }],
  [0x1057, { kind: 'ed25519', run: eddsa }],
  [0x0221, { kind: 'generic', run: hmac('sha1') }],
  [0x0251, { kind: 'generic', run: hmac('sha256') }],
  [0x0261, { kind: 'generic', run: hmac('sha384') }],
  [0x0271, { kind: 'generic', run: hmac('sha512') }],
  [0x02b1, { kind: 'generic', run: hmac('sha3-256') }],
]);

const CURVES = { 256: 'P-256', 384: 'P-384', 521: 'P-521' } as const;

function generate(kind: NewNamedKeyKind): { secret: crypto.KeyObject; open: crypto.KeyObject } {
  if (kind.kind === 'aes' || kind.kind === 'generic') {
    const secret = crypto.createSecretKey(crypto.randomBytes(kind.sizeBits / 8));
    return { secret, open: secret };
  }
  const pair = generatePair(kind);
  return { secret: pair.privateKey, open: pair.publicKey };
}

function generatePair(kind: Exclude<NewNamedKeyKind, { kind: 'aes' | 'generic' }>) {
  if (kind.kind === 'rsa') return crypto.generateKeyPairSync('rsa', { modulusLength: kind.sizeBits });
  if (kind.kind === 'ec') return crypto.generateKeyPairSync('ec', { namedCurve: CURVES[kind.sizeBits] });
  return crypto.generateKeyPairSync('ed25519');
}

const OPERATIONS: Readonly<Record<NewNamedKeyKind['kind'], readonly Operation[]>> = {
  aes: ['encrypt', 'decrypt'],
  chacha20: ['encrypt', 'decrypt'],
  generic: ['sign', 'verify'],
  rsa: ['encrypt', 'decrypt', 'sign', 'verify'],
  ec: ['sign', 'verify'],
  ed25519: ['sign', 'verify'],
  'ml-dsa': ['sign', 'verify'],
};

function summaryOf(slot: number): TokenSummary {
  return {
    ...{ label: LABELS[slot] ?? '', slot, serial: '01', provider: 'embedded', initialized: true },
    ...{ userPinSet: false, userPinLocked: false, objects: 0, tokenKeyOpen: true },
    keks: [{ provider: 'embedded', wrapped: true, service: 'closed' }],
  };
}

function notUsed(): never {
  throw new Error('the API has no business here');
}

const LABELS: readonly string[] = ['main', 'other token'];

export function createTokenDouble(): TokenDouble {
  const held = new Map<string, Held>();
  const failures: ErrorCode[] = [];
  const refusedUids = new Set<number>();
  const leases = ['object-1', 'object-2', 'token-01'];
  const admit = (peer: Peer, token: string) =>
    check(!refusedUids.has(peer.uid) && LABELS.includes(token), 'token_not_recognized');
  const double: TokenDouble = {
    held,
    failures,
    refusedUids,
    message: Buffer.alloc(0),
    delayMs: 0,
    refusesAtOnce: false,
    batchesAtOnce: 0,
    seenAtOnce: [],
    handle: notUsed,
    clientOpened: notUsed,
    clientClosed: notUsed,
    cellEnded: notUsed,
    useEnded: notUsed,
    keeperAttached: notUsed,
    keeperLost: notUsed,
    rulesChanged: notUsed,
    createToken: notUsed,
    sealEnvelope: notUsed,
    openEnvelope: notUsed,
    flushUsage: notUsed,
    close: notUsed,
    tokens: () => LABELS.map((_, slot) => summaryOf(slot)),
    mayUseToken: (peer, token) => !refusedUids.has(peer.uid) && LABELS.includes(token),
    serviceRandom: async (peer, token, bytes) => {
      admit(peer, token);
      return Buffer.alloc(bytes, 0x5a);
    },
    keys: (token) =>
      [...held.values()]
        .filter(({ named }) => token === undefined || named.token === token)
        .map(({ named }, index) => ({
          ...{ token: named.token, slot: 0, handle: index + 1, uniqueId: 'u', label: named.name, id: '' },
          ...{
            objectClass: 'secret',
            kind: named.kind,
            sizeBits: named.sizeBits,
            lives: 'enveloped' as const,
          },
          ...{ createdAt: null, lease: null, audit: 'total' as const },
        })),
    keyAttributes: (_token, handle) => {
      check(handle === 1, 'object_handle_invalid');
      return [{ type: 3, value: Buffer.from('label') }];
    },
    leases: () =>
      leases.map((id) => ({ id, kind: 'object', token: 'main', label: 'k', handle: 1, leftMs: 5 })),
    addKek: async () => summaryOf(0),
    removeKek: async () => summaryOf(0),
    rotateKeks: async () => summaryOf(0),
    rotateResident: async () => summaryOf(0),
    wipeToken: () => summaryOf(0),
    providerChanged: () => undefined,
    wipeLease: (_peer, id) => {
      const at = leases.indexOf(id);
      return at < 0 ? 0 : leases.splice(at, 1).length;
    },
    wipeLeases: async () => leases.splice(0).length,
    settleNamedKeys: () => null,
    listNamedKeys: (peer, token) => {
      admit(peer, token);
      return [...held.values()].flatMap(({ named }) => (named.token === token ? [named.name] : []));
    },
    findNamedKey: (peer, token, name) => {
      admit(peer, token);
      return held.get(`${token}/${name}`)?.named ?? null;
    },
    createNamedKey: async (peer, token, name, { kind, exportable }) => {
      admit(peer, token);
      const { secret, open } = generate(kind);
      const named: NamedKey = {
        ...{ name, token, kind: kind.kind, sizeBits: 'sizeBits' in kind ? kind.sizeBits : 255 },
        ...{
          operations: OPERATIONS[kind.kind],
          extractable: exportable,
          derived: false,
          imported: false,
          latestVersion: 1,
        },
        policy: {
          ...{ minAvailableVersion: 0, minDecryptionVersion: 1, minEncryptionVersion: 0, autoRotateMs: 0 },
          deletionAllowed: false,
        },
        versions: [
          {
            version: 1,
            createdAt: '2026-01-02T03:04:05.000Z',
            publicKeyInfo: open.type === 'public' ? open.export({ format: 'der', type: 'spki' }) : null,
            certificate: null,
          },
        ],
      };
      held.set(`${token}/${name}`, { named, secret, open });
      return named;
    },
    rotateNamedKey: notUsed,
    configureNamedKey: notUsed,
    deleteNamedKey: notUsed,
    wrappingKey: notUsed,
    importNamedKey: notUsed,
    exportNamedKey: notUsed,
    makeStreamKey: notUsed,
    openStreamKey: notUsed,
    setNamedKeyCertificates: notUsed,
    operateNamedKeys: (peer, token, name, items) =>
      Promise.all(
        items.map(({ use, data, signature }) =>
          outcomeOf(double.operateNamedKey(peer, token, name, use, data, signature)),
        ),
      ),
    operateNamedKeyAtOnce: (peer, token, name, { operation, mechanism }, items) => {
      admit(peer, token);
      const key = held.get(`${token}/${name}`);
      const each = double.refusesAtOnce || failures.length > 0 ? null : eachNonced(mechanism, items);
      const row = MECHANISMS.get(mechanism.type);
      if (each === null || key === undefined || row === undefined) return null;
      double.batchesAtOnce += 1;
      const common = { key, operation, signature: undefined, message: double.message };
      try {
        const outputs = each.map(({ mechanism: { params }, data }) => row.run({ ...common, params, data }));
        double.seenAtOnce.push(...outputs);
        return outputs;
      } catch (error) {
        if (error instanceof SidekeyError) return null;
        throw error;
      }
    },
    operateNamedKey: async (peer, token, name, { operation, mechanism, version }, data, signature) => {
      admit(peer, token);
      check(version === 1, 'key_handle_invalid');
      if (double.delayMs > 0) await new Promise((done) => setTimeout(done, double.delayMs));
      const failure = failures.shift();
      if (failure !== undefined) refuse(failure);
      const key = held.get(`${token}/${name}`);
      check(key !== undefined, 'key_handle_invalid');
      const row = MECHANISMS.get(mechanism.type);
      check(row !== undefined, 'mechanism_invalid');
      check(row.kind === key.named.kind, 'key_type_inconsistent');
      return row.run({ key, operation, params: mechanism.params, data, signature, message: double.message });
    },
  };
  return double;
}
