/**
 * CKM_ECDH1_DERIVE with a key in a key service: the service computes the shared secret; the derivation of
 * X9.63 or SP 800-56A (PKCS#11 3.1, 6.3.17) happens here, as the keeper does it. The secret is in this
 * process as bytes that are wiped, like every data key from a service.
 */
import { createHash, createPublicKey } from 'node:crypto';
import { SidekeyError } from '../../errors.ts';
import { WireReader } from '../../wire/buffer.ts';
import { LIMITS } from '../../wire/tables.ts';
import type { Mechanism } from '../ports.ts';
import type { HashName, ResidentKey, ResidentKeys } from '../resident-port.ts';
import { hashOf } from './mechanisms.ts';
import { rowOf } from './specs.ts';

const CKD_NULL = 1;
interface Kdf {
  readonly hash: HashName;
  /** SP 800-56A hashes the counter before the secret, X9.63 after it. */
  readonly sp800: boolean;
}
const HASHES: readonly [HashName, number, number][] = [
  // hash, CKD_ of X9.63, CKD_ of SP 800-56A
  ['sha1', 2, 0x0e],
  ['sha224', 5, 0x0f],
  ['sha256', 6, 0x10],
  ['sha384', 7, 0x11],
  ['sha512', 8, 0x12],
  ['sha3-224', 0x0a, 0x13],
  ['sha3-256', 0x0b, 0x14],
  ['sha3-384', 0x0c, 0x15],
  ['sha3-512', 0x0d, 0x16],
];
const KDFS: ReadonlyMap<number, Kdf> = new Map(
  HASHES.flatMap(([hash, x963, sp800]): [number, Kdf][] => [
    [x963, { hash, sp800: false }],
    [sp800, { hash, sp800: true }],
  ]),
);
const EC_PUBLIC_KEY = Buffer.from('06072a8648ce3d0201', 'hex');
const [SEQUENCE, BIT_STRING, OCTET_STRING] = [0x30, 0x03, 0x04];
const SHORT_MAX = 0x7f;

function der(tag: number, content: Buffer): Buffer {
  const { length } = content;
  const head = length <= SHORT_MAX ? [tag, length] : [tag, 0x81, length];
  return Buffer.concat([Buffer.from(head), content]);
}

function refuse(why: string): never {
  throw new SidekeyError('mechanism_param_invalid', why);
}

/** A raw point, or one in an OCTET STRING: told apart by length, since the first byte of both is 4. */
function takePoint(given: Buffer, coordinateBytes: number): Buffer {
  const sizes = [1 + coordinateBytes, 1 + 2 * coordinateBytes];
  if (sizes.includes(given.length)) return given;
  const point = sizes
    .map((size) => given.subarray(-size))
    .find((each) => der(OCTET_STRING, each).equals(given));
  return point ?? refuse("the point is of another length than the curve's");
}

/** SubjectPublicKeyInfo; refused unless the point lies on the curve. */
function toInfo(curve: Buffer, point: Buffer): Buffer {
  const algorithm = der(SEQUENCE, Buffer.concat([EC_PUBLIC_KEY, curve]));
  const info = der(
    SEQUENCE,
    Buffer.concat([algorithm, der(BIT_STRING, Buffer.concat([Buffer.of(0), point]))]),
  );
  try {
    // Via its coordinates, so that a compressed point is expanded.
    const jwk = createPublicKey({ key: info, format: 'der', type: 'spki' }).export({ format: 'jwk' });
    return createPublicKey({ key: jwk, format: 'jwk' }).export({ format: 'der', type: 'spki' });
  } catch {
    return refuse("the point is not on the key's curve");
  }
}

interface Agreement {
  /** null: CKD_NULL. */
  readonly kdf: Kdf | null;
  readonly shared: Buffer;
  /** SubjectPublicKeyInfo. */
  readonly other: Buffer;
}

function readAgreement({ spec, sizeBits }: ResidentKey, { params }: Mechanism): Agreement {
  const reader = new WireReader(params);
  const number = reader.number();
  const shared = Buffer.from(reader.bytes(LIMITS.paramsMax));
  const point = Buffer.from(reader.bytes(LIMITS.paramsMax));
  reader.end();
  const kdf = KDFS.get(number) ?? null;
  if (kdf === null && number !== CKD_NULL) refuse('this derivation function is not known');
  if (kdf === null && shared.length > 0) refuse('without a derivation function there is no shared data');
  const { curve } = rowOf(spec);
  if (curve === null) throw new SidekeyError('key_type_inconsistent', 'the key is not on a curve');
  return { kdf, shared, other: toInfo(curve, takePoint(point, Math.ceil(sizeBits / 8))) };
}

/** The concatenated digests of secret, counter and shared data. */
function expand({ hash, sp800 }: Kdf, secret: Buffer, shared: Buffer, bytes: number): Buffer {
  const size = hashOf(hash).bytes;
  const blocks = Buffer.alloc(Math.ceil(bytes / size) * size);
  const counter = Buffer.alloc(4);
  for (let at = 0; at < blocks.length; at += size) {
    counter.writeUInt32BE(at / size + 1);
    const [first, second] = sp800 ? [counter, secret] : [secret, counter];
    const block = createHash(hash).update(first).update(second).update(shared).digest();
    block.copy(blocks, at);
    block.fill(0);
  }
  return blocks.subarray(0, bytes);
}

/** `lengthBytes` null: the whole secret. The caller wipes the result. */
export async function deriveAgreed(
  service: ResidentKeys,
  key: ResidentKey,
  mechanism: Mechanism,
  lengthBytes: number | null,
): Promise<Buffer> {
  if (service.agree === undefined || key.agrees !== true)
    throw new SidekeyError('mechanism_invalid', 'the service cannot derive a shared secret with this key');
  const { kdf, shared, other } = readAgreement(key, mechanism);
  const most = kdf === null ? Math.ceil(key.sizeBits / 8) : LIMITS.componentMax;
  if (lengthBytes !== null && (lengthBytes < 0 || lengthBytes > most))
    throw new SidekeyError('key_size_range', `at most ${most} bytes can be derived`);
  const secret = await service.agree(key, other);
  try {
    if (kdf !== null) return expand(kdf, secret, shared, lengthBytes || hashOf(kdf.hash).bytes);
    // "The truncation removes bytes from the leading end of the secret value."
    return Buffer.from(secret.subarray(secret.length - (lengthBytes || secret.length)));
  } finally {
    secret.fill(0);
  }
}
