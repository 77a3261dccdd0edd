/**
 * Google's token services, strictly, told apart by the host that they are asked as: OAuth's refresh, the exchange of workload identity federation, the
 * impersonation of service accounts; and a source of subject tokens by URL. What was issued last is the token that the KMS beside it takes.
 */
import { randomUUID } from 'node:crypto';
import type { FakeGcpKms } from './fake-gcp-kms.ts';
import type { FakeReply, FakeRequest } from './fake-service.ts';

export const GOOGLE_HOSTS = ['oauth2.googleapis.com', 'sts.googleapis.com', 'iamcredentials.googleapis.com'];
export const AUDIENCE =
  '//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/idp';
export const TARGET = 'kms-user@p-1.iam.gserviceaccount.com';
const CLOUD_KMS = 'https://www.googleapis.com/auth/cloudkms';
const CLOUD_PLATFORM = 'https://www.googleapis.com/auth/cloud-platform';
const JWT_TYPE = 'urn:ietf:params:oauth:token-type:jwt';
const ACCESS_TYPE = 'urn:ietf:params:oauth:token-type:access_token';

const refuse = (status: number, error: string, why: string): FakeReply => ({
  status,
  body: { error, error_description: why },
});

export class FakeGoogleSources {
  readonly #kms: FakeGcpKms;
  /** Tokens that are good for an impersonation. */
  readonly #first = new Set<string>();
  /** The ways by which tokens were given, in order. */
  readonly issued: string[] = [];
  behaviour = { seconds: 3600, refreshToken: 'refresh-1', subject: 'subject-1', refuses: false };

  constructor(kms: FakeGcpKms) {
    this.#kms = kms;
  }

  readonly handle = (request: FakeRequest): FakeReply => {
    const { method, url, headers, body } = request;
    const host = (headers['host'] ?? '').split(':')[0] ?? '';
    const line = `${method} ${GOOGLE_HOSTS.includes(host) ? host : ''}${url.pathname}`;
    if (line === 'GET /subject') return this.#subject(request);
    if (this.behaviour.refuses) return refuse(400, 'invalid_grant', 'Token has been expired or revoked.');
    const form = new URLSearchParams(body.toString());
    if (line === 'POST oauth2.googleapis.com/token') return this.#refresh(form);
    if (line === 'POST sts.googleapis.com/v1/token') return this.#exchange(form);
    if (
      line ===
      `POST iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/${TARGET}:generateAccessToken`
    )
      return this.#impersonate(request);
    return refuse(404, 'not_found', line);
  };

  #issue(way: string): string {
    this.issued.push(way);
    const token = `ya29.${randomUUID()}`;
    this.#first.add(token);
    this.#kms.behaviour.accessToken = token;
    return token;
  }

  /** For the proof of a program that only it may read: a header of the configuration's. */
  #subject({ headers }: FakeRequest): FakeReply {
    if (headers['x-idp-key'] !== 'idp-1') return refuse(403, 'forbidden', 'no key');
    return { status: 200, body: { nested: 1, id_token: this.behaviour.subject } };
  }

  #refresh(form: URLSearchParams): FakeReply {
    const expected = {
      grant_type: 'refresh_token',
      client_id: 'client-1',
      client_secret: 'client-secret-1',
      refresh_token: this.behaviour.refreshToken,
    };
    for (const [name, value] of Object.entries(expected))
      if (form.get(name) !== value) return refuse(400, 'invalid_grant', `${name} is wrong`);
    const { seconds: expires_in } = this.behaviour;
    return { status: 200, body: { access_token: this.#issue('refresh'), expires_in, token_type: 'Bearer' } };
  }

  #exchange(form: URLSearchParams): FakeReply {
    const expected = {
      grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
      audience: AUDIENCE,
      requested_token_type: ACCESS_TYPE,
      subject_token_type: JWT_TYPE,
      subject_token: this.behaviour.subject,
    };
    for (const [name, value] of Object.entries(expected))
      if (form.get(name) !== value) return refuse(400, 'invalid_grant', `${name} is ${form.get(name)}`);
    const scopes = (form.get('scope') ?? '').split(' ');
    if (!scopes.some((scope) => scope === CLOUD_KMS || scope === CLOUD_PLATFORM))
      return refuse(400, 'invalid_scope', String(scopes));
    const { seconds: expires_in } = this.behaviour;
    const about = { issued_token_type: ACCESS_TYPE, token_type: 'Bearer', expires_in };
    return { status: 200, body: { access_token: this.#issue('exchange'), ...about } };
  }

  #impersonate({ headers, body }: FakeRequest): FakeReply {
    const shown = /^Bearer (\S+)$/.exec(headers['authorization'] ?? '')?.[1] ?? '';
    if (!this.#first.has(shown)) return refuse(401, 'UNAUTHENTICATED', 'not a token of ours');
    const { scope, lifetime } = JSON.parse(body.toString());
    if (!scope.includes(CLOUD_KMS) || lifetime !== '3600s')
      return refuse(400, 'INVALID_ARGUMENT', body.toString());
    const expireTime = new Date(Date.now() + this.behaviour.seconds * 1000).toISOString();
    return { status: 200, body: { accessToken: this.#issue('impersonation'), expireTime } };
  }
}
