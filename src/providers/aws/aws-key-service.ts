/**
 * A KEK in AWS KMS: GenerateDataKey and Decrypt, bound by the encryption context, in whichever of its regions answers.
 */
import { SidekeyError } from '../../errors.ts';
import { createTransport } from '../http/http-options.ts';
import { jsonAt, parseJson, takeSecret, textAt } from '../http/json-secret.ts';
import { defineKind, healthOf, type KeyService, type KeyServiceDeps } from '../key-service.ts';
import { DATA_KEY_BYTES, type DataKey } from '../data-key.ts';
import { takeRandom } from '../service-random.ts';
import { formatWrappedKey, parseWrappedKey } from '../wrapped-key.ts';
import { awsBareKek } from './aws-bare-kek.ts';
import { AwsClient, keyArn } from './aws-client.ts';
import { AwsCredentials } from './aws-credentials.ts';
import { AwsRegions, type AwsAnswer } from './aws-regions.ts';
import { AwsResidentKeys } from './aws-resident-keys.ts';
import { awsSchema, endpointOf, type AwsOptions, type AwsPlace } from './aws-options.ts';

const KIND = 'aws-kms';
const RANDOM_PIECE_MAX = 1024;

class AwsKey {
  readonly #regions: AwsRegions;
  readonly #context: Readonly<Record<string, string>>;

  constructor(regions: AwsRegions, options: AwsOptions) {
    this.#regions = regions;
    this.#context = options['encryption-context'];
  }

  async generate(purpose: string): Promise<DataKey> {
    const request = { KeySpec: 'AES_256', ...this.#binding(purpose) };
    const { what, body } = await this.#call('GenerateDataKey', request);
    const plaintext = this.#take(what, body);
    try {
      const reply = parseJson(body);
      const ciphertext = Buffer.from(textAt(reply, 'CiphertextBlob'), 'base64');
      return { plaintext, wrapped: formatWrappedKey(KIND, { reference: keyArn(what, reply), ciphertext }) };
    } catch (error) {
      plaintext.fill(0);
      throw error;
    }
  }

  async decrypt(wrapped: Buffer, purpose: string): Promise<Buffer> {
    const { ciphertext } = parseWrappedKey(KIND, wrapped);
    const request = {
      CiphertextBlob: ciphertext.toString('base64'),
      EncryptionAlgorithm: 'SYMMETRIC_DEFAULT',
      ...this.#binding(purpose),
    };
    const { what, body } = await this.#call('Decrypt', request);
    return this.#take(what, body);
  }

  async health(): Promise<string> {
    const { what, body } = await this.#call('DescribeKey', {});
    const key = jsonAt(parseJson(body), 'KeyMetadata');
    const state = textAt(key, 'KeyState');
    const facts = `${what}: ${textAt(key, 'Arn')} is ${state}`;
    const isGood = state === 'Enabled' && ['', 'SYMMETRIC_DEFAULT'].includes(textAt(key, 'KeySpec'));
    if (!isGood) throw new SidekeyError('provider_refused', `${facts}, ${textAt(key, 'KeySpec')}`);
    return facts;
  }

  #binding(purpose: string): object {
    const context = { ...this.#context, 'sidekey:kind': KIND, 'sidekey:purpose': purpose };
    return { EncryptionContext: context };
  }

  readonly random = (bytes: number): Promise<Buffer> =>
    takeRandom(
      { what: this.#regions.what, pieceMax: RANDOM_PIECE_MAX, ask: (piece) => this.#random(piece) },
      bytes,
    );

  async #random(NumberOfBytes: number): Promise<Buffer | null> {
    const { body } = await this.#regions.keyless('GenerateRandom', { NumberOfBytes });
    return takeSecret(body, ['Plaintext']);
  }

  #take(what: string, body: Buffer): Buffer {
    const plaintext = takeSecret(body, ['Plaintext']);
    if (plaintext?.length === DATA_KEY_BYTES) return plaintext;
    plaintext?.fill(0);
    body.fill(0);
    throw new SidekeyError('provider_unreachable', `${what}: the response has no data key`);
  }

  #call(operation: string, request: object): Promise<AwsAnswer> {
    return this.#regions.anywhere(operation, ({ keyId }) => keyId, request);
  }

  readonly bare = awsBareKek((operation, request) =>
    this.#regions.anywhere(operation, ({ keyId }) => keyId, request),
  );
}

function createAwsKms(options: AwsOptions, deps: KeyServiceDeps): KeyService {
  const { name, clock, resolvePath } = deps;
  const at = (path: string | undefined) => (path === undefined ? null : resolvePath(path));
  const places: readonly AwsPlace[] = [options, ...options.replicas];
  const timeout = options.timeout / places.length;
  const { http, caller } = createTransport({ ...options, timeout }, deps);
  const credentials = new AwsCredentials(
    {
      profile: options.profile ?? null,
      credentialsFile: at(options['credentials-file']),
      region: options.region,
    },
    `provider "${name}"`,
    http,
    deps,
  );
  const all = places.map((place) => {
    const where = { region: place.region, endpoint: endpointOf(place, options.fips) };
    const client = new AwsClient(where, caller, credentials, clock);
    return { name: place.region, keyId: place['key-id'], client };
  });
  const regions = new AwsRegions(`provider "${name}"`, all, at(options['grant-tokens-file']), () =>
    clock.monotonic(),
  );
  const kek = new AwsKey(regions, options);
  return {
    bare: kek.bare,
    random: kek.random,
    resident: new AwsResidentKeys(regions),
    generateDataKey: (purpose) => kek.generate(purpose),
    unwrapDataKey: (wrapped, purpose) => kek.decrypt(wrapped, purpose),
    credentialSecondsLeft: () => credentials.secondsLeft(clock.now()),
    health: () => healthOf(() => kek.health()),
    close: () => http.close(),
  };
}

export const awsKind = defineKind(KIND, awsSchema, createAwsKms);
