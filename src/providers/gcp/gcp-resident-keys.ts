/**
 * Keys that stay in Google Cloud KMS: the enabled versions of the keys in the KEK's key ring, each an object of its own. Checksums are sent with
 * everything and checked in everything, as for data keys.
 */
import { createPublicKey } from 'node:crypto';
import { SidekeyError } from '../../errors.ts';
import type {
  CipherAlgorithm,
  CipherParameters,
  NewResidentKey,
  ResidentKey,
  ResidentKeys,
  SignAlgorithm,
} from '../../tokens/resident-port.ts';
import type { Clock } from '../../tokens/ports.ts';
import { decodeDer } from '../../wire/ecdsa-signature.ts';
import { encodeBase64 } from '../http/base64-bytes.ts';
import { jsonAt, jsonWithSecret, parseJson, takeSecret, textAt } from '../http/json-secret.ts';
import { chooseAlgorithm, creatableSpecs, findAlgorithm } from './gcp-algorithms.ts';
import type { GcpClient } from './gcp-client.ts';
import { checksum, fieldsOf, isVerified } from './gcp-fields.ts';

const PAGE = 500;
const PAGES_MAX = 40;
const ASKED_AT_ONCE = 8;
const KEY_ID = /^[A-Za-z0-9_-]{1,63}$/;
/** A new version is generated after the key is there. */
const PENDING = 'PENDING_GENERATION';
const PENDING_PAUSE_MS = 250;

export interface GcpResidentOptions {
  /** For messages: the provider. */
  readonly what: string;
  /** The KEK: its ring is listed, it is not. */
  readonly kek: string;
  readonly client: GcpClient;
  readonly protectionLevel: 'SOFTWARE' | 'HSM';
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly sleep: (ms: number) => Promise<unknown>;
}

function lastOf(name: string): string {
  return name.slice(name.lastIndexOf('/') + 1);
}

function arrayAt(value: unknown, field: string): unknown[] {
  const found = jsonAt(value, field);
  return Array.isArray(found) ? found : [];
}

export class GcpResidentKeys implements ResidentKeys {
  readonly creates;
  readonly keepsIds = false;
  readonly #options: GcpResidentOptions;
  readonly #ring: string;

  constructor(options: GcpResidentOptions) {
    this.#options = options;
    this.#ring = options.kek.slice(0, options.kek.indexOf('/cryptoKeys/'));
    this.creates = creatableSpecs(options.protectionLevel);
  }

