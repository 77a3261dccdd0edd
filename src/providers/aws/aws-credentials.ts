/**
 * Credentials for AWS: the SDK's own chain (environment, profile, web identity, container, instance), begun anew when a file
 * that it reads changes or when a service refuses what it gave. The chain refreshes what expires five minutes ahead.
 */
import { homedir } from 'node:os';
import { join } from 'node:path';
import { SidekeyError } from '../../errors.ts';
import { describeFault, whileOpen } from '../http/service-call.ts';
import { fingerprintFiles } from '../http/tls-files.ts';

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
async function createChain({ profile, credentialsFile, region }: CredentialSource) {
  const { fromNodeProviderChain } = await import('@aws-sdk/credential-providers');
  return fromNodeProviderChain({
    ...(profile === null && credentialsFile === null ? {} : { profile: profile ?? 'default' }),
    ...(credentialsFile === null ? {} : { filepath: credentialsFile }),
    clientConfig: { region },
    ignoreCache: true,
    maxRetries: 1,
    timeout: 1000,
  });
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
  #chain: Promise<() => Promise<AwsIdentity>> | null = null;
  #fingerprint = '';
  /** Of what the chain gave last, by the time of day; null: it does not end. */
  #expiresAt: number | null = null;

  constructor(source: CredentialSource, what: string) {
    this.#source = source;
    this.#what = what;
  }

  /** Rejects with provider_unreachable or provider_refused, or with the signal's reason. */
  async get(signal: AbortSignal): Promise<AwsIdentity> {
    const fingerprint = fingerprintFiles(watchedFiles(this.#source));
    if (fingerprint !== this.#fingerprint) this.drop();
    this.#fingerprint = fingerprint;
    this.#chain ??= createChain(this.#source);
    const chain = await this.#chain;
    const identity = await whileOpen(
      chain().catch((error: unknown) => {
        throw toFault(this.#what, error);
      }),
      signal,
    );
    this.#expiresAt = identity.expiration?.getTime() ?? null;
    return identity;
  }

  secondsLeft(nowMs: number): number | null {
    return this.#expiresAt === null ? null : Math.max(0, Math.round((this.#expiresAt - nowMs) / 1000));
  }

  drop(): void {
    this.#chain = null;
    this.#expiresAt = null;
  }
}
