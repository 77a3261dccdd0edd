/**
 * Credentials for AWS: the SDK's own chain (environment, profile, web identity, container, instance), begun anew ahead of their end, when a
 * file that it reads changes, and when a service refuses what it gave. Its requests to other services (STS, SSO) are this provider's.
 */
import { homedir } from 'node:os';
import { join } from 'node:path';
import { SidekeyError } from '../../errors.ts';
import { HeldCredential, type Credential } from '../http/held-credential.ts';
import type { HttpSender } from '../http/http-client.ts';
import { describeFault } from '../http/service-call.ts';
import { fingerprintFiles } from '../http/tls-files.ts';
import type { KeyServiceDeps } from '../key-service.ts';
import { createSdkHttp } from './aws-sdk-http.ts';

export interface AwsIdentity {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
  readonly expiration?: Date;
}

export interface CredentialSource {
  readonly profile: string | null;
  readonly credentialsFile: string | null;
  readonly region: string;
}

/** The SDK's library is large: it is loaded when it is needed. */
async function runChain(source: CredentialSource, requestHandler: object): Promise<AwsIdentity> {
  const { profile, credentialsFile, region } = source;
  const { fromNodeProviderChain } = await import('@aws-sdk/credential-providers');
  const chain = fromNodeProviderChain({
    ...(profile === null && credentialsFile === null ? {} : { profile: profile ?? 'default' }),
    ...(credentialsFile === null ? {} : { filepath: credentialsFile }),
    // Not the region: SSO is asked in its profile's own.
    clientConfig: { requestHandler } as object,
    parentClientConfig: { region },
    ignoreCache: true,
    maxRetries: 1,
    timeout: 1000,
  });
  return chain();
}

function watchedFiles(source: CredentialSource): (string | null)[] {
  const { env } = process;
  const home = join(homedir(), '.aws');
  return [
    source.credentialsFile ?? env['AWS_SHARED_CREDENTIALS_FILE'] ?? join(home, 'credentials'),
    env['AWS_CONFIG_FILE'] ?? join(home, 'config'),
    env['AWS_WEB_IDENTITY_TOKEN_FILE'] ?? null,
  ];
}

/** A token service that says no is a refusal; no source at all may still come. */
function toFault(what: string, error: unknown): SidekeyError {
  const isRefusal = Reflect.get(Object(error), '$fault') === 'client';
  const code = isRefusal ? 'provider_refused' : 'provider_unreachable';
  return new SidekeyError(code, `${what}: no credentials: ${describeFault(error)}`, { cause: error });
}

export class AwsCredentials {
  readonly #source: CredentialSource;
  readonly #what: string;
  readonly #http: HttpSender;
  readonly #held: HeldCredential<AwsIdentity>;

  constructor(
    source: CredentialSource,
    what: string,
    http: HttpSender,
    { clock, random }: Pick<KeyServiceDeps, 'clock' | 'random'>,
  ) {
    this.#source = source;
    this.#what = what;
    this.#http = http;
    this.#held = new HeldCredential({
      fetch: (signal) => this.#fetch(signal),
      watch: () => fingerprintFiles(watchedFiles(source)),
      clock,
      random,
    });
  }

  /** Rejects with provider_unreachable or provider_refused, or with the signal's reason. */
  get(signal: AbortSignal): Promise<AwsIdentity> {
    return this.#held.get(signal);
  }

  secondsLeft(nowMs: number): number | null {
    return this.#held.secondsLeft(nowMs);
  }

  drop(): void {
    this.#held.drop();
  }

  async #fetch(signal: AbortSignal): Promise<Credential<AwsIdentity>> {
    try {
      const value = await runChain(this.#source, createSdkHttp(this.#http, signal));
      return { value, endsAt: value.expiration?.getTime() ?? null };
    } catch (error) {
      throw toFault(this.#what, error);
    }
  }
}
