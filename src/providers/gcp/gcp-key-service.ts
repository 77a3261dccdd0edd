/**
 * A KEK in Google Cloud KMS. The data key is made here and encrypted there, with the purpose as associated data; checksums are
 * sent and checked in both directions.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { SidekeyError } from '../../errors.ts';
import { encodeBase64 } from '../http/base64-bytes.ts';
import { createTransport } from '../http/http-options.ts';
import { jsonAt, jsonWithSecret, parseJson, takeSecret, textAt } from '../http/json-secret.ts';
import { defineKind, healthOf, type KeyService, type KeyServiceDeps } from '../key-service.ts';
import type { BareKek } from '../../tokens/ports.ts';
import { DATA_KEY_BYTES, makeDataKey } from '../data-key.ts';
import { takeRandom } from '../service-random.ts';
import { bindingOf, formatWrappedKey, parseWrappedKey } from '../wrapped-key.ts';
import { GcpClient } from './gcp-client.ts';
import { checksum, fieldsOf } from './gcp-fields.ts';
import { gcpSchema, type GcpOptions } from './gcp-options.ts';
import { GcpResidentKeys } from './gcp-resident-keys.ts';
import { GoogleCredentials } from './google-credentials.ts';

const KIND = 'gcp-kms';

const RANDOM_PIECE = { pieceMin: 8, pieceMax: 1024 };
const NOTHING = Buffer.alloc(0);

function associatedData(data: Buffer): object {
  return fieldsOf('additionalAuthenticatedData', data);
}

/** What is wrong with the answer to encrypt. */
function checkEncrypted(key: string, body: Buffer): string | null {
  const reply = parseJson(body);
  if (jsonAt(reply, 'verifiedPlaintextCrc32c') !== true) return 'the plaintext changed on its way';
  if (jsonAt(reply, 'verifiedAdditionalAuthenticatedDataCrc32c') !== true)
    return 'the associated data changed on its way';
  if (!textAt(reply, 'name').startsWith(`${key}/cryptoKeyVersions/`)) return 'another key was used';
  const ciphertext = Buffer.from(textAt(reply, 'ciphertext'), 'base64');
  const isGood = ciphertext.length > 0 && checksum(ciphertext) === textAt(reply, 'ciphertextCrc32c');
  return isGood ? null : 'the ciphertext changed on its way';
}

/** The bytes stay in the body, for the one who asked. */
function checkRandom(body: Buffer): string | null {
  const copy = Buffer.from(body);
  const data = takeSecret(copy, ['data']);
  const isGood = data !== null && textAt(parseJson(copy), 'dataCrc32c') === checksum(data);
  for (const each of [copy, data]) each?.fill(0);
  return isGood ? null : 'the random bytes changed on their way';
}

class GcpKey {
  readonly #key: string;
  readonly #client: GcpClient;
  readonly #what: string;

  constructor(name: string, key: string, client: GcpClient) {
    this.#key = key;
    this.#client = client;
    this.#what = `provider "${name}", key ${key}`;
  }

  async encrypt(key: Buffer, purpose: string): Promise<Buffer> {
    const { name: reference, ciphertext } = await this.#encrypt(key, bindingOf(KIND, purpose));
    return formatWrappedKey(KIND, { reference, ciphertext });
  }

  async decrypt(wrapped: Buffer, purpose: string): Promise<Buffer> {
    const { ciphertext } = parseWrappedKey(KIND, wrapped);
    return this.#decrypt(ciphertext, bindingOf(KIND, purpose), (length) => length === DATA_KEY_BYTES);
  }

  /** Without associated data, as Tink's integration asks. */
  readonly bare: BareKek = {
    encrypt: async (plaintext) => (await this.#encrypt(plaintext, NOTHING)).ciphertext,
    decrypt: (ciphertext) => this.#decrypt(ciphertext, NOTHING, () => true, 'encrypted_data_invalid'),
  };

  readonly random = (bytes: number): Promise<Buffer> =>
    takeRandom({ what: this.#what, ...RANDOM_PIECE, ask: (piece) => this.#random(piece) }, bytes);

  /** The service makes them in its HSMs alone. */
  async #random(lengthBytes: number): Promise<Buffer | null> {
    const location = this.#key.slice(0, this.#key.indexOf('/keyRings/'));
    const reply = await this.#client.call({
      what: `${this.#what}: generateRandomBytes`,
      path: `${location}:generateRandomBytes`,
      body: Buffer.from(JSON.stringify({ lengthBytes, protectionLevel: 'HSM' })),
      check: checkRandom,
    });
    const random = takeSecret(reply, ['data']);
    reply.fill(0);
    return random;
  }

