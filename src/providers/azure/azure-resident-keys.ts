/** Keys that stay in Azure Key Vault or a managed HSM: the enabled versions of the vault's RSA and EC keys, each an object of its own. */
import { SidekeyError } from '../../errors.ts';
import type { Clock } from '../../tokens/ports.ts';
import type {
  CipherAlgorithm,
  CipherParameters,
  NewResidentKey,
  ResidentKey,
  ResidentKeys,
  SignAlgorithm,
} from '../../tokens/resident-port.ts';
import { jsonAt, parseJson, takeSecret, textAt } from '../http/json-secret.ts';
import {
  creationOf,
  CREATABLE,
  findSpec,
  nameOfCipher,
  nameOfSign,
  permits,
  readPublicKey,
  RSA_CIPHERS,
} from './azure-algorithms.ts';
import type { AzureClient } from './azure-client.ts';

/** The most that the service gives at once. */
const PAGE = 25;
const PAGES_MAX = 400;
const ASKED_AT_ONCE = 8;
const KEY_NAME = /^[0-9A-Za-z-]{1,127}$/;
const KEY_ID = /^\/keys\/([0-9A-Za-z-]{1,127})(?:\/([0-9a-f]{32}))?$/;

export interface AzureResidentOptions {
  /** For messages: the provider. */
  readonly what: string;
  /** The KEK's name: not listed. */
  readonly kek: string;
  readonly client: AzureClient;
  readonly isHsm: boolean;
  readonly timeoutMs: number;
  readonly clock: Clock;
}

interface KeyName {
  readonly name: string;
  readonly version: string;
}

/** Of a key's URL, whose host may have another name than the configured one. */
function readKid(kid: string): KeyName | null {
  const [, name, version] = KEY_ID.exec(URL.canParse(kid) ? new URL(kid).pathname : '') ?? [];
  return name === undefined ? null : { name, version: version ?? '' };
}

function isEnabled(entry: unknown): boolean {
  return jsonAt(entry, 'attributes', 'enabled') !== false;
}

export class AzureResidentKeys implements ResidentKeys {
  readonly creates = CREATABLE;
  readonly keepsIds = false;
  readonly #options: AzureResidentOptions;

  constructor(options: AzureResidentOptions) {
    this.#options = options;
  }

