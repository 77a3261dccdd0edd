/**
 * CKM_ECDH1_DERIVE with a key of a key service: the service makes the shared secret, X9.63's derivation (PKCS#11 3.1, 6.3.17) is made here as the
 * keeper makes it. The secret is in this process as bytes that are wiped, like every data key of a service.
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
/** CKD_ */
const KDFS: ReadonlyMap<number, HashName> = new Map([
  [2, 'sha1'],
  [5, 'sha224'],
  [6, 'sha256'],
  [7, 'sha384'],
  [8, 'sha512'],
  [0x0a, 'sha3-224'],
  [0x0b, 'sha3-256'],
  [0x0c, 'sha3-384'],
  [0x0d, 'sha3-512'],
]);
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

/** Raw, or in an OCTET STRING: told apart by the length, since the first byte of both is 4. */
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
    // By way of its coordinates, so that a compressed point is none afterwards.
    const jwk = createPublicKey({ key: info, format: 'der', type: 'spki' }).export({ format: 'jwk' });
    return createPublicKey({ key: jwk, format: 'jwk' }).export({ format: 'der', type: 'spki' });
  } catch {
    return refuse("the point is not on the key's curve");
  }
}

interface Agreement {
  /** null: CKD_NULL. */
  readonly hash: HashName | null;
  readonly shared: Buffer;
  /** SubjectPublicKeyInfo. */
  readonly other: Buffer;
}

function readAgreement({ spec, sizeBits }: ResidentKey, { params }: Mechanism): Agreement {
  const reader = new WireReader(params);
  const kdf = reader.number();
  const shared = Buffer.from(reader.bytes(LIMITS.paramsMax));
  const point = Buffer.from(reader.bytes(LIMITS.paramsMax));
  reader.end();
  const hash = KDFS.get(kdf) ?? null;
  if (hash === null && kdf !== CKD_NULL) refuse('this derivation function is not known');
  if (hash === null && shared.length > 0) refuse('without a derivation function there is no shared data');
  const { curve } = rowOf(spec);
  if (curve === null) throw new SidekeyError('key_type_inconsistent', 'the key is on no curve');
  return { hash, shared, other: toInfo(curve, takePoint(point, Math.ceil(sizeBits / 8))) };
}

/** X9.63: the digests of secret, counter and shared data, one after another. */
function expand(hash: HashName, secret: Buffer, shared: Buffer, bytes: number): Buffer {
  const size = hashOf(hash).bytes;
  const blocks = Buffer.alloc(Math.ceil(bytes / size) * size);
  const counter = Buffer.alloc(4);
  for (let at = 0; at < blocks.length; at += size) {
    counter.writeUInt32BE(at / size + 1);
    const block = createHash(hash).update(secret).update(counter).update(shared).digest();
    block.copy(blocks, at);
    block.fill(0);
  }
  return blocks.subarray(0, bytes);
}

/** `lengthBytes`: null, as long as it comes. The caller wipes it. */
export async function deriveAgreed(
  service: ResidentKeys,
  key: ResidentKey,
  mechanism: Mechanism,
  lengthBytes: number | null,
): Promise<Buffer> {
  if (service.agree === undefined || key.agrees !== true)
    throw new SidekeyError('mechanism_invalid', 'the service makes no shared secret with this key');
  const { hash, shared, other } = readAgreement(key, mechanism);
  const most = hash === null ? Math.ceil(key.sizeBits / 8) : LIMITS.componentMax;
  if (lengthBytes !== null && (lengthBytes < 0 || lengthBytes > most))
    throw new SidekeyError('key_size_range', `no more than ${most} bytes are derived`);
  const secret = await service.agree(key, other);
  try {
    if (hash !== null) return expand(hash, secret, shared, lengthBytes || hashOf(hash).bytes);
    // "The truncation removes bytes from the leading end of the secret value."
    return Buffer.from(secret.subarray(secret.length - (lengthBytes || secret.length)));
  } finally {
    secret.fill(0);
  }
}
