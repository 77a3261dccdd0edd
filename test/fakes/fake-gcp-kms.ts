/**
 * A strict Google Cloud KMS over REST: verifies the service account's self-signed token (RS256, scope, times) or one of its metadata
 * server, every field and every checksum, and encrypts by AES-256-GCM. Its CRC-32C is bitwise, not the adapter's table.
 */
import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createPublicKey,
  randomBytes,
  verify,
} from 'node:crypto';
import { FakeGcpKeys } from './fake-gcp-keys.ts';
import type { FakeReply, FakeRequest } from './fake-service.ts';

export const KEY = 'projects/p-1/locations/europe-west3/keyRings/ring/cryptoKeys/kek';
export const RING = 'projects/p-1/locations/europe-west3/keyRings/ring';
const LOCATION = 'projects/p-1/locations/europe-west3';
export const EMAIL = 'agent@p-1.iam.gserviceaccount.com';
const AUDIENCE = /^https:\/\/(cloudkms\.googleapis\.com|127\.0\.0\.1|\w+\.services\.invalid)\/$/;
const SCOPE = 'https://www.googleapis.com/auth/cloudkms';

export interface GcpBehaviour {
  state: 'ENABLED' | 'DISABLED' | 'DESTROY_SCHEDULED';
  allows: boolean;
  quotaProject: string | null;
  /** Of the metadata server. */
  accessToken: string;
  /** Answers with a wrong checksum so many times. */
  corrupt: number;
  /** By how much this service's clock is ahead. */
  aheadMs: number;
  /** Fields of an answer to encrypt that are others than they should be. */
  encrypted: Readonly<Record<string, unknown>>;
}

class Refusal extends Error {
  readonly status: number;
  override readonly name: string;

  constructor(status: number, name: string, message: string) {
    super(message);
    this.status = status;
    this.name = name;
  }
}

export function slowCrc32c(bytes: Buffer): string {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
  }
  return String(~crc >>> 0);
}

function bad(message: string): never {
  throw new Refusal(400, 'INVALID_ARGUMENT', message);
}

export class FakeGcpKms {
  readonly #publicKey: string;
  behaviour: GcpBehaviour = {
    state: 'ENABLED',
    allows: true,
    quotaProject: null,
    accessToken: 'ya29.first',
    corrupt: 0,
    aheadMs: 0,
    encrypted: {},
  };

  /** What else is in the ring of the KEK. */
  readonly keys = new FakeGcpKeys(RING, {
    take: (fields, name) => this.#take(fields, name),
    takeDigest: (fields, hash) => this.#takeDigest(fields, hash),
    give: (name, bytes) => ({ [name]: bytes.toString('base64'), [`${name}Crc32c`]: this.#crc(bytes) }),
    end: (fields) => this.#endOf(fields),
    refuse: (status, name, message) => {
      throw new Refusal(status, name, message);
    },
  });

  constructor(publicKey: string) {
    this.#publicKey = publicKey;
    this.keys.add('kek', 'ENCRYPT_DECRYPT', 'GOOGLE_SYMMETRIC_ENCRYPTION');
  }

  readonly handle = (request: FakeRequest): FakeReply => {
    const { url, headers } = request;
    if (url.pathname.startsWith('/computeMetadata/')) return this.#metadata(request);
    try {
      this.#authenticate(headers['authorization'] ?? '');
      if ((headers['x-goog-user-project'] ?? null) !== this.behaviour.quotaProject) bad('quota project');
      if (!this.behaviour.allows)
        throw new Refusal(
          403,
          'PERMISSION_DENIED',
          `Permission denied on resource '${KEY}' (or it may not exist).`,
        );
      return { status: 200, body: this.#answer(request) };
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      const { status: code, name: status, message } = error;
      const date = new Date(Date.now() + this.behaviour.aheadMs).toUTCString();
      return { status: code, headers: { date }, body: { error: { code, message, status, details: [] } } };
    }
  };

  #metadata({ headers, url }: FakeRequest): FakeReply {
    const flavor = { 'metadata-flavor': 'Google' };
    if (headers['metadata-flavor'] !== 'Google') return { status: 403, headers: flavor };
    const token = { access_token: this.behaviour.accessToken, expires_in: 3600, token_type: 'Bearer' };
    const isToken = url.pathname.endsWith('/service-accounts/default/token');
    return { status: 200, headers: flavor, body: isToken ? token : 'p-1' };
  }

  #authenticate(authorization: string): void {
    const refuse = (why: string): never => {
      throw new Refusal(401, 'UNAUTHENTICATED', `Request had invalid authentication credentials: ${why}`);
    };
    const token = /^Bearer (\S+)$/.exec(authorization)?.[1] ?? refuse('no token');
    if (token === this.behaviour.accessToken) return;
    const [head = '', claims = '', signature = ''] = token.split('.');
    const read = (part: string) => JSON.parse(Buffer.from(part, 'base64url').toString() || '{}');
    if (signature === '' || read(head).alg !== 'RS256') refuse('no signed token');
    const key = createPublicKey(this.#publicKey);
    const isSigned = verify(
      'sha256',
      Buffer.from(`${head}.${claims}`),
      key,
      Buffer.from(signature, 'base64url'),
    );
    if (!isSigned) refuse('a wrong signature');
    const { iss, sub, scope, aud, iat, exp } = read(claims);
    const now = (Date.now() + this.behaviour.aheadMs) / 1000;
    // A self-signed token is for scopes or for an audience (AIP-4111).
    const isOurs = String(scope).split(' ').includes(SCOPE) || AUDIENCE.test(String(aud));
    if (iss !== EMAIL || sub !== EMAIL || !isOurs) refuse(`claims ${iss} ${sub} ${scope} ${aud}`);
    if (!(iat <= now + 60 && exp > now && exp - iat <= 3600)) refuse('times');
  }

  #answer({ method, url, headers, body }: FakeRequest): object {
    // Google's own client asks for enumerations as numbers.
    const search = decodeURIComponent(url.search).replace('?$alt=json;enum-encoding=int', '');
    const line = `${method} ${url.pathname}${search}`;
    if (line === `GET /v1/${KEY}`) return this.#describe();
    if (url.pathname.startsWith(`/v1/${RING}/cryptoKeys`) && !url.pathname.startsWith(`/v1/${KEY}:`)) {
      const fields = body.length === 0 ? {} : (JSON.parse(body.toString()) as Record<string, unknown>);
      const path = decodeURIComponent(url.pathname.slice('/v1/'.length));
      return this.keys.answer(method, path, url.searchParams, fields);
    }
    if (line === `POST /v1/${LOCATION}:generateRandomBytes`) return this.#random(body);
    if (!line.startsWith(`POST /v1/${KEY}:`)) throw new Refusal(404, 'NOT_FOUND', `${line} not found.`);
    if (headers['content-type'] !== 'application/json') bad('content type');
    const fields = JSON.parse(body.toString()) as Record<string, unknown>;
    const { state } = this.behaviour;
    if (state !== 'ENABLED')
      throw new Refusal(
        400,
        'FAILED_PRECONDITION',
        `${KEY}/cryptoKeyVersions/1 is not enabled, current state is: ${state}.`,
      );
    if (line.endsWith(':encrypt')) return this.#encrypt(fields);
    if (line.endsWith(':decrypt')) return this.#decrypt(fields);
    throw new Refusal(404, 'NOT_FOUND', line);
  }

  #describe(): object {
    const primary = {
      name: `${KEY}/cryptoKeyVersions/1`,
      state: this.behaviour.state,
      protectionLevel: 'SOFTWARE',
    };
    return { name: KEY, purpose: 'ENCRYPT_DECRYPT', primary };
  }