  #what(name: string): string {
    return `${this.#options.what}, key ${name}`;
  }

  #refuse(name: string, why: string): never {
    throw new SidekeyError('provider_refused', `${this.#what(name)}: ${why}`);
  }

  /** All pages. Of a link to the next one, only its query is believed: tokens go to the configured host alone. */
  async #pages(path: string, end: number): Promise<unknown[]> {
    const found: unknown[] = [];
    let query: Record<string, string> = { maxresults: String(PAGE) };
    for (let page = 0; page < PAGES_MAX; page++) {
      if (this.#options.clock.monotonic() > end)
        throw new SidekeyError('provider_unreachable', `${this.#what(path)}: the list takes too long`);
      const { body } = await this.#options.client.call(this.#what(path), path, null, { query });
      const reply = parseJson(body);
      const entries = jsonAt(reply, 'value');
      if (Array.isArray(entries)) found.push(...(entries as unknown[]));
      const next = textAt(reply, 'nextLink');
      if (!URL.canParse(next)) return found;
      query = Object.fromEntries(new URL(next).searchParams);
    }
    return this.#refuse(path, 'the list has too many pages');
  }

  async list(prefix: string, max: number): Promise<ResidentKey[]> {
    const end = this.#options.clock.monotonic() + this.#options.timeoutMs;
    const names = (await this.#pages('keys', end))
      .map((entry) => readKid(textAt(entry, 'kid'))?.name ?? '')
      .filter((name) => name !== '' && name.startsWith(prefix))
      .filter((name) => name.toLowerCase() !== this.#options.kek.toLowerCase());
    const found: ResidentKey[] = [];
    for (let at = 0; at < names.length; at += ASKED_AT_ONCE) {
      const some = names.slice(at, at + ASKED_AT_ONCE).map((name) => this.#versions(name, end));
      found.push(...(await Promise.all(some)).flat());
      if (found.length > max) this.#refuse('-', `more than ${max} keys: a narrower prefix is needed`);
    }
    return found;
  }

  async #versions(name: string, end: number): Promise<ResidentKey[]> {
    const listed = (await this.#pages(`keys/${name}/versions`, end)).filter(isEnabled);
    const versions = listed.map((entry) => readKid(textAt(entry, 'kid'))?.version ?? '');
    const bundles: unknown[] = [];
    for (const version of versions.filter((each) => each !== ''))
      bundles.push(await this.#bundle({ name, version }));
    const shown = bundles.flatMap((bundle) => this.#describe(bundle, false));
    const latest = shown.length > 1 ? await this.#latest(name) : shown[0]?.version;
    return shown.map((key) => ({ ...key, isPrimary: key.version === latest }));
  }

  /** The version that the service takes when none is named. */
  async #latest(name: string): Promise<string> {
    return readKid(textAt(await this.#bundle({ name, version: '' }), 'key', 'kid'))?.version ?? '';
  }

  async #bundle({ name, version }: KeyName): Promise<unknown> {
    const path = version === '' ? `keys/${name}` : `keys/${name}/${version}`;
    return parseJson((await this.#options.client.call(this.#what(name), path, null)).body);
  }

  #describe(bundle: unknown, isPrimary: boolean): ResidentKey[] {
    const key = jsonAt(bundle, 'key');
    const [id, row] = [readKid(textAt(key, 'kid')), findSpec(key)];
    if (id === null || row === null || !isEnabled(bundle)) return [];
    const created = jsonAt(bundle, 'attributes', 'created');
    const canDecrypt = row.kty === 'RSA' && permits(key, 'decrypt');
    return [
      {
        ...{ id: `${id.name}/${id.version}`, name: id.name, version: id.version, isPrimary },
        ...{ spec: row.spec, sizeBits: row.sizeBits, ckaId: null },
        signs: permits(key, 'sign') ? row.signs.map(({ algorithm }) => algorithm) : [],
        ciphers: canDecrypt ? RSA_CIPHERS.map(({ algorithm }) => algorithm) : [],
        createdAt: typeof created === 'number' ? created * 1000 : null,
      },
    ];
  }

  async publicKey({ name, version }: ResidentKey): Promise<Buffer> {
    const key = readPublicKey(jsonAt(await this.#bundle({ name, version: version ?? '' }), 'key'));
    return key?.export({ format: 'der', type: 'spki' }) ?? this.#refuse(name, 'it has no public key');
  }

  /** A name that is there would get a new version: it is asked for before. */
  async create(wanted: NewResidentKey): Promise<ResidentKey> {
    const { client, isHsm } = this.#options;
    const { name } = wanted;
    const body = creationOf(wanted, isHsm);
    if (body === null) this.#refuse(name, 'Azure Key Vault has no keys of this type and size');
    if (!KEY_NAME.test(name)) this.#refuse(name, 'a name may contain only letters, digits and "-"');
    const there = await client.call(this.#what(name), `keys/${name}`, null, { accepts: 404 });
    if (there.status !== 404) this.#refuse(name, 'the name is in use already');
    const path = `keys/${name}/create`;
    const reply = await client.call(this.#what(name), path, Buffer.from(JSON.stringify(body)));
    const [key] = this.#describe(parseJson(reply.body), true);
    return key ?? this.#refuse(name, 'the service created a key of another kind than requested');
  }

  async rotate({ name }: ResidentKey): Promise<ResidentKey> {
    const reply = await this.#options.client.call(this.#what(name), `keys/${name}/rotate`, Buffer.from('{}'));
    const [key] = this.#describe(parseJson(reply.body), true);
    return key ?? this.#refuse(name, 'the service created a key of another kind than requested');
  }

  /** The service deletes a whole key: one with other versions, each an object of its own, is left alone. */
  async destroy({ name }: ResidentKey): Promise<string> {
    const { client, clock, timeoutMs } = this.#options;
    const versions = await this.#pages(`keys/${name}/versions`, clock.monotonic() + timeoutMs);
    if (versions.length > 1)
      this.#refuse(name, `it has ${versions.length} versions, and the service deletes them only together`);
    const { body } = await client.call(this.#what(name), `keys/${name}`, null, { method: 'DELETE' });
    const at = jsonAt(parseJson(body), 'scheduledPurgeDate');
    return typeof at === 'number' ? `is destroyed at ${new Date(at * 1000).toISOString()}` : 'destroyed';
  }

  async sign(key: ResidentKey, algorithm: SignAlgorithm, input: Buffer): Promise<Buffer> {
    const alg = nameOfSign(key.spec, algorithm) ?? this.#refuse(key.name, 'the key has no such algorithm');
    const request = Buffer.from(JSON.stringify({ alg, value: input.toString('base64url') }));
    const what = `${this.#what(key.id)}: sign`;
    const { body } = await this.#options.client.call(what, `keys/${key.id}/sign`, request);
    const signature = Buffer.from(textAt(parseJson(body), 'value'), 'base64url');
    if (signature.length > 0) return signature;
    throw new SidekeyError('provider_unreachable', `${what} returned no signature`);
  }

  async encrypt(key: ResidentKey): Promise<Buffer> {
    return this.#refuse(key.name, 'symmetric keys are not supported');
  }

  async decrypt(
    key: ResidentKey,
    algorithm: CipherAlgorithm,
    _parameters: CipherParameters,
    ciphertext: Buffer,
  ): Promise<Buffer> {
    const alg = nameOfCipher(algorithm) ?? this.#refuse(key.name, 'the key has no such algorithm');
    const request = Buffer.from(JSON.stringify({ alg, value: ciphertext.toString('base64url') }));
    const what = `${this.#what(key.id)}: decrypt`;
    const { body } = await this.#options.client.call(what, `keys/${key.id}/decrypt`, request, {
      badParameter: 'encrypted_data_invalid',
    });
    const plaintext = takeSecret(body, ['value']);
    body.fill(0);
    if (plaintext) return plaintext;
    throw new SidekeyError('provider_unreachable', `${what} returned no plaintext`);
  }
}
