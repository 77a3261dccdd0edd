/**
 * A strict Azure Key Vault with the token services before it (Entra ID, a metadata service, App Service): verifies secrets and signed
 * assertions, challenges who has no token, and uses keys by real cryptography. Microsoft's own client is content with it
 * (test/interop/azure-sdk.interop.ts).
 */
import {
  constants,
  createHash,
  createPrivateKey,
  randomBytes,
  randomUUID,
  verify,
  X509Certificate,
  type KeyObject,
} from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { FakeAzureKeys } from './fake-azure-keys.ts';
import type { FakeReply, FakeRequest } from './fake-service.ts';

export const VERSION = '0123456789abcdef0123456789abcdef';
const ASSERTION = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';

/** How an assertion may be signed, and how its certificate is named: ours, and the elder way that Microsoft's library still takes. */
const ASSERTIONS: Readonly<
  Record<string, { digest: string; name: string; padding: number; saltLength?: number }>
> = {
  PS256: { digest: 'sha256', name: 'x5t#S256', padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 },
  RS256: { digest: 'sha1', name: 'x5t', padding: constants.RSA_PKCS1_PADDING },
};

/** By the version of the metadata service that they speak. */
const WAYS: Readonly<Record<string, string>> = {
  '2018-02-01': 'metadata',
  '2019-08-01': 'app-service',
  '2019-11-01': 'arc',
};

export interface AzureBehaviour {
  arcFolder: string;
  /** What its challenge names instead of the file that it wrote. */
  arcRealm: string | null;
  secret: string;
  /** PEM of the registered certificate. */
  certificate: string | null;
  federated: string;
  enabled: boolean;
  allows: boolean;
  version: string;
  /** Asked for by the challenge, and then demanded of tokens. */
  claims: string | null;
  tokenSeconds: number;
  resource: string;
  /** A managed HSM, which gives random bytes. */
  isHsm: boolean;
  /** It can still be recovered. */
  deleted: boolean;
  /** By how much this service's clock is ahead. */
  aheadMs: number;
}

class Refusal extends Error {
  readonly status: number;
  readonly body: object;
  readonly headers: Record<string, string>;

  constructor(status: number, body: object, headers: Record<string, string> = {}) {
    super(`${status}`);
    this.status = status;
    this.body = body;
    this.headers = headers;
  }
}

function refuse(status: number, code: string, message: string, inner?: string): never {
  throw new Refusal(status, { error: { code, message, ...(inner ? { innererror: { code: inner } } : {}) } });
}

function refuseLogin(error: string, description: string): never {
  throw new Refusal(error === 'invalid_client' ? 401 : 400, {
    error,
    error_description: `${description}\r\nTrace ID: x`,
  });
}

/** Under the name by which the client knows it. */
function originOf({ url, headers }: FakeRequest): string {
  return `${url.protocol}//${headers['host']}`;
}

export class FakeAzure {
  readonly #private: KeyObject;
  readonly #tokens = new Map<string, { until: number; claims: string | null }>();
  readonly logins: string[] = [];
  readonly #arcKeys = new Set<string>();
  behaviour: AzureBehaviour = {
    arcFolder: '',
    arcRealm: null,
    secret: 'client-secret-1',
    certificate: null,
    federated: 'federated-1',
    enabled: true,
    allows: true,
    version: VERSION,
    claims: null,
    tokenSeconds: 3600,
    resource: 'https://vault.azure.net',
    isHsm: true,
    deleted: false,
    aheadMs: 0,
  };

  /** What else is in the vault. */
  readonly keys = new FakeAzureKeys(refuse);

  constructor(privateKey: string) {
    this.#private = createPrivateKey(privateKey);
  }

  /** Every token becomes unknown. */
  forget(): void {
    this.#tokens.clear();
  }