  #refuse(name: string, why: string): never {
    throw new SidekeyError('provider_refused', `${this.#what(name)}: ${why}`);
  }

  #what(name: string): string {
    return `${this.#options.what}, key ${name}`;
  }

  async #get(path: string): Promise<unknown> {
    return parseJson(await this.#options.client.call({ what: this.#what(path), path, body: null }));
  }

  /** All pages of a list; the service orders them. */
  async #pages(path: string, field: string, query: string, end: number): Promise<unknown[]> {
    const found: unknown[] = [];
    let token = '';
    for (let page = 0; page < PAGES_MAX; page++) {
      if (this.#options.clock.monotonic() > end)
        throw new SidekeyError('provider_unreachable', `${this.#what(path)}: the list takes too long`);
      const from = token === '' ? '' : `&pageToken=${encodeURIComponent(token)}`;
      const reply = await this.#get(`${path}?pageSize=${PAGE}${query}${from}`);
      found.push(...arrayAt(reply, field));
      token = textAt(reply, 'nextPageToken');
      if (token === '') return found;
    }
    return this.#refuse(path, 'the list has too many pages');
  }

  async list(prefix: string, max: number): Promise<ResidentKey[]> {
    const end = this.#options.clock.monotonic() + this.#options.timeoutMs;
    const names = (await this.#pages(`${this.#ring}/cryptoKeys`, 'cryptoKeys', '', end))
      .filter((key) => textAt(key, 'purpose') !== 'ENCRYPT_DECRYPT')
      .map((key) => textAt(key, 'name'))
      .filter((name) => name !== this.#options.kek && lastOf(name).startsWith(prefix));
    const found: ResidentKey[] = [];
    for (let at = 0; at < names.length; at += ASKED_AT_ONCE) {
      const some = names.slice(at, at + ASKED_AT_ONCE).map((name) => this.#versions(name, end));
      found.push(...(await Promise.all(some)).flat());
      if (found.length > max) this.#refuse(this.#ring, `more than ${max} keys: a narrower prefix is needed`);
    }
    return found;
  }

  /** The newest enabled version is the one that is meant when none is named. */
  async #versions(name: string, end: number): Promise<ResidentKey[]> {
    const filter = `&filter=${encodeURIComponent('state=ENABLED')}`;
    const listed = await this.#pages(`${name}/cryptoKeyVersions`, 'cryptoKeyVersions', filter, end);
    const enabled = listed
      .filter((version) => textAt(version, 'state') === 'ENABLED')
      .sort((a, b) => Number(lastOf(textAt(b, 'name'))) - Number(lastOf(textAt(a, 'name'))));
    return enabled.flatMap((version, at) => this.#describe(name, version, at === 0));
  }

  #describe(key: string, version: unknown, isPrimary: boolean): ResidentKey[] {
    const id = textAt(version, 'name');
    const row = findAlgorithm(textAt(version, 'algorithm'));
    const created = Date.parse(textAt(version, 'createTime'));
    if (row === null || !id.startsWith(`${key}/cryptoKeyVersions/`)) return [];
    return [
      {
        ...{ id, name: lastOf(key), version: lastOf(id), isPrimary, spec: row.spec, sizeBits: row.sizeBits },
        signs: row.sign === null ? [] : [row.sign],
        ciphers: row.cipher === null ? [] : [row.cipher],
        ...{ ckaId: null, createdAt: Number.isNaN(created) ? null : created },
      },
    ];
  }

  async publicKey({ id }: ResidentKey): Promise<Buffer> {
    const check = (body: Buffer): string | null => {
      const reply = parseJson(body);
      const pem = Buffer.from(textAt(reply, 'pem'), 'latin1');
      const isGood = textAt(reply, 'name') === id && textAt(reply, 'pemCrc32c') === checksum(pem);
      return isGood ? null : 'the public key changed on its way';
    };
    const path = `${id}/publicKey`;
    const body = await this.#options.client.call({ what: this.#what(id), path, body: null, check });
    try {
      return createPublicKey(textAt(parseJson(body), 'pem')).export({ format: 'der', type: 'spki' });
    } catch (cause) {
      throw new SidekeyError('provider_refused', `${this.#what(id)}: no public key`, { cause });
    }
  }

  async create(wanted: NewResidentKey): Promise<ResidentKey> {
    const { client, protectionLevel } = this.#options;
    const row = chooseAlgorithm(wanted);
    if (row === null) this.#refuse(wanted.name, 'Google Cloud KMS has no keys of this type and size');
    if (!KEY_ID.test(wanted.name))
      this.#refuse(wanted.name, 'a name may contain only letters, digits, "_" and "-"');
    const template = { algorithm: row.name, protectionLevel };
    await client.call({
      what: this.#what(wanted.name),
      path: `${this.#ring}/cryptoKeys?cryptoKeyId=${wanted.name}`,
      body: Buffer.from(JSON.stringify({ purpose: row.purpose, versionTemplate: template })),
    });
    const name = `${this.#ring}/cryptoKeys/${wanted.name}`;
    const version = await this.#generated(`${name}/cryptoKeyVersions/1`);
    const [key] = this.#describe(name, version, true);
    return key ?? this.#refuse(wanted.name, 'the service created a key of another kind');
  }

  async #generated(path: string): Promise<unknown> {
    const { clock, sleep, timeoutMs } = this.#options;
    const end = clock.monotonic() + timeoutMs;
    for (;;) {
      const version = await this.#get(path);
      const state = textAt(version, 'state');
      if (state === 'ENABLED') return version;
      if (state !== PENDING) this.#refuse(path, `the new version is ${state}, and not ENABLED`);
      if (clock.monotonic() + PENDING_PAUSE_MS > end)
        throw new SidekeyError('provider_unreachable', `${this.#what(path)}: it is still being generated`);
      await sleep(PENDING_PAUSE_MS);
    }
  }

  async rotate(key: ResidentKey): Promise<ResidentKey> {
    const name = key.id.slice(0, key.id.indexOf('/cryptoKeyVersions/'));
    const path = `${name}/cryptoKeyVersions`;
    const body = Buffer.from('{}');
    const reply = parseJson(await this.#options.client.call({ what: this.#what(name), path, body }));
    const version = await this.#generated(textAt(reply, 'name'));
    const [made] = this.#describe(name, version, true);
    return made ?? this.#refuse(name, 'the service created a version of another kind');
  }

  async destroy({ id }: ResidentKey): Promise<string> {
    const path = `${id}:destroy`;
    const body = Buffer.from('{}');
    const reply = parseJson(await this.#options.client.call({ what: this.#what(id), path, body }));
    const at = textAt(reply, 'destroyTime');
    return at === '' ? 'destroyed' : `is destroyed at ${at}`;
  }

  async sign(key: ResidentKey, algorithm: SignAlgorithm, input: Buffer): Promise<Buffer> {
    if (algorithm.scheme === 'hmac') return this.#answer(key, 'macSign', fieldsOf('data', input), 'mac');
    const { hash } = algorithm;
    const request =
      hash === null
        ? fieldsOf('data', input)
        : { digest: { [hash]: input.toString('base64') }, digestCrc32c: checksum(input) };
    const signature = await this.#answer(key, 'asymmetricSign', request, 'signature');
    if (algorithm.scheme !== 'ecdsa') return signature;
    return (
      decodeDer(signature, key.sizeBits) ??
      this.#refuse(key.id, 'the service returned a malformed ECDSA signature')
    );
  }

  /** Public bytes: a signature, a code. */
  async #answer(key: ResidentKey, verb: string, request: object, field: string): Promise<Buffer> {
    const check = (body: Buffer): string | null => {
      const reply = parseJson(body);
      if (!isVerified(reply, request)) return 'the request changed on its way';
      const bytes = Buffer.from(textAt(reply, field), 'base64');
      const isGood = textAt(reply, 'name') === key.id && textAt(reply, `${field}Crc32c`) === checksum(bytes);
      return isGood && bytes.length > 0 ? null : `the ${field} changed on its way`;
    };
    const what = `${this.#what(key.id)}: ${verb}`;
    const body = Buffer.from(JSON.stringify(request));
    const reply = await this.#options.client.call({ what, path: `${key.id}:${verb}`, body, check });
    return Buffer.from(textAt(parseJson(reply), field), 'base64');
  }

  async encrypt(
    key: ResidentKey,
    _algorithm: CipherAlgorithm,
    { iv }: CipherParameters,
    plaintext: Buffer,
  ): Promise<Buffer> {
    const others = { plaintextCrc32c: checksum(plaintext), ...fieldsOf('initializationVector', iv) };
    const base64 = encodeBase64(plaintext, 'standard');
    const body = jsonWithSecret(others, 'plaintext', base64);
    const check = (answer: Buffer): string | null => {
      const reply = parseJson(answer);
      if (!isVerified(reply, others)) return 'the request changed on its way';
      const bytes = Buffer.from(textAt(reply, 'ciphertext'), 'base64');
      const isGood =
        textAt(reply, 'name') === key.id && textAt(reply, 'ciphertextCrc32c') === checksum(bytes);
      return isGood ? null : 'the ciphertext changed on its way';
    };
    try {
      const what = `${this.#what(key.id)}: rawEncrypt`;
      const reply = await this.#options.client.call({ what, path: `${key.id}:rawEncrypt`, body, check });
      return Buffer.from(textAt(parseJson(reply), 'ciphertext'), 'base64');
    } finally {
      base64.fill(0);
      body.fill(0);
    }
  }

  async decrypt(
    key: ResidentKey,
    { scheme }: CipherAlgorithm,
    { iv, aad, tagBits }: CipherParameters,
    ciphertext: Buffer,
  ): Promise<Buffer> {
    const isRaw = scheme !== 'rsa-oaep';
    const request = {
      ...fieldsOf('ciphertext', ciphertext),
      ...(isRaw ? fieldsOf('initializationVector', iv) : {}),
      ...(scheme === 'aes-gcm'
        ? { ...fieldsOf('additionalAuthenticatedData', aad), tagLength: tagBits / 8 }
        : {}),
    };
    let plaintext: Buffer | null = null;
    const check = (body: Buffer): string | null => {
      // An empty field is left out of this JSON.
      const taken = takeSecret(body, ['plaintext']) ?? Buffer.alloc(0);
      const reply = parseJson(body);
      body.fill(0);
      if (isVerified(reply, request) && textAt(reply, 'plaintextCrc32c') === checksum(taken)) {
        plaintext = taken;
        return null;
      }
      taken.fill(0);
      return 'the plaintext changed on its way';
    };
    const verb = isRaw ? 'rawDecrypt' : 'asymmetricDecrypt';
    await this.#options.client.call({
      what: `${this.#what(key.id)}: ${verb}`,
      path: `${key.id}:${verb}`,
      body: Buffer.from(JSON.stringify(request)),
      check,
      badArgument: 'encrypted_data_invalid',
    });
    if (plaintext) return plaintext;
    throw new SidekeyError('internal', `${this.#what(key.id)}: the integrity of a response was not checked`);
  }
}
