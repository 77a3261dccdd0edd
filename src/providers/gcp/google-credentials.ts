/**
 * Credentials for Google Cloud by Google's own library: a file (service account, workload identity federation, impersonation), else the
 * application default ones, else the metadata server. A service account signs its own tokens: no other service is asked for them.
 */
import { homedir } from 'node:os';
import { join } from 'node:path';
import { SidekeyError } from '../../errors.ts';
import { describeFault, whileOpen } from '../http/service-call.ts';
import { jsonAt, parseJson } from '../http/json-secret.ts';
import { fingerprintFiles } from '../http/tls-files.ts';

const SCOPE = 'https://www.googleapis.com/auth/cloudkms';

interface Source {
  headers(): Promise<{ get(name: string): string | null }>;
  /** Of the token that was given last, by the time of day; null: nobody says. */
  expiresAt(): number | null;
}

/** The library is large: it is loaded when it is needed. */
async function createSource(file: string | null): Promise<Source> {
  const { GoogleAuth, JWT } = await import('google-auth-library');
  const auth = new GoogleAuth({ scopes: [SCOPE], ...(file === null ? {} : { keyFilename: file }) });
  const client = await auth.getClient();
  if (client instanceof JWT) client.useJWTAccessWithScope = true;
  return {
    headers: () => client.getRequestHeaders('https://cloudkms.googleapis.com/'),
    expiresAt: () => client.credentials.expiry_date ?? null,
  };
}

/** Of a token that a service account signed itself: its claim `exp`. */
function endOf(authorization: string | null): number | null {
  const claims = /^Bearer [\w-]+\.([\w-]+)\.[\w-]+$/.exec(authorization ?? '')?.[1];
  if (claims === undefined) return null;
  const end = jsonAt(parseJson(Buffer.from(claims, 'base64url')), 'exp');
  return typeof end === 'number' ? end * 1000 : null;
}

export class GoogleCredentials {
  readonly #file: string | null;
  readonly #what: string;
  #source: Promise<Source> | null = null;
  #expiresAt: number | null = null;
  #fingerprint = '';

  constructor(file: string | null, what: string) {
    this.#file = file;
    this.#what = what;
  }

  /** "Bearer ..."; rejects with provider_unreachable or provider_refused, or with the signal's reason. */
  authorization(signal: AbortSignal): Promise<string> {
    return whileOpen(this.#get(), signal);
  }

  secondsLeft(nowMs: number): number | null {
    return this.#expiresAt === null ? null : Math.max(0, Math.round((this.#expiresAt - nowMs) / 1000));
  }

  drop(): void {
    this.#source = null;
    this.#expiresAt = null;
  }

  async #get(): Promise<string> {
    const fingerprint = fingerprintFiles([this.#watchedFile()]);
    if (fingerprint !== this.#fingerprint) this.drop();
    this.#fingerprint = fingerprint;
    const source = (this.#source ??= createSource(this.#file));
    try {
      const value = (await (await source).headers()).get('authorization');
      this.#expiresAt = endOf(value) ?? (await source).expiresAt();
      if (value) return value;
      throw new Error('the library gave no token');
    } catch (error) {
      // Where there was no file there may be one next time.
      if (this.#source === source) this.drop();
      throw this.#toFault(error);
    }
  }

  #watchedFile(): string {
    const named = this.#file ?? process.env['GOOGLE_APPLICATION_CREDENTIALS'];
    return named ?? join(homedir(), '.config/gcloud/application_default_credentials.json');
  }

  /** A token service that says no (invalid_grant) is a refusal. */
  #toFault(error: unknown): SidekeyError {
    const status: unknown = Reflect.get(Object(error), 'status');
    const isRefusal = typeof status === 'number' && status >= 400 && status < 500 && status !== 429;
    const code = isRefusal && status !== 404 ? 'provider_refused' : 'provider_unreachable';
    const message = `${this.#what}: no credentials: ${describeFault(error)}`;
    return new SidekeyError(code, message, { cause: error });
  }
}