  readonly handle = (request: FakeRequest): FakeReply => {
    const date = new Date(Date.now() + this.behaviour.aheadMs).toUTCString();
    const id = { 'x-ms-request-id': randomUUID(), date };
    try {
      return { status: 200, headers: id, body: this.#route(request) };
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      return { status: error.status, headers: { ...id, ...error.headers }, body: error.body };
    }
  };

  #route(request: FakeRequest): object {
    const { method, url } = request;
    const line = `${method} ${url.pathname}`;
    if (line === 'GET /tenant-1/v2.0/.well-known/openid-configuration') return this.#openId(request);
    if (line === 'POST /tenant-1/oauth2/v2.0/token') return this.#entra(request);
    if (line === 'GET /metadata/identity/oauth2/token') return this.#metadata(request, '2018-02-01');
    if (line === 'GET /msi/token') return this.#metadata(request, '2019-08-01');
    if (line === 'GET /arc/token') return this.#arc(request);
    this.#checkToken(request);
    if (url.searchParams.get('api-version') !== '7.4')
      refuse(400, 'BadParameter', `api-version ${url.search}`);
    if (!this.behaviour.allows)
      refuse(403, 'Forbidden', 'Caller is not authorized to perform action', 'ForbiddenByRbac');
    if (line === 'POST /rng') return this.#random(request);
    return this.#useKeys(request);
  }

  #useKeys({ method, url, headers, body }: FakeRequest): object {
    const { enabled, version, deleted } = this.behaviour;
    const kek = { kty: 'RSA', crv: null, operations: ['wrapKey', 'unwrapKey'], privateKey: this.#private };
    const versions = deleted ? [] : [...new Set([VERSION, version])];
    this.keys.set(
      'kek',
      versions.map((each) => ({ ...kek, version: each, created: 1_700_000_000, enabled })),
    );
    if (body.length > 0 && !/^application\/json(;|$)/.test(headers['content-type'] ?? ''))
      refuse(400, 'BadParameter', 'content type');
    const fields = body.length === 0 ? null : (JSON.parse(body.toString()) as Record<string, unknown>);
    return this.keys.answer(method, url, fields);
  }

