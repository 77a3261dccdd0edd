/**
 * Keys of a Transit mount as resident keys: RSA, ECDSA, Ed25519 and HMAC. Each version of a pair that may still be used is a key; AES keys are none, since
 * Transit chooses the nonce and hides it in its ciphertext.
 */
import { createPublicKey, type KeyObject } from 'node:crypto';
import { SidekeyError } from '../../errors.ts';
import type {
  HashName,
  KeySpec,
  NewResidentKey,
  ResidentKey,
  ResidentKeys,
  SignAlgorithm,
} from '../../tokens/resident-port.ts';
import { decodeDer } from '../../wire/ecdsa-signature.ts';
import { encodeBase64 } from '../http/base64-bytes.ts';
import type { HttpReply } from '../http/http-client.ts';
import { jsonAt, jsonWithSecret, parseJson, takeSecret, textAt } from '../http/json-secret.ts';
import { didNotOpen, type VaultClient, type VaultTokens } from './vault-client.ts';
import type { VaultOptions } from './vault-options.ts';

interface TypeRow {
  readonly type: string;
  readonly spec: KeySpec;
  /** null: the key says it. */
  readonly sizeBits: number | null;
  readonly signs: readonly SignAlgorithm[];
}

/** node:crypto's names and Transit's. */
const HASHES: readonly (readonly [hash: HashName, transit: string])[] = [
  ['sha256', 'sha2-256'],
  ['sha384', 'sha2-384'],
  ['sha512', 'sha2-512'],
  ['sha224', 'sha2-224'],
];

const ofAll = (scheme: SignAlgorithm['scheme'], more: object = {}): SignAlgorithm[] =>
  HASHES.map(([hash]) => ({ scheme, hash, ...more }));
const RSA_SIGNS: readonly SignAlgorithm[] = [
  ...ofAll('rsa-pkcs1'),
  { scheme: 'rsa-pkcs1', hash: null },
  // To the server a length of 0 means the longest.
  ...ofAll('rsa-pss', { anySalt: true, neverUnsalted: true }),
];
const ecdsa = (hash: HashName): SignAlgorithm[] => [{ scheme: 'ecdsa', hash }];

const TYPES: readonly TypeRow[] = [
  { type: 'rsa-2048', spec: 'rsa-2048', sizeBits: 2048, signs: RSA_SIGNS },
  { type: 'rsa-3072', spec: 'rsa-3072', sizeBits: 3072, signs: RSA_SIGNS },
  { type: 'rsa-4096', spec: 'rsa-4096', sizeBits: 4096, signs: RSA_SIGNS },
  { type: 'ecdsa-p256', spec: 'ec-p256', sizeBits: 256, signs: ecdsa('sha256') },
  { type: 'ecdsa-p384', spec: 'ec-p384', sizeBits: 384, signs: ecdsa('sha384') },
  { type: 'ecdsa-p521', spec: 'ec-p521', sizeBits: 521, signs: ecdsa('sha512') },
  { type: 'ed25519', spec: 'ed25519', sizeBits: 255, signs: [{ scheme: 'eddsa', hash: null }] },
  { type: 'hmac', spec: 'generic', sizeBits: null, signs: ofAll('hmac') },
];

/** The server's own rule; no name that means another path than that of a key. */
const KEY_NAME = /^\w(([\w.-]+)?\w)?$/;
const HMAC_BYTES_DEFAULT = 32;
const AT_ONCE = 8;
/** Before the 32 bytes of an Ed25519 key in a SubjectPublicKeyInfo (RFC 8410, 4). */
const ED25519_PREFIX = Buffer.from('302a300506032b6570032100', 'hex');

function transitHash(name: HashName | null): string {
  return HASHES.find(([hash]) => hash === name)?.[1] ?? 'none';
}

/** Which version a key is; HMAC keys are used by their newest. */
function parseId(id: string): { name: string; version: number } {
  const at = id.lastIndexOf(':');
  return { name: id.slice(0, at), version: Number(id.slice(at + 1)) };
}

function numberAt(value: unknown, name: string): number {
  const found = jsonAt(value, name);
  return typeof found === 'number' ? found : 0;
}

/** Versions that may be used, newest first; of an HMAC key the newest alone. */
function versionsOf(data: unknown, row: TypeRow): number[] {
  const latest = numberAt(data, 'latest_version');
  if (row.spec === 'generic') return [latest];
  const oldest = Math.max(
    1,
    numberAt(data, 'min_decryption_version'),
    numberAt(data, 'min_available_version'),
  );
  return Array.from({ length: Math.max(0, latest - oldest + 1) }, (_, i) => latest - i);
}

