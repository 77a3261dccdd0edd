/**
 * A KEK in a Transit mount. The data key is made here and encrypted there, with the digest of its binding behind it: a server that
 * ignores associated data (Vault before 1.9 does, silently) still cannot have a blob opened for another purpose.
 */
import { createHash } from 'node:crypto';
import { SYSTEM_TIMER } from '../../clock.ts';
import { SidekeyError } from '../../errors.ts';
import { encodeBase64 } from '../http/base64-bytes.ts';
import { createTransport, tlsPaths } from '../http/http-options.ts';
import { jsonAt, jsonWithSecret, parseJson, takeSecret, textAt } from '../http/json-secret.ts';
import { defineKind, healthOf, type KeyService, type KeyServiceDeps } from '../key-service.ts';
import { makeDataKey } from '../data-key.ts';
import { SERVICE_RANDOM_MAX, takeRandom } from '../service-random.ts';
import {
  bindingOf,
  boundPlaintext,
  formatWrappedKey,
  openBoundPlaintext,
  parseWrappedKey,
} from '../wrapped-key.ts';
import type { BareKek } from '../../tokens/ports.ts';
import { didNotOpen, VaultClient } from './vault-client.ts';
import { VaultEvents, type VaultEventsOptions } from './vault-events.ts';
import { vaultSchema, type VaultOptions } from './vault-options.ts';
import { VaultResidentKeys } from './vault-resident-keys.ts';
import { VaultSession } from './vault-session.ts';

const KIND = 'vault';

/** A derived key is bound by its context, and takes associated data as well. */
function bindingFields(options: VaultOptions, purpose: string): Record<string, string> {
  const binding = bindingOf(KIND, purpose);
  const context = createHash('sha256').update(binding).digest('base64');
  return { associated_data: binding.toString('base64'), ...(options.derived ? { context } : {}) };
}

class VaultKey {
  readonly #options: VaultOptions;
  readonly #client: VaultClient;
  readonly #session: VaultSession;
  readonly #what: string;

  constructor(name: string, options: VaultOptions, client: VaultClient, session: VaultSession) {
    this.#options = options;
    this.#client = client;
    this.#session = session;
    this.#what = `provider "${name}", key ${options.mount}/${options.key}`;
  }