  #random(body: Buffer): object {
    const { lengthBytes, protectionLevel, ...others } = JSON.parse(body.toString());
    this.#endOf(others);
    if (protectionLevel !== 'HSM' || !(lengthBytes >= 8 && lengthBytes <= 1024)) bad('lengthBytes');
    const data = randomBytes(lengthBytes);
    return { data: data.toString('base64'), dataCrc32c: this.#crc(data) };
  }

  #take(fields: Record<string, unknown>, name: string): Buffer {
    const text = fields[name];
    if (typeof text !== 'string' || Buffer.from(text, 'base64').toString('base64') !== text) bad(name);
    const bytes = Buffer.from(text, 'base64');
    const crc = fields[`${name}Crc32c`];
    if (crc !== slowCrc32c(bytes)) bad(`The checksum in field ${name}_crc32c did not match`);
    delete fields[name];
    delete fields[`${name}Crc32c`];
    return bytes;
  }

  /** The digest of one hash, whose checksum is of its bytes. */
  #takeDigest(fields: Record<string, unknown>, hash: string): Buffer {
    const { [hash]: text, ...others } = fields['digest'] as Record<string, string>;
    this.#endOf(others);
    const digest = Buffer.from(text ?? '', 'base64');
    if (digest.length !== createHash(hash).digest().length) bad(`digest.${hash} of ${digest.length} bytes`);
    if (fields['digestCrc32c'] !== slowCrc32c(digest))
      bad('The checksum in field digest_crc32c did not match');
    delete fields['digest'];
    delete fields['digestCrc32c'];
    return digest;
  }

  #endOf(fields: object): void {
    for (const name of Object.keys(fields)) bad(`Unknown name "${name}"`);
  }

  #crc(bytes: Buffer): string {
    if (this.behaviour.corrupt-- > 0) return '1';
    this.behaviour.corrupt = 0;
    return slowCrc32c(bytes);
  }

  #encrypt(fields: Record<string, unknown>): object {
    const [plaintext, data] = [
      this.#take(fields, 'plaintext'),
      this.#take(fields, 'additionalAuthenticatedData'),
    ];
    this.#endOf(fields);
    const nonce = randomBytes(12);
    const cipher = createCipheriv('aes-256-gcm', createHash('sha256').update(KEY).digest(), nonce).setAAD(
      data,
    );
    const ciphertext = Buffer.concat([nonce, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
    return {
      name: `${KEY}/cryptoKeyVersions/1`,
      ciphertext: ciphertext.toString('base64'),
      ciphertextCrc32c: this.#crc(ciphertext),
      verifiedPlaintextCrc32c: true,
      verifiedAdditionalAuthenticatedDataCrc32c: true,
      protectionLevel: 'SOFTWARE',
      ...this.behaviour.encrypted,
    };
  }

  #decrypt(fields: Record<string, unknown>): object {
    const [blob, data] = [
      this.#take(fields, 'ciphertext'),
      this.#take(fields, 'additionalAuthenticatedData'),
    ];
    this.#endOf(fields);
    if (blob.length < 29) bad('Decryption failed: the ciphertext is invalid.');
    const key = createHash('sha256').update(KEY).digest();
    const decipher = createDecipheriv('aes-256-gcm', key, blob.subarray(0, 12));
    decipher.setAAD(data).setAuthTag(blob.subarray(-16));
    try {
      const plaintext = Buffer.concat([decipher.update(blob.subarray(12, -16)), decipher.final()]);
      const plaintextCrc32c = this.#crc(plaintext);
      return {
        plaintext: plaintext.toString('base64'),
        plaintextCrc32c,
        usedPrimary: true,
        protectionLevel: 'SOFTWARE',
      };
    } catch {
      return bad("Decryption failed: verify that 'name' refers to the correct CryptoKey.");
    }
  }
}
