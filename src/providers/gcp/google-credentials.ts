/**
 * Credentials for Google Cloud by Google's own library: a file (service account, workload identity federation, impersonation), else the
 * application default ones, else the metadata server. A service account signs its own tokens: no other service is asked for them. The
 * library's requests are the provider's, but for those to the metadata server.
 */
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { AuthClient } from 'google-auth-library';
import { SidekeyError } from '../../errors.ts';
import { HeldCredential, type Credential } from '../http/held-credential.ts';
import type { HttpClient } from '../http/http-client.ts';
import { describeFault } from '../http/service-call.ts';
import { jsonAt, parseJson } from '../http/json-secret.ts';
import { fingerprintFiles } from '../http/tls-files.ts';
import type { KeyServiceDeps } from '../key-service.ts';

const SCOPE = 'https://www.googleapis.com/auth/cloudkms';
const REQUEST_MS = 5000;

/** Of `gcloud auth application-default login`. */
const gcloudFile = (): string => join(homedir(), '.config/gcloud/application_default_credentials.json');

/** Parts of a client to which the library does not pass its options on: where an impersonation starts from, the exchange of tokens. */
const PARTS = ['sourceClient', 'stsCredential'] as const;

function useTransporter(client: object, transporter: AuthClient['transporter']): void {
  Reflect.set(client, 'transporter', transporter);
  for (const name of PARTS) {
    const part: unknown = Reflect.get(client, name);
    if (part instanceof Object) useTransporter(part, transporter);
  }
}

/** The library is large: it is loaded when it is needed. */
async function createClient(file: string | null, http: HttpClient): Promise<AuthClient> {
  const { GoogleAuth, JWT, gaxios } = await import('google-auth-library');
  const fetchImplementation = http.fetch.bind(http) as typeof fetch;
  const transporter = new gaxios.Gaxios({ fetchImplementation, timeout: REQUEST_MS });
  const clientOptions = { transporter };
  const auth = new GoogleAuth({
    scopes: [SCOPE],
    clientOptions,
    ...(file === null ? {} : { keyFilename: file }),
  });
  const client = await auth.getClient();
  if (client instanceof JWT) client.useJWTAccessWithScope = true;
  useTransporter(client, transporter);
  return client;
}

/** Of a token that a service account signed itself: its claim `exp`. */
function endOf(authorization: string | null): number | null {
  const claims = /^Bearer [\w-]+\.([\w-]+)\.[\w-]+$/.exec(authorization ?? '')?.[1];
  if (claims === undefined) return null;
  const end = jsonAt(parseJson(Buffer.from(claims, 'base64url')), 'exp');
  return typeof end === 'number' ? end * 1000 : null;
}

function isRedirect(status: unknown): boolean {
  return typeof status === 'number' && status >= 300 && status < 400;
}

export class GoogleCredentials {
  readonly #file: string | null;
  readonly #what: string;
  readonly #http: HttpClient;
  readonly #held: HeldCredential<string>;

  constructor(
    file: string | null,
    what: string,
    http: HttpClient,
    { clock, random }: Pick<KeyServiceDeps, 'clock' | 'random'>,
  ) {
    this.#file = file;
    this.#what = what;
    this.#http = http;
    this.#held = new HeldCredential({
      fetch: () => this.#fetch(),
      watch: () => fingerprintFiles([this.#named ?? gcloudFile()]),
      clock,
      random,
    });
  }

  /** "Bearer ..."; rejects with provider_unreachable or provider_refused, or with the signal's reason. */
  authorization(signal: AbortSignal): Promise<string> {
    return this.#held.get(signal);
  }

  secondsLeft(nowMs: number): number | null {
    return this.#held.secondsLeft(nowMs);
  }

  drop(): void {
    this.#held.drop();
  }

  async #fetch(): Promise<Credential<string>> {
    try {
      const client = await createClient(this.#fileInUse(), this.#http);
      const headers = await client.getRequestHeaders('https://cloudkms.googleapis.com/');
      const value = headers.get('authorization');
      if (value) return { value, endsAt: endOf(value) ?? client.credentials.expiry_date ?? null };
      throw new Error('the library gave no token');
    } catch (error) {
      throw this.#toFault(error);
    }
  }

  /** Named, so that the library does not look for a project as well, by programs and services. null: the metadata server. */
  #fileInUse(): string | null {
    const gcloud = gcloudFile();
    return this.#named ?? (existsSync(gcloud) ? gcloud : null);
  }

  get #named(): string | null {
    return this.#file ?? process.env['GOOGLE_APPLICATION_CREDENTIALS'] ?? null;
  }

  /** A token service that says no (invalid_grant) is a refusal. */
  #toFault(error: unknown): SidekeyError {
    const status: unknown = Reflect.get(Object(error), 'status');
    const isRefusal = typeof status === 'number' && status >= 400 && status < 500 && status !== 429;
    const code = isRefusal && status !== 404 ? 'provider_refused' : 'provider_unreachable';
    const said = isRedirect(status) ? `status ${status}: no redirect is followed` : describeFault(error);
    return new SidekeyError(code, `${this.#what}: no credentials: ${said}`, { cause: error });
  }
}
