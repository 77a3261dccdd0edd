/**
 * A KEK in Azure Key Vault or Managed HSM: an RSA key that wraps by OAEP with SHA-256. The service takes no associated data, so the
 * digest of the purpose is wrapped with the key. The exact version that wrapped is in the blob: another one cannot unwrap.
 */
import { SYSTEM_TIMER } from '../../clock.ts';
import { SidekeyError } from '../../errors.ts';
import { encodeBase64 } from '../http/base64-bytes.ts';
import { HttpClient } from '../http/http-client.ts';
import { createTransport } from '../http/http-options.ts';
import { jsonAt, jsonWithSecret, parseJson, takeSecret, textAt } from '../http/json-secret.ts';
import { ServiceCaller } from '../http/service-call.ts';
import { NO_TLS_FILES } from '../http/tls-files.ts';
import { defineKind, healthOf, type KeyService, type KeyServiceDeps } from '../key-service.ts';
import { makeDataKey } from '../data-key.ts';
import { takeRandom } from '../service-random.ts';
import { boundPlaintext, formatWrappedKey, openBoundPlaintext, parseWrappedKey } from '../wrapped-key.ts';
import { AzureClient } from './azure-client.ts';
import { azureSchema, type AzureOptions } from './azure-options.ts';
import { AzureResidentKeys } from './azure-resident-keys.ts';
import { AzureTokens } from './azure-tokens.ts';

const KIND = 'azure-key-vault';
const RANDOM_PIECE_MAX = 128;
const ALGORITHM = 'RSA-OAEP-256';

class AzureKey {
  readonly #key: string;
  readonly #client: AzureClient;
  readonly #what: string;

  constructor(name: string, key: string, client: AzureClient) {
    this.#key = key;
    this.#client = client;
    this.#what = `provider "${name}", key ${key}`;
  }

  /** Under the newest version. */
  async wrap(key: Buffer, purpose: string): Promise<Buffer> {
    const version = this.#versionOf((await this.#describe()).kid);
    const plaintext = boundPlaintext(KIND, purpose, key);
    const base64 = encodeBase64(plaintext, 'url');
    const body = jsonWithSecret({ alg: ALGORITHM }, 'value', base64);
    try {
      const path = `keys/${this.#key}/${version}/wrapkey`;
      const reply = parseJson((await this.#client.call(`${this.#what}: wrapkey`, path, body)).body);
      const [reference, ciphertext] = [
        textAt(reply, 'kid'),
        Buffer.from(textAt(reply, 'value'), 'base64url'),
      ];
      if (this.#versionOf(reference) === version && ciphertext.length > 0)
        return formatWrappedKey(KIND, { reference, ciphertext });
      throw new SidekeyError('provider_unreachable', `${this.#what}: wrapkey returned no wrapped key`);
    } finally {
      for (const secret of [plaintext, base64, body]) secret.fill(0);
    }
  }

  async unwrap(wrapped: Buffer, purpose: string): Promise<Buffer> {
    const { reference, ciphertext } = parseWrappedKey(KIND, wrapped);
    const path = `keys/${this.#key}/${this.#versionOf(reference)}/unwrapkey`;
    const request = { alg: ALGORITHM, value: ciphertext.toString('base64url') };
    const what = `${this.#what}: unwrapkey`;
    const { body } = await this.#client.call(what, path, Buffer.from(JSON.stringify(request)));
    const plaintext = takeSecret(body, ['value']);
    body.fill(0);
    if (plaintext) return openBoundPlaintext(KIND, purpose, plaintext);
    throw new SidekeyError('provider_unreachable', `${what} returned no key`);
  }

  async health(): Promise<string> {
    const { kid, kty, isEnabled } = await this.#describe();
    const facts = `${this.#what}: ${kty}, ${kid}`;
    if (!isEnabled) throw new SidekeyError('provider_refused', `${facts} is disabled`);
    if (!kty.startsWith('RSA')) throw new SidekeyError('provider_refused', `${facts} is not an RSA key`);
    return facts;
  }

  async #describe(): Promise<{ kid: string; kty: string; isEnabled: boolean }> {
    const reply = parseJson((await this.#client.call(this.#what, `keys/${this.#key}`, null)).body);
    const isEnabled = jsonAt(reply, 'attributes', 'enabled') !== false;
    return { kid: textAt(reply, 'key', 'kid'), kty: textAt(reply, 'key', 'kty'), isEnabled };
  }

  /** Of this key; the host may have another name than the configured one. */
  #versionOf(kid: string): string {
    const path = URL.canParse(kid) ? new URL(kid).pathname : '';
    const [, key, version] = /^\/keys\/([0-9A-Za-z-]+)\/([0-9a-f]{32})$/.exec(path) ?? [];
    if (key?.toLowerCase() === this.#key.toLowerCase() && version !== undefined) return version;
    throw new SidekeyError('provider_refused', `${this.#what}: "${kid}" is not a version of this key`);
  }

  readonly random = (bytes: number): Promise<Buffer> =>
    takeRandom({ what: this.#what, pieceMax: RANDOM_PIECE_MAX, ask: (count) => this.#random(count) }, bytes);

  /** Of a managed HSM; a vault knows no such path. */
  async #random(count: number): Promise<Buffer | null> {
    const { body } = await this.#client.call(
      `${this.#what}: rng`,
      'rng',
      Buffer.from(JSON.stringify({ count })),
    );
    const random = takeSecret(body, ['value']);
    body.fill(0);
    return random;
  }
}

/** The metadata service is on this host: never through a proxy, and nothing is trusted of its certificate. */
function createLogin(options: AzureOptions, deps: KeyServiceDeps) {
  const isLocal = options.auth.method === 'managed-identity';
  if (!isLocal) return createTransport(options, deps);
  const http = new HttpClient({ tls: NO_TLS_FILES, proxy: { noProxy: '*' } });
  const { clock, random } = deps;
  const { timeout: overallMs, 'try-timeout': tryMs } = options;
  return { http, caller: new ServiceCaller({ http, clock, random, timer: SYSTEM_TIMER, tryMs, overallMs }) };
}

function createAzure(options: AzureOptions, deps: KeyServiceDeps): KeyService {
  const { name, random, clock, resolvePath } = deps;
  const vault = createTransport(options, deps);
  const login = createLogin(options, deps);
  const tokens = new AzureTokens({
    what: `provider "${name}"`,
    auth: options.auth,
    caller: login.caller,
    clock,
    random,
    authority: options.authority ?? null,
    environment: process.env,
    resolvePath,
    nowMs: () => clock.now(),
  });
  const client = new AzureClient(new URL(options.vault), options.resource ?? null, vault.caller, tokens);
  const kek = new AzureKey(name, options.key, client);
  const resident = new AzureResidentKeys({
    what: `provider "${name}"`,
    kek: options.key,
    client,
    isHsm: options['resident-protection'] === 'hsm',
    timeoutMs: options.timeout,
    clock,
  });
  return {
    resident,
    random: kek.random,
    generateDataKey: (purpose) => makeDataKey(random, (plaintext) => kek.wrap(plaintext, purpose)),
    unwrapDataKey: (wrapped, purpose) => kek.unwrap(wrapped, purpose),
    credentialSecondsLeft: () => tokens.secondsLeft,
    health: () => healthOf(() => kek.health()),
    async close() {
      await Promise.all([vault.http.close(), login.http.close()]);
    },
  };
}

export const azureKind = defineKind(KIND, azureSchema, createAzure);
