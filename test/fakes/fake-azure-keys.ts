/** The keys of the strict Azure vault: made, listed in pages, in versions, used by real cryptography, deleted as a whole and recovered. */
import {
  constants,
  createHash,
  createPublicKey,
  generateKeyPairSync,
  privateDecrypt,
  publicEncrypt,
  randomBytes,
  type KeyObject,
} from 'node:crypto';
import { decodeDer, encodeDer } from '../../src/wire/ecdsa-signature.ts';
import { signDigest, verifyDigest, type DigestScheme } from './sign-digest.ts';

export type AzureRefusal = (status: number, code: string, message: string, inner?: string) => never;

interface Version {
  readonly version: string;
  readonly kty: string;
  readonly crv: string | null;
  readonly operations: readonly string[];
  readonly created: number;
  readonly privateKey: KeyObject;
  enabled: boolean;
}

const CURVES: Readonly<Record<string, { name: string; bits: number }>> = {
  'P-256': { name: 'P-256', bits: 256 },
  'P-384': { name: 'P-384', bits: 384 },
  'P-521': { name: 'P-521', bits: 521 },
  'P-256K': { name: 'secp256k1', bits: 256 },
};
const EC_ALGORITHM: Readonly<Record<string, string>> = {
  'P-256': 'ES256',
  'P-384': 'ES384',
  'P-521': 'ES512',
  'P-256K': 'ES256K',
};
const HASHES: Readonly<Record<string, string>> = { 256: 'sha256', 384: 'sha384', 512: 'sha512' };
const OPENINGS: Readonly<Record<string, { padding: number; oaepHash?: string }>> = {
  'RSA-OAEP-256': { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' },
  'RSA-OAEP': { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha1' },
  RSA1_5: { padding: constants.RSA_PKCS1_PADDING },
};
const OPERATIONS = ['sign', 'verify', 'encrypt', 'decrypt', 'wrapKey', 'unwrapKey'];

export class FakeAzureKeys {
  readonly #refuse: AzureRefusal;
  readonly #keys = new Map<string, Version[]>();
  readonly #deleted = new Map<string, { versions: Version[]; at: number }>();
  /** Most entries of a page. */
  page = 2;

  constructor(refuse: AzureRefusal) {
    this.#refuse = refuse;
  }

  /** All versions of a key, the newest last; none: it is not there. */
  set(name: string, versions: Version[]): void {
    if (versions.length > 0) this.#keys.set(name, versions);
    else this.#keys.delete(name);
  }

  /** A further version of a key. */
  add(name: string, kty: string, crv: string | null, bits: number, operations: readonly string[]): Version {
    const privateKey = kty.startsWith('RSA')
      ? generateKeyPairSync('rsa', { modulusLength: bits }).privateKey
      : generateKeyPairSync('ec', { namedCurve: CURVES[crv ?? '']?.name ?? '' }).privateKey;
    const made: Version = {
      ...{ version: randomBytes(16).toString('hex'), kty, crv, operations, privateKey, enabled: true },
      created: Math.floor(Date.now() / 1000),
    };
    this.#keys.set(name, [...(this.#keys.get(name) ?? []), made]);
    return made;
  }

  /** `fields`: null without a body. A path may end in "/": Microsoft's clients ask so for the newest version. */
  answer(method: string, url: URL, fields: Record<string, unknown> | null): object {
    const [collection, name = '', part = '', verb = ''] = url.pathname.split('/').slice(1);
    if (collection === 'deletedkeys') return this.#answerDeleted(method, name, part);
    if (collection !== 'keys') return this.#refuse(404, 'NotFound', url.pathname);
    const mayBeEmpty = method === 'POST' && part === 'rotate';
    if (!mayBeEmpty && /^(POST|PATCH)$/.test(method) !== (fields !== null))
      this.#refuse(400, 'BadParameter', 'a body');
    if (method === 'GET' && name === '') return this.#listKeys(url);
    if (method === 'POST' && part === 'create') return this.#create(name, fields ?? {});
    const versions = this.#versions(name);
    if (method === 'POST' && part === 'rotate') return this.#rotate(name, versions, fields ?? {});
    if (method === 'DELETE' && part === '') return this.#delete(name, versions);
    if (method === 'GET' && part === 'versions') return this.#listVersions(name, versions, url);
    const version = part === '' ? versions.at(-1) : versions.find((each) => each.version === part);
    if (!version) return this.#refuse(404, 'KeyNotFound', `${name}/${part} was not found`);
    if (method === 'GET') return this.#bundle(name, version);
    if (method === 'PATCH') return this.#update(name, version, fields ?? {});
    return this.#use(name, version, verb, fields ?? {});
  }

  #answerDeleted(method: string, name: string, part: string): object {
    const { versions, at } =
      this.#deleted.get(name) ?? this.#refuse(404, 'KeyNotFound', `${name} was not found among the deleted.`);
    if (method === 'GET' && part === '') return this.#deletedBundle(name, versions, at);
    if (method !== 'POST' || part !== 'recover') return this.#refuse(405, 'BadParameter', method);
    this.#deleted.delete(name);
    this.#keys.set(name, versions);
    const [last] = versions.slice(-1);
    return last ? this.#bundle(name, last) : this.#refuse(500, 'InternalError', 'no version');
  }

  #update(name: string, version: Version, { attributes, ...others }: Record<string, unknown>): object {
    const { enabled, ...more } = Object(attributes) as Record<string, unknown>;
    if (typeof enabled !== 'boolean' || Object.keys({ ...others, ...more }).length > 0)
      return this.#refuse(400, 'BadParameter', 'update');
    version.enabled = enabled;
    return this.#bundle(name, version);
  }

  #versions(name: string): Version[] {
    return (
      this.#keys.get(name) ?? this.#refuse(404, 'KeyNotFound', `${name} was not found in this key vault.`)
    );
  }

  /** Its ids name another host, as those of emulators do. */
  #kid(name: string, version = ''): string {
    return `https://name.vault.azure.net/keys/${name}${version && `/${version}`}`;
  }

  #bundle(name: string, { version, kty, crv, operations, created, privateKey, enabled }: Version): object {
    const { n, e, x, y } = createPublicKey(privateKey).export({ format: 'jwk' });
    const numbers = crv === null ? { n, e } : { crv, x, y };
    const key = { kid: this.#kid(name, version), kty, key_ops: operations, ...numbers };
    return { key, attributes: { enabled, created, updated: created, recoverableDays: 90 } };
  }

  #paged(url: URL, entries: readonly object[]): object {
    const size = Number(url.searchParams.get('maxresults') ?? 25);
    if (!(size >= 1 && size <= 25)) this.#refuse(400, 'BadParameter', 'maxresults');
    const from = Number(url.searchParams.get('$skiptoken') ?? 0);
    const to = from + Math.min(size, this.page);
    const next = `https://name.vault.azure.net${url.pathname}?api-version=7.4&$skiptoken=${to}&maxresults=${size}`;
    return { value: entries.slice(from, to), nextLink: to < entries.length ? next : null };
  }

  #listKeys(url: URL): object {
    const entries = [...this.#keys].map(([name, versions]) => ({
      ...{ kid: this.#kid(name), attributes: { enabled: versions.at(-1)?.enabled } },
    }));
    return this.#paged(url, entries);
  }

  #listVersions(name: string, versions: readonly Version[], url: URL): object {
    const entries = versions.map(({ version, enabled, created }) => ({
      ...{ kid: this.#kid(name, version), attributes: { enabled, created } },
    }));
    return this.#paged(url, entries);
  }

  #create(
    name: string,
    { kty, key_size: bits, crv, key_ops: operations, ...others }: Record<string, unknown>,
  ): object {
    const isKey =
      (/^RSA(-HSM)?$/.test(String(kty)) && [2048, 3072, 4096].includes(Number(bits)) && crv === undefined) ||
      (/^EC(-HSM)?$/.test(String(kty)) && CURVES[String(crv)] !== undefined && bits === undefined);
    const isUsed = Array.isArray(operations) && operations.every((each) => OPERATIONS.includes(String(each)));
    if (!isKey || !isUsed || Object.keys(others).length > 0 || !/^[0-9A-Za-z-]{1,127}$/.test(name))
      return this.#refuse(400, 'BadParameter', 'create');
    if (this.#deleted.has(name))
      this.#refuse(409, 'Conflict', `${name} is deleted`, 'ObjectIsDeletedButRecoverable');
    const curve = crv === undefined ? null : String(crv);
    return this.#bundle(name, this.add(name, String(kty), curve, Number(bits), operations));
  }

  #rotate(name: string, versions: readonly Version[], fields: Record<string, unknown>): object {
    const last = versions.at(-1);
    if (!last || Object.keys(fields).length > 0) return this.#refuse(400, 'BadParameter', 'rotate');
    const bits = last.privateKey.asymmetricKeyDetails?.modulusLength ?? 0;
    return this.#bundle(name, this.add(name, last.kty, last.crv, bits, last.operations));
  }

  #delete(name: string, versions: Version[]): object {
    const at = Math.floor(Date.now() / 1000);
    this.#keys.delete(name);
    this.#deleted.set(name, { versions, at });
    return this.#deletedBundle(name, versions, at);
  }

  #deletedBundle(name: string, versions: readonly Version[], deletedDate: number): object {
    const [last] = versions.slice(-1);
    const recovery = { recoveryId: `https://name.vault.azure.net/deletedkeys/${name}`, deletedDate };
    const bundle = last ? this.#bundle(name, last) : {};
    return { ...bundle, ...recovery, scheduledPurgeDate: deletedDate + 90 * 86_400 };
  }

  #use(name: string, version: Version, verb: string, fields: Record<string, unknown>): object {
    const operation = OPERATIONS.find((each) => each.toLowerCase() === verb);
    if (operation === undefined) return this.#refuse(404, 'NotFound', verb);
    if (!version.enabled)
      this.#refuse(403, 'Forbidden', `Operation ${verb} is not allowed on a disabled key.`, 'KeyDisabled');
    if (!version.operations.includes(operation))
      this.#refuse(403, 'Forbidden', `Operation ${verb} is not permitted on this key.`);
    if (operation === 'verify') return this.#verify(version, fields);
    const { alg, value, ...others } = fields;
    if (Object.keys(others).length > 0) this.#refuse(400, 'BadParameter', 'fields');
    const result = this.#run(version, operation, String(alg), this.#bytes(value));
    return { kid: this.#kid(name, version.version), value: result.toString('base64url') };
  }

  #bytes(value: unknown): Buffer {
    if (typeof value === 'string' && /^[A-Za-z0-9_-]+$/.test(value)) return Buffer.from(value, 'base64url');
    return this.#refuse(400, 'BadParameter', 'value');
  }

  #run(version: Version, operation: string, alg: string, bytes: Buffer): Buffer {
    if (operation === 'sign') return this.#sign(version, alg, bytes);
    const how = OPENINGS[alg] ?? this.#refuse(400, 'BadParameter', alg);
    const isOpening = operation === 'decrypt' || operation === 'unwrapKey';
    const key = { key: isOpening ? version.privateKey : createPublicKey(version.privateKey), ...how };
    try {
      return isOpening ? privateDecrypt(key, bytes) : publicEncrypt(key, bytes);
    } catch {
      return this.#refuse(400, 'BadParameter', 'The parameter is incorrect.');
    }
  }

  /** The digest is checked as for a signature. */
  #verify(version: Version, { alg, digest, value, ...others }: Record<string, unknown>): object {
    if (Object.keys(others).length > 0) this.#refuse(400, 'BadParameter', 'fields');
    const [bytes, signature] = [this.#bytes(digest), this.#bytes(value)];
    const scheme = this.#schemeOf(version, String(alg), bytes);
    const der = version.crv === null ? signature : encodeDer(signature);
    return { value: verifyDigest(version.privateKey, scheme, bytes, der) };
  }

  #schemeOf({ crv }: Version, alg: string, digest: Buffer): DigestScheme {
    const hash = HASHES[/\d+/.exec(alg)?.[0] ?? ''] ?? '';
    const isKnown = crv === null ? /^[RP]S(256|384|512)$/.test(alg) : alg === EC_ALGORITHM[crv];
    if (!isKnown || digest.length !== createHash(hash).digest().length)
      return this.#refuse(400, 'BadParameter', `${alg} of ${digest.length} bytes`);
    if (crv !== null) return { scheme: 'ecdsa', hash };
    return { scheme: alg.startsWith('P') ? 'rsa-pss' : 'rsa-pkcs1', hash };
  }

  #sign(version: Version, alg: string, digest: Buffer): Buffer {
    const { crv, privateKey } = version;
    const signature = signDigest(privateKey, this.#schemeOf(version, alg, digest), digest);
    if (crv === null) return signature;
    return decodeDer(signature, CURVES[crv]?.bits ?? 0) ?? this.#refuse(500, 'InternalError', 'ecdsa');
  }
}