  async #encrypt(plaintext: Buffer, data: Buffer): Promise<{ name: string; ciphertext: Buffer }> {
    const base64 = encodeBase64(plaintext, 'standard');
    const others = { plaintextCrc32c: checksum(plaintext), ...associatedData(data) };
    const body = jsonWithSecret(others, 'plaintext', base64);
    try {
      const what = `${this.#what}: encrypt`;
      const check = (reply: Buffer) => checkEncrypted(this.#key, reply);
      const reply = parseJson(await this.#client.call({ what, path: `${this.#key}:encrypt`, body, check }));
      return { name: textAt(reply, 'name'), ciphertext: Buffer.from(textAt(reply, 'ciphertext'), 'base64') };
    } finally {
      base64.fill(0);
      body.fill(0);
    }
  }

  async #decrypt(
    ciphertext: Buffer,
    data: Buffer,
    fits: (length: number) => boolean,
    badArgument?: 'encrypted_data_invalid',
  ): Promise<Buffer> {
    const request = { ...fieldsOf('ciphertext', ciphertext), ...associatedData(data) };
    let plaintext: Buffer | null = null;
    const check = (body: Buffer): string | null => {
      plaintext = takeSecret(body, ['plaintext']);
      const said = textAt(parseJson(body), 'plaintextCrc32c');
      body.fill(0);
      if (plaintext !== null && fits(plaintext.length) && checksum(plaintext) === said) return null;
      plaintext?.fill(0);
      plaintext = null;
      return 'the plaintext changed on its way';
    };
    const what = `${this.#what}: decrypt`;
    const body = Buffer.from(JSON.stringify(request));
    const call = { what, path: `${this.#key}:decrypt`, body, check };
    await this.#client.call(badArgument === undefined ? call : { ...call, badArgument });
    if (plaintext) return plaintext;
    throw new SidekeyError('internal', `${what}: the integrity of a response was not checked`);
  }

  async health(): Promise<string> {
    const reply = parseJson(await this.#client.call({ what: this.#what, path: this.#key, body: null }));
    const [purpose, state] = [textAt(reply, 'purpose'), textAt(reply, 'primary', 'state')];
    const facts = `${this.#what}: ${purpose}, ${textAt(reply, 'primary', 'protectionLevel')}, ${state}`;
    if (purpose === 'ENCRYPT_DECRYPT' && state === 'ENABLED') return facts;
    throw new SidekeyError('provider_refused', `${facts}: a KEK must be ENCRYPT_DECRYPT and ENABLED`);
  }
}

function createGcpKms(options: GcpOptions, deps: KeyServiceDeps): KeyService {
  const { name, random, clock, resolvePath } = deps;
  const { http, caller } = createTransport(options, deps);
  const file = options['credentials-file'];
  const credentials = new GoogleCredentials(
    file === undefined ? null : resolvePath(file),
    `provider "${name}"`,
    http,
    deps,
  );
  const client = new GcpClient(options.endpoint, options['quota-project'] ?? null, caller, credentials);
  const kek = new GcpKey(name, options.key, client);
  const resident = new GcpResidentKeys({
    what: `provider "${name}"`,
    kek: options.key,
    client,
    protectionLevel: options['resident-protection'] === 'hsm' ? 'HSM' : 'SOFTWARE',
    timeoutMs: options.timeout,
    clock,
    sleep,
  });
  return {
    resident,
    bare: kek.bare,
    random: kek.random,
    generateDataKey: (purpose) => makeDataKey(random, (plaintext) => kek.encrypt(plaintext, purpose)),
    unwrapDataKey: (wrapped, purpose) => kek.decrypt(wrapped, purpose),
    credentialSecondsLeft: () => credentials.secondsLeft(clock.now()),
    health: () => healthOf(() => kek.health()),
    close: () => http.close(),
  };
}

export const gcpKind = defineKind(KIND, gcpSchema, createGcpKms);
