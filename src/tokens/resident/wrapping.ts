/**
 * Wraps and unwraps keys with a key of a key service that encrypts and decrypts. Between keeper and this
 * process, the wrapped key travels under a one-time key, as any wrapped key does, so that the keeper's own
 * rules for keys apply. In this process it is bytes that are wiped; the service sees it, as it sees
 * everything that it encrypts.
 */
import { createDecipheriv, createCipheriv } from 'node:crypto';
import { SidekeyError, type ErrorCode } from '../../errors.ts';
import { WireReader } from '../../wire/buffer.ts';
import { CKA, CKK, CKM, CKO } from '../cryptoki.ts';
import type { Domain } from '../domain.ts';
import type { CellId, MadeKey, Mechanism, NewKey } from '../ports.ts';
import type { ResidentKey, ResidentKeys } from '../resident-port.ts';
import type { TokenRow } from '../store-port.ts';
import { planCipher } from './cipher-plans.ts';
import { tooLong } from './use.ts';

const KWP = { name: 'id-aes256-wrap-pad', iv: Buffer.from('a65959a6', 'hex'), bytes: 32 } as const;
const CELL_MS = 30_000;

function serviceOf(domain: Domain, token: TokenRow): ResidentKeys {
  const source = domain.resident.service(token);
  if (source !== null) return source.service;
  throw new SidekeyError('key_handle_invalid', 'the token no longer has resident keys');
}

/** An AES key in a cell, for the duration of `work`. */
async function withCell<T>(domain: Domain, key: Buffer, work: (cell: CellId) => Promise<T>): Promise<T> {
  const rest = { owner: null, uses: null, note: null, seal: null };
  const wanted: NewKey = { objectClass: CKO.SECRET_KEY, keyType: CKK.AES, leaseMs: CELL_MS, ...rest };
  const { cell } = await domain.keeper.importComponents(wanted, [
    { type: CKA.VALUE, value: Buffer.from(key) },
  ]);
  try {
    return await work(cell);
  } finally {
    domain.cells.drop(cell);
  }
}

const WRAPPED: Mechanism = { type: CKM.AES_KEY_WRAP_KWP, params: Buffer.alloc(0) };

/** The key in `cell`, encrypted by the service. */
export async function wrapByService(
  domain: Domain,
  token: TokenRow,
  by: ResidentKey,
  mechanism: Mechanism,
  cell: CellId,
): Promise<Buffer> {
  const service = serviceOf(domain, token);
  const plan = planCipher(by, mechanism, true);
  const once = domain.random(KWP.bytes);
  let plain: Buffer | null = null;
  try {
    const carried = await withCell(domain, once, (carrier) => domain.keeper.wrap(cell, carrier, WRAPPED));
    const decipher = createDecipheriv(KWP.name, once, KWP.iv);
    plain = Buffer.concat([decipher.update(carried), decipher.final()]);
    if (plain.length > plan.maxBytes) throw tooLong(plan);
    return await plan.run(service, plain);
  } catch (error) {
    throw told(error, { data_len_range: 'key_size_range' });
  } finally {
    once.fill(0);
    plain?.fill(0);
  }
}

function told(error: unknown, codes: Readonly<Partial<Record<ErrorCode, ErrorCode>>>): unknown {
  const code = error instanceof SidekeyError ? codes[error.code] : undefined;
  return code === undefined || !(error instanceof Error)
    ? error
    : new SidekeyError(code, error.message, { cause: error });
}

async function open(
  service: ResidentKeys,
  by: ResidentKey,
  mechanism: Mechanism,
  wrapped: Buffer,
): Promise<Buffer> {
  try {
    const plan = planCipher(by, mechanism, false);
    if (wrapped.length > plan.maxBytes) throw tooLong(plan);
    return await plan.run(service, wrapped);
  } catch (error) {
    throw told(error, {
      encrypted_data_invalid: 'wrapped_key_invalid',
      ...{ encrypted_data_len_range: 'wrapped_key_len_range', data_len_range: 'wrapped_key_len_range' },
    });
  }
}

/** CKM_RSA_AES_KEY_WRAP: an AES key encrypted with OAEP, followed by the key that it wraps. */
function splitRsaAes(by: ResidentKey, { params }: Mechanism, wrapped: Buffer) {
  const bytes = Math.ceil(by.sizeBits / 8);
  if (wrapped.length <= bytes) throw new SidekeyError('wrapped_key_len_range', 'the wrapped key is missing');
  const aesBytes = new WireReader(params).u32() / 8;
  const oaep = { type: CKM.RSA_PKCS_OAEP, params: Buffer.from(params.subarray(4)) };
  return { aesBytes, oaep, first: wrapped.subarray(0, bytes), rest: wrapped.subarray(bytes) };
}

/**
 * How the keeper makes the key. If the service does the unwrapping, it is asked at once, so that a refusal
 * comes before anything is created.
 */
export async function unwrapByService(
  domain: Domain,
  token: TokenRow,
  by: ResidentKey,
  mechanism: Mechanism,
  wrapped: Buffer,
): Promise<(key: NewKey, lengthBytes: number | null) => Promise<MadeKey>> {
  const service = serviceOf(domain, token);
  if (mechanism.type === CKM.RSA_AES_KEY_WRAP) {
    const { aesBytes, oaep, first, rest } = splitRsaAes(by, mechanism, wrapped);
    const aes = await open(service, by, oaep, first);
    if (aes.length !== aesBytes) {
      aes.fill(0);
      throw new SidekeyError('wrapped_key_invalid', 'the wrapping key has the wrong length');
    }
    return (key, lengthBytes) => carry(domain, aes, rest, key, lengthBytes);
  }
  const once = domain.random(KWP.bytes);
  const plain = await open(service, by, mechanism, wrapped);
  try {
    if (plain.length === 0)
      throw new SidekeyError('wrapped_key_len_range', 'the keeper returned an empty key');
    const cipher = createCipheriv(KWP.name, once, KWP.iv);
    const carried = Buffer.concat([cipher.update(plain), cipher.final()]);
    return (key, lengthBytes) => carry(domain, once, carried, key, lengthBytes);
  } finally {
    plain.fill(0);
  }
}

/** Wipes `by`, which is useless afterwards. */
function carry(
  domain: Domain,
  by: Buffer,
  wrapped: Buffer,
  key: NewKey,
  lengthBytes: number | null,
): Promise<MadeKey> {
  const work = (cell: CellId): Promise<MadeKey> =>
    domain.keeper.unwrap(key, cell, WRAPPED, wrapped, lengthBytes);
  return withCell(domain, by, work).finally(() => by.fill(0));
}