  #random({ headers, body }: FakeRequest): object {
    if (!this.behaviour.isHsm) refuse(404, 'NotFound', 'the path was not found');
    const { count, ...others } = JSON.parse(body.toString());
    if (headers['content-type'] !== 'application/json' || Object.keys(others).length > 0)
      refuse(400, 'BadParameter', 'fields');
    if (!(count >= 1 && count <= 128)) refuse(400, 'BadParameter', 'count');
    return { value: randomBytes(count).toString('base64url') };
  }

  #issue(method: string, claims: string | null): { token: string; seconds: number } {
    this.logins.push(method);
    const token = `eyJ.${randomUUID()}`;
    const { tokenSeconds: seconds } = this.behaviour;
    this.#tokens.set(token, { until: Date.now() + seconds * 1000, claims });
    return { token, seconds };
  }

  /** What a library reads before it asks for tokens. */
  #openId(request: FakeRequest): object {
    const tenant = `${originOf(request)}/tenant-1`;
    return {
      issuer: `${tenant}/v2.0`,
      authorization_endpoint: `${tenant}/oauth2/v2.0/authorize`,
      token_endpoint: `${tenant}/oauth2/v2.0/token`,
    };
  }

  #entra(request: FakeRequest): object {
    const { headers, body, url } = request;
    if (headers['content-type'] !== 'application/x-www-form-urlencoded')
      refuseLogin('invalid_request', 'AADSTS900144: form');
    const form = new URLSearchParams(body.toString());
    const expected = {
      client_id: 'client-1',
      grant_type: 'client_credentials',
      scope: `${this.behaviour.resource}/.default`,
    };
    for (const [name, value] of Object.entries(expected))
      if (form.get(name) !== value) refuseLogin('invalid_request', `AADSTS900144: ${name} ${form.get(name)}`);
    const secret = form.get('client_secret');
    const assertion = form.get('client_assertion') ?? '';
    let method = 'secret';
    if (secret !== null) {
      if (secret !== this.behaviour.secret)
        refuseLogin('invalid_client', 'AADSTS7000215: Invalid client secret provided.');
    } else {
      if (form.get('client_assertion_type') !== ASSERTION) refuseLogin('invalid_request', 'assertion type');
      method =
        assertion === this.behaviour.federated
          ? 'federated'
          : this.#checkAssertion(assertion, `${originOf(request)}${url.pathname}`);
    }
    const { token, seconds } = this.#issue(method, form.get('claims'));
    return { token_type: 'Bearer', expires_in: seconds, ext_expires_in: seconds, access_token: token };
  }

  #checkAssertion(assertion: string, audience: string): string {
    const [head = '', claims = '', signature = ''] = assertion.split('.');
    const certificate = new X509Certificate(
      this.behaviour.certificate ??
        refuseLogin('invalid_client', 'AADSTS700027: no certificate is registered'),
    );
    const read = (part: string) => JSON.parse(Buffer.from(part, 'base64url').toString() || '{}');
    const { alg, ...header } = read(head);
    const { digest, name, ...padding } =
      ASSERTIONS[alg] ?? refuseLogin('invalid_client', `AADSTS5002723: ${alg}`);
    // Microsoft's library pads it.
    if (
      String(header[name]).replace(/=+$/, '') !==
      createHash(digest).update(certificate.raw).digest('base64url')
    )
      refuseLogin('invalid_client', 'AADSTS700027: certificate');
    const key = { key: certificate.publicKey, ...padding };
    if (!verify('sha256', Buffer.from(`${head}.${claims}`), key, Buffer.from(signature, 'base64url')))
      refuseLogin('invalid_client', 'AADSTS700027: Client assertion contains an invalid signature.');
    const { aud, iss, sub, nbf, exp, jti } = read(claims);
    const now = (Date.now() + this.behaviour.aheadMs) / 1000;
    if (aud !== audience || iss !== 'client-1' || sub !== iss || !jti)
      refuseLogin('invalid_client', 'AADSTS700021: claims');
    if (nbf > now || exp <= now)
      refuseLogin('invalid_client', 'AADSTS700024: Client assertion is not within its valid time range.');
    return 'certificate';
  }

  /** Its agent gives a token to who can read a file of its folder. */
  #arc(request: FakeRequest): object {
    const { headers } = request;
    const shown = headers['authorization'];
    if (shown !== undefined && this.#arcKeys.delete(shown)) return this.#metadata(request, '2019-11-01');
    const [path, key] = [join(this.behaviour.arcFolder, `${randomUUID()}.key`), randomUUID()];
    writeFileSync(path, key, { mode: 0o640 });
    this.#arcKeys.add(`Basic ${key}`);
    const realm = { 'www-authenticate': `Basic realm=${this.behaviour.arcRealm ?? path}` };
    throw new Refusal(401, { error: 'unauthorized_client' }, realm);
  }

  #metadata({ headers, url }: FakeRequest, version: string): object {
    const isAppService = version === '2019-08-01';
    const isMarked = isAppService
      ? headers['x-identity-header'] === 'header-1'
      : headers['metadata'] === 'true';
    if (!isMarked) refuseLogin('invalid_request', 'Required metadata header not specified');
    const { resource } = this.behaviour;
    const isGood =
      url.searchParams.get('api-version') === version && url.searchParams.get('resource') === resource;
    if (!isGood) refuseLogin('invalid_request', url.search);
    const { token, seconds } = this.#issue(WAYS[version] ?? '', null);
    const until = `${Math.round(Date.now() / 1000) + seconds}`;
    const life = isAppService ? {} : { expires_in: `${seconds}` };
    return { access_token: token, expires_on: until, ...life, resource, token_type: 'Bearer' };
  }

  #checkToken(request: FakeRequest): void {
    const { headers, body } = request;
    const held = this.#tokens.get((headers['authorization'] ?? '').replace(/^Bearer /, ''));
    const { claims, resource } = this.behaviour;
    const isGood = held && held.until > Date.now() && (claims === null || held.claims === claims);
    if (isGood) return;
    if (!headers['authorization'] && body.length > 0) refuse(400, 'BadParameter', 'a probe has no body');
    const wanted =
      claims && held
        ? `, error="insufficient_claims", claims="${Buffer.from(claims).toString('base64')}"`
        : '';
    const challenge = `Bearer authorization="${originOf(request)}/tenant-1", resource="${resource}"${wanted}`;
    const message = 'AKV10000: Request is missing a Bearer or PoP token.';
    throw new Refusal(401, { error: { code: 'Unauthorized', message } }, { 'www-authenticate': challenge });
  }
}
