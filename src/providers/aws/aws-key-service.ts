/**
 * A KEK in AWS KMS: GenerateDataKey and Decrypt, bound by the encryption context. Multi-Region replicas serve when the first
 * region is unreachable; a refusal is final, whichever region gave it.
 */
import { readFileSync } from 'node:fs';
import { SidekeyError } from '../../errors.ts';
import { createTransport } from '../http/http-options.ts';
import { jsonAt, parseJson, takeSecret, textAt } from '../http/json-secret.ts';
import { defineKind, type KeyService, type KeyServiceDeps } from '../key-service.ts';
import { DATA_KEY_BYTES, formatWrappedKey, parseWrappedKey } from '../wrapped-key.ts';
import { AwsClient, keyArn } from './aws-client.ts';
import { AwsCredentials } from './aws-credentials.ts';
import { AwsResidentKeys } from './aws-resident-keys.ts';
import { awsSchema, endpointOf, type AwsOptions, type AwsPlace } from './aws-options.ts';

const KIND = 'aws-kms';
/** For so long a region that was unreachable is not the first to be asked. */
const AVOID_MS = 10_000;

interface Region {
  readonly what: string;
  readonly keyId: string;
  readonly client: AwsClient;
  avoidUntil: number;
}

/** A grant is valid at once where its token is shown, and some minutes later everywhere. */
function grantTokens(path: string | null): { GrantTokens?: string[] } {
  if (path === null) return {};
  try {
    return { GrantTokens: readFileSync(path, 'utf8').split('\n').filter(Boolean).slice(0, 10) };
  } catch (cause) {
    throw new SidekeyError('provider_unreachable', `cannot read ${path}`, { cause });
  }
}

class AwsKey {
  readonly #regions: readonly Region[];
  readonly #context: Readonly<Record<string, string>>;
  readonly #grantTokensFile: string | null;
  readonly #now: () => number;

  constructor(
    regions: readonly Region[],
    options: AwsOptions,
    grantTokensFile: string | null,
    now: () => number,
  ) {
    this.#regions = regions;
    this.#context = options['encryption-context'];
    this.#grantTokensFile = grantTokensFile;
    this.#now = now;
  }

  async generate(purpose: string): Promise<{ plaintext: Buffer; wrapped: Buffer }> {
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
    const { what, body } = await this.#call('DescribeKey', grantTokens(this.#grantTokensFile));
    const key = jsonAt(parseJson(body), 'KeyMetadata');
    const state = textAt(key, 'KeyState');
    const facts = `${what}: ${textAt(key, 'Arn')} is ${state}`;
    const isGood = state === 'Enabled' && ['', 'SYMMETRIC_DEFAULT'].includes(textAt(key, 'KeySpec'));
    if (!isGood) throw new SidekeyError('provider_refused', `${facts}, ${textAt(key, 'KeySpec')}`);
    return facts;
  }

  #binding(purpose: string): object {
    const context = { ...this.#context, 'sidekey:kind': KIND, 'sidekey:purpose': purpose };
    return { EncryptionContext: context, ...grantTokens(this.#grantTokensFile) };
  }

  #take(what: string, body: Buffer): Buffer {
    const plaintext = takeSecret(body, ['Plaintext']);
    if (plaintext?.length === DATA_KEY_BYTES) return plaintext;
    plaintext?.fill(0);
    body.fill(0);
    throw new SidekeyError('provider_unreachable', `${what}: the answer holds no data key`);
  }

  /** In the order of the configuration, those that failed lately last. */
  async #call(operation: string, request: object): Promise<{ what: string; body: Buffer }> {
    const now = this.#now();
    const isAvoided = ({ avoidUntil }: Region): number => Number(avoidUntil > now);
    const order = this.#regions.toSorted((a, b) => isAvoided(a) - isAvoided(b));
    let fault: unknown = null;
    for (const region of order) {
      const what = `${region.what}: ${operation}`;
      try {
        return { what, body: await region.client.call(what, operation, { KeyId: region.keyId, ...request }) };
      } catch (error) {
        if (!(error instanceof SidekeyError && error.code === 'provider_unreachable')) throw error;
        region.avoidUntil = this.#now() + AVOID_MS;
        fault ??= error;
      }
    }
    throw fault;
  }
}

export function createAwsKms(options: AwsOptions, deps: KeyServiceDeps): KeyService {
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
  );
  const regions = places.map((place) => {
    const where = { region: place.region, endpoint: endpointOf(place, options.fips) };
    const client = new AwsClient(where, caller, credentials, clock);
    const keyId = place['key-id'];
    return { what: `provider "${name}", key ${keyId} in ${place.region}`, keyId, client, avoidUntil: 0 };
  });
  const [first] = regions;
  if (first === undefined) throw new SidekeyError('internal', 'a provider has a region');
  const kek = new AwsKey(regions, options, at(options['grant-tokens-file']), () => clock.monotonic());
  return {
    resident: new AwsResidentKeys(`provider "${name}", ${options.region}`, first.client),
    generateDataKey: (purpose) => kek.generate(purpose),
    unwrapDataKey: (wrapped, purpose) => kek.decrypt(wrapped, purpose),
    async health() {
      try {
        return { ok: true, detail: await kek.health() };
      } catch (error) {
        return { ok: false, detail: error instanceof Error ? error.message : String(error) };
      }
    },
    close: () => http.close(),
  };
}

export const awsKind = defineKind(KIND, awsSchema, createAwsKms);