function toKeys(data: unknown): ResidentKey[] {
  const row = TYPES.find(({ type }) => type === textAt(data, 'type'));
  const name = textAt(data, 'name');
  if (row === undefined || name === '' || jsonAt(data, 'derived') === true) return [];
  const latest = numberAt(data, 'latest_version');
  const signsFrom = numberAt(data, 'min_encryption_version');
  const oaep = { scheme: 'rsa-oaep', hash: 'sha256', encrypts: false } as const;
  const size = row.sizeBits ?? 8 * (numberAt(data, 'key_size') || HMAC_BYTES_DEFAULT);
  return versionsOf(data, row).map((version) => ({
    ...{ id: `${name}:${version}`, name, version: String(version), isPrimary: version === latest },
    ...{ spec: row.spec, sizeBits: size, ckaId: null, createdAt: null },
    signs: version >= signsFrom ? row.signs : [],
    ciphers: row.type.startsWith('rsa') ? [oaep] : [],
  }));
}

export interface VaultResidentOptions {
  /** Names the provider in messages. */
  readonly what: string;
  readonly options: VaultOptions;
  readonly client: VaultClient;
  readonly tokens: VaultTokens;
}

export class VaultResidentKeys implements ResidentKeys {
  readonly creates: readonly KeySpec[] = TYPES.map(({ spec }) => spec);
  readonly keepsIds = false;
  readonly #what: string;
  readonly #options: VaultOptions;
  readonly #client: VaultClient;
  readonly #tokens: VaultTokens;

  constructor({ what, options, client, tokens }: VaultResidentOptions) {
    this.#what = what;
    this.#options = options;
    this.#client = client;
    this.#tokens = tokens;
  }