  async wrap(key: Buffer, purpose: string): Promise<Buffer> {
    const { mount, key: name } = this.#options;
    const fields = bindingFields(this.#options, purpose);
    const ciphertext = await this.#encrypt(boundPlaintext(KIND, purpose, key), fields);
    return formatWrappedKey(KIND, {
      reference: `${mount}/${name}`,
      ciphertext: Buffer.from(ciphertext, 'latin1'),
    });
  }

  async #encrypt(plaintext: Buffer, others: Readonly<Record<string, string>>): Promise<string> {
    const base64 = encodeBase64(plaintext, 'standard');
    const body = jsonWithSecret(others, 'plaintext', base64);
    try {
      const ciphertext = textAt(parseJson((await this.#call('encrypt', body)).body), 'data', 'ciphertext');
      if (/^vault:v\d+:/.test(ciphertext)) return ciphertext;
    } finally {
      for (const secret of [plaintext, base64, body]) secret.fill(0);
    }
    throw new SidekeyError('provider_unreachable', `${this.#what}: encrypt returned no ciphertext`);
  }

  async unwrap(wrapped: Buffer, purpose: string): Promise<Buffer> {
    const { ciphertext } = parseWrappedKey(KIND, wrapped);
    const plaintext = await this.#decrypt(ciphertext, bindingFields(this.#options, purpose));
    return openBoundPlaintext(KIND, purpose, plaintext);
  }

  /** Without associated data, as Tink's integration asks. */
  readonly bare: BareKek = {
    encrypt: async (plaintext) => Buffer.from(await this.#encrypt(plaintext, {}), 'latin1'),
    decrypt: async (ciphertext) => {
      try {
        return await this.#decrypt(ciphertext, {});
      } catch (error) {
        if (!didNotOpen(error)) throw error;
        throw new SidekeyError('encrypted_data_invalid', error.message, { cause: error });
      }
    },
  };

  async #decrypt(ciphertext: Buffer, others: Readonly<Record<string, string>>): Promise<Buffer> {
    const request = { ciphertext: ciphertext.toString('latin1'), ...others };
    const { body } = await this.#call('decrypt', Buffer.from(JSON.stringify(request)));
    const plaintext = takeSecret(body, ['data', 'plaintext']);
    body.fill(0);
    if (plaintext) return plaintext;
    throw new SidekeyError('provider_unreachable', `${this.#what}: decrypt returned no plaintext`);
  }

  readonly random = (bytes: number): Promise<Buffer> =>
    takeRandom(
      { what: this.#what, pieceMax: SERVICE_RANDOM_MAX, ask: (piece) => this.#random(piece) },
      bytes,
    );

  async #random(bytes: number): Promise<Buffer | null> {
    const { body } = await this.#client.call({
      what: `${this.#what}: random`,
      method: 'POST',
      path: `${this.#options.mount}/random/${bytes}`,
      body: Buffer.from('{"format":"base64"}'),
      tokens: this.#session,
    });
    const random = takeSecret(body, ['data', 'random_bytes']);
    body.fill(0);
    return random;
  }

  async health(): Promise<string> {
    const { mount, key } = this.#options;
    const reply = await this.#client.call({
      what: this.#what,
      method: 'GET',
      path: `${mount}/keys/${key}`,
      tokens: this.#session,
    });
    const data = jsonAt(parseJson(reply.body), 'data');
    if (jsonAt(data, 'supports_encryption') === false)
      throw new SidekeyError(
        'provider_refused',
        `${this.#what}: a key of type ${textAt(data, 'type')} cannot encrypt: a KEK must be of type aes256-gcm96`,
      );
    const left = this.#session.secondsLeft;
    const token = left === null ? '' : `, token for ${left} s`;
    return `${this.#what}: ${textAt(data, 'type')}, version ${String(jsonAt(data, 'latest_version'))}${token}`;
  }

  #call(operation: 'encrypt' | 'decrypt', body: Buffer) {
    const { mount, key } = this.#options;
    return this.#client.call({
      what: `${this.#what}: ${operation}`,
      method: 'POST',
      path: `${mount}/${operation}/${key}`,
      body,
      tokens: this.#session,
    });
  }
}

function eventsOptions(
  options: VaultOptions,
  { name, random, log, resolvePath }: KeyServiceDeps,
  tokens: VaultSession,
): VaultEventsOptions {
  const { address, namespace = null, events } = options;
  return {
    ...{ what: name, address, namespace, tokens, random, log, timer: SYSTEM_TIMER },
    type: events?.type ?? '*',
    filter: events?.filter ?? null,
    tls: tlsPaths(options, resolvePath),
  };
}

function createSession(client: VaultClient, { auth }: VaultOptions, deps: KeyServiceDeps): VaultSession {
  const { name, clock, random, log, resolvePath } = deps;
  return new VaultSession({ name, auth, client, clock, timer: SYSTEM_TIMER, random, log, resolvePath });
}

function createVault(options: VaultOptions, deps: KeyServiceDeps): KeyService {
  const { name, random } = deps;
  const { http, caller } = createTransport(options, deps);
  const client = new VaultClient(options.address, options.namespace ?? null, caller);
  const session = createSession(client, options, deps);
  const kek = new VaultKey(name, options, client, session);
  const what = `provider "${name}", mount ${options.mount}`;
  let events: VaultEvents | null = null;
  return {
    ...(options.derived ? {} : { bare: kek.bare }),
    random: kek.random,
    resident: new VaultResidentKeys({ what, options, client, tokens: session }),
    generateDataKey: (purpose) => makeDataKey(random, (plaintext) => kek.wrap(plaintext, purpose)),
    unwrapDataKey: (wrapped, purpose) => kek.unwrap(wrapped, purpose),
    watch(changed) {
      if (options.events === undefined || events !== null) return;
      events = new VaultEvents(eventsOptions(options, deps, session), changed);
      events.start();
    },
    credentialSecondsLeft: () => session.secondsLeft,
    health: () => healthOf(() => kek.health()),
    async close() {
      events?.close();
      await session.close();
      await http.close();
    },
  };
}

export const vaultKind = defineKind(KIND, vaultSchema, createVault);