  #call(
    method: 'GET' | 'POST' | 'DELETE',
    path: string,
    body?: Buffer,
    mayBeAbsent = false,
  ): Promise<HttpReply> {
    const what = `${this.#what}: ${method} ${path}`;
    const call = { what, method, path: `${this.#options.mount}/${path}`, tokens: this.#tokens, mayBeAbsent };
    return this.#client.call(body === undefined ? call : { ...call, body });
  }

  #post(path: string, fields: object): Promise<HttpReply> {
    return this.#call('POST', path, Buffer.from(JSON.stringify(fields)));
  }

  #refuse(why: string): never {
    throw new SidekeyError('provider_refused', `${this.#what}: ${why}`);
  }

  async list(prefix: string, max: number): Promise<ResidentKey[]> {
    const reply = await this.#call('GET', 'keys?list=true', undefined, true);
    const listed = reply.status === 404 ? [] : jsonAt(parseJson(reply.body), 'data', 'keys');
    const names = (Array.isArray(listed) ? listed.map(String) : []).filter(
      (name) => name.startsWith(prefix) && name !== this.#options.key && KEY_NAME.test(name),
    );
    if (names.length > max) this.#refuse(`more than ${max} keys: a narrower prefix is needed`);
    const keys: ResidentKey[] = [];
    for (let at = 0; at < names.length; at += AT_ONCE) {
      const some = await Promise.all(names.slice(at, at + AT_ONCE).map((name) => this.#read(name)));
      keys.push(...some.flatMap((data) => toKeys(data)));
    }
    return keys;
  }

  /** null: there is no such key. */
  async #read(name: string): Promise<unknown> {
    const reply = await this.#call('GET', `keys/${name}`, undefined, true);
    return reply.status === 404 ? null : jsonAt(parseJson(reply.body), 'data');
  }

  async publicKey({ id, spec }: ResidentKey): Promise<Buffer> {
    const { name, version } = parseId(id);
    const shown = textAt(await this.#read(name), 'keys', String(version), 'public_key');
    if (shown === '') this.#refuse(`the server has no public key for version ${version} of "${name}"`);
    if (spec === 'ed25519') return Buffer.concat([ED25519_PREFIX, Buffer.from(shown, 'base64')]);
    return this.#parsePublic(shown).export({ format: 'der', type: 'spki' });
  }

  #parsePublic(pem: string): KeyObject {
    try {
      return createPublicKey(pem);
    } catch (cause) {
      throw new SidekeyError('provider_refused', `${this.#what}: the public key is malformed`, { cause });
    }
  }

  /** Transit takes the creation of a key that exists for done: the name is looked up before. */
  async create({ name, spec, sizeBits }: NewResidentKey): Promise<ResidentKey> {
    const row = TYPES.find((each) => each.spec === spec);
    if (row === undefined) this.#refuse(`Transit has no keys of type ${spec}`);
    if (!KEY_NAME.test(name))
      this.#refuse(
        `"${name}" cannot be the name of a key: only letters, digits, "_", "-" and "." are allowed`,
      );
    if ((await this.#read(name)) !== null) this.#refuse(`a key named "${name}" exists already`);
    const size = row.spec === 'generic' ? { key_size: sizeBits / 8 } : {};
    await this.#post(`keys/${name}`, { type: row.type, ...size });
    const [key] = toKeys(await this.#read(name));
    return key ?? this.#refuse(`the key "${name}" was created, but cannot be found`);
  }

  /** A code of an HMAC key is made again to be checked, by the newest version: with another one it would not be good any more. */
  async rotate(key: ResidentKey): Promise<ResidentKey> {
    const { name } = parseId(key.id);
    if (key.spec === 'generic')
      this.#refuse(
        `"${name}" is an HMAC key, whose codes only the newest version can check: it is not rotated`,
      );
    await this.#post(`keys/${name}/rotate`, {});
    const [made] = toKeys(await this.#read(name));
    return made ?? this.#refuse(`the key "${name}" was rotated, but cannot be found`);
  }

  /** All versions are destroyed with a key, so that only its newest stands for it. */
  async destroy(key: ResidentKey): Promise<string> {
    const { name } = parseId(key.id);
    if (!key.isPrimary)
      this.#refuse(
        `version ${key.version} of "${name}" cannot be destroyed alone: the server deletes all versions of a key`,
      );
    await this.#post(`keys/${name}/config`, { deletion_allowed: true });
    await this.#call('DELETE', `keys/${name}`);
    return 'destroyed with all versions';
  }

  async sign(key: ResidentKey, algorithm: SignAlgorithm, input: Buffer, saltBytes: number): Promise<Buffer> {
    const { name, version } = parseId(key.id);
    const isMac = algorithm.scheme === 'hmac';
    const fields = isMac
      ? { algorithm: transitHash(algorithm.hash) }
      : { key_version: version, ...signFields(algorithm, saltBytes) };
    const reply = await this.#post(`${isMac ? 'hmac' : 'sign'}/${name}`, {
      input: input.toString('base64'),
      ...fields,
    });
    const text = textAt(parseJson(reply.body), 'data', isMac ? 'hmac' : 'signature');
    const signature = Buffer.from(/^vault:v\d+:(.+)$/.exec(text)?.[1] ?? '', 'base64');
    const raw = algorithm.scheme === 'ecdsa' ? decodeDer(signature, key.sizeBits) : signature;
    if (raw !== null && raw.length > 0) return raw;
    throw new SidekeyError('provider_unreachable', `${this.#what}: sign/${name} returned no signature`);
  }

  encrypt(): Promise<Buffer> {
    return this.#refuse('Transit does not encrypt with an IV chosen by the caller');
  }

  async decrypt(
    key: ResidentKey,
    _algorithm: unknown,
    _parameters: unknown,
    ciphertext: Buffer,
  ): Promise<Buffer> {
    const { name, version } = parseId(key.id);
    const base64 = encodeBase64(ciphertext, 'standard');
    const framed = Buffer.concat([Buffer.from(`vault:v${version}:`), base64]);
    const body = jsonWithSecret({}, 'ciphertext', framed);
    try {
      const reply = await this.#call('POST', `decrypt/${name}`, body);
      const plaintext = takeSecret(reply.body, ['data', 'plaintext']);
      reply.body.fill(0);
      if (plaintext !== null) return plaintext;
    } catch (error) {
      if (didNotOpen(error))
        throw new SidekeyError('encrypted_data_invalid', error.message, { cause: error });
      throw error;
    }
    throw new SidekeyError('provider_unreachable', `${this.#what}: decrypt/${name} returned no plaintext`);
  }
}

function signFields({ scheme, hash }: SignAlgorithm, saltBytes: number): object {
  if (scheme === 'eddsa') return {};
  const fields = { prehashed: true, hash_algorithm: transitHash(hash) };
  if (scheme === 'ecdsa') return { ...fields, marshaling_algorithm: 'asn1' };
  if (scheme === 'rsa-pss') return { ...fields, signature_algorithm: 'pss', salt_length: String(saltBytes) };
  return { ...fields, signature_algorithm: 'pkcs1v15' };
}
