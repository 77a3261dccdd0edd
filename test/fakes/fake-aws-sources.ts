/**
 * Everything that gives AWS credentials out, strictly: STS (AssumeRole signed, AssumeRoleWithWebIdentity by its token), SSO and its OIDC, a container
 * endpoint and an instance's metadata service. What was issued last is what the KMS beside it takes; what was issued before it takes no more.
 */
import { randomUUID } from 'node:crypto';
import type { FakeAwsKms } from './fake-aws-kms.ts';
import type { FakeReply, FakeRequest } from './fake-service.ts';
import { checkSignature, type AwsSession } from './sigv4.ts';

const XMLNS = 'https://sts.amazonaws.com/doc/2011-06-15/';

export interface SourcesBehaviour {
  seconds: number;
  /** Who may assume `role-1`. */
  users: AwsSession[];
  stsRegion: string;
  webIdentity: string;
  ssoToken: string;
  /** What the token endpoint of SSO takes in exchange for `ssoToken`. */
  ssoRefresh: string;
  containerToken: string;
  /** The metadata service's answer is lost on the way to a container: the hop limit of its instance. */
  isTooFar: boolean;
  refuses: boolean;
}

interface Issued extends AwsSession {
  readonly sessionToken: string;
  readonly until: string;
}

const escape = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');

function stsError(status: number, code: string, message: string): FakeReply {
  const body = `<ErrorResponse xmlns="${XMLNS}"><Error><Type>Sender</Type><Code>${code}</Code><Message>${escape(message)}</Message></Error><RequestId>${randomUUID()}</RequestId></ErrorResponse>`;
  return { status, headers: { 'content-type': 'text/xml' }, body };
}

export class FakeAwsSources {
  readonly #kms: FakeAwsKms;
  readonly #imdsTokens = new Set<string>();
  /** The ways by which credentials were given, in order. */
  readonly issued: string[] = [];
  behaviour: SourcesBehaviour = {
    seconds: 3600,
    users: [{ accessKeyId: 'AKIAUSER', secret: 'secret-of-the-user', sessionToken: null }],
    stsRegion: 'eu-central-1',
    webIdentity: 'web-identity-1',
    ssoToken: 'sso-1',
    ssoRefresh: 'refresh-1',
    containerToken: 'container-1',
    isTooFar: false,
    refuses: false,
  };

  constructor(kms: FakeAwsKms) {
    this.#kms = kms;
  }

  readonly handle = async (request: FakeRequest): Promise<FakeReply> => {
    const { method, url } = request;
    const line = `${method} ${url.pathname}`;
    if (line === 'POST /') return this.#sts(request);
    if (line === 'GET /federation/credentials') return this.#sso(request);
    if (line === 'POST /token') return this.#oidc(request);
    if (line === 'GET /container') return this.#container(request);
    if (line === 'GET /process') return this.#answer('process');
    if (url.pathname.startsWith('/latest/')) return this.#instance(line, request);
    return { status: 404, body: { message: line } };
  };

  #issue(way: string): Issued {
    this.issued.push(way);
    const session = {
      accessKeyId: `ASIA${randomUUID().replaceAll('-', '').toUpperCase().slice(0, 16)}`,
      secret: randomUUID(),
      sessionToken: `session of ${way} ${this.issued.length}`,
    };
    Object.assign(this.#kms.behaviour, session);
    const until = new Date(Math.floor(Date.now() / 1000 + this.behaviour.seconds) * 1000);
    return { ...session, until: until.toISOString().replace('.000Z', 'Z') };
  }

  #sts(request: FakeRequest): FakeReply {
    const { headers, body } = request;
    if (headers['content-type'] !== 'application/x-www-form-urlencoded')
      return stsError(400, 'InvalidAction', 'content type');
    const form = new URLSearchParams(body.toString());
    if (form.get('Version') !== '2011-06-15') return stsError(400, 'InvalidAction', 'version');
    const isWeb = form.get('Action') === 'AssumeRoleWithWebIdentity';
    if (!isWeb && form.get('Action') !== 'AssumeRole') return stsError(400, 'InvalidAction', `${form}`);
    const wrong = isWeb ? this.#checkWeb(form) : this.#checkSigned(request);
    if (wrong !== null) return stsError(403, ...wrong);
    const role = form.get('RoleArn') ?? '';
    if (!/^arn:aws:iam::111122223333:role\/role-[12]$/.test(role) || !form.get('RoleSessionName'))
      return stsError(400, 'ValidationError', role);
    if (this.behaviour.refuses)
      return stsError(403, 'AccessDenied', `User is not authorized to perform: sts:AssumeRole on ${role}`);
    const result = this.#issue(isWeb ? 'web-identity' : role.slice(-6));
    if (!isWeb && role.endsWith('role-1'))
      this.behaviour.users.push({ ...result, sessionToken: result.sessionToken });
    const name = isWeb ? 'AssumeRoleWithWebIdentity' : 'AssumeRole';
    const credentials = `<Credentials><AccessKeyId>${result.accessKeyId}</AccessKeyId><SecretAccessKey>${result.secret}</SecretAccessKey><SessionToken>${result.sessionToken}</SessionToken><Expiration>${result.until}</Expiration></Credentials>`;
    const user = `<AssumedRoleUser><AssumedRoleId>AROA:s</AssumedRoleId><Arn>${role.replace('iam', 'sts')}</Arn></AssumedRoleUser>`;
    const xml = `<${name}Response xmlns="${XMLNS}"><${name}Result>${user}${credentials}</${name}Result><ResponseMetadata><RequestId>${randomUUID()}</RequestId></ResponseMetadata></${name}Response>`;
    return { status: 200, headers: { 'content-type': 'text/xml' }, body: xml };
  }

  #checkWeb(form: URLSearchParams): readonly [string, string] | null {
    const isGood = form.get('WebIdentityToken') === this.behaviour.webIdentity;
    return isGood ? null : ['InvalidIdentityToken', 'the token is not of the provider'];
  }

  #checkSigned(request: FakeRequest): readonly [string, string] | null {
    const form = new URLSearchParams(request.body.toString());
    const isSecond = form.get('RoleArn')?.endsWith('role-2');
    return checkSignature(request, {
      region: this.behaviour.stsRegion,
      service: 'sts',
      signed: ['host', 'x-amz-date', 'content-type'],
      nowMs: Date.now(),
      // The second role trusts the first one alone.
      session: (id) =>
        this.behaviour.users.find(
          (user) => user.accessKeyId === id && (user.sessionToken !== null) === isSecond,
        ),
    });
  }

  #sso({ url, headers }: FakeRequest): FakeReply {
    const { ssoToken, refuses } = this.behaviour;
    if (headers['x-amz-sso_bearer_token'] !== ssoToken || refuses)
      return {
        status: 401,
        headers: { 'x-amzn-errortype': 'UnauthorizedException' },
        body: { message: 'Session token not found or invalid' },
      };
    const wanted = { role_name: 'Admin', account_id: '111122223333' };
    if (!Object.entries(wanted).every(([name, value]) => url.searchParams.get(name) === value))
      return { status: 403, headers: { 'x-amzn-errortype': 'ForbiddenException' }, body: { message: 'No' } };
    const { accessKeyId, secret, sessionToken, until } = this.#issue('sso');
    const roleCredentials = { accessKeyId, secretAccessKey: secret, sessionToken };
    return { status: 200, body: { roleCredentials: { ...roleCredentials, expiration: Date.parse(until) } } };
  }

  #oidc({ body }: FakeRequest): FakeReply {
    const { clientId, clientSecret, refreshToken, grantType, ...others } = JSON.parse(body.toString());
    const isGood =
      clientId === 'client-1' &&
      clientSecret === 'client-secret-1' &&
      refreshToken === this.behaviour.ssoRefresh &&
      grantType === 'refresh_token' &&
      Object.keys(others).length === 0;
    if (!isGood)
      return {
        status: 400,
        headers: { 'x-amzn-errortype': 'InvalidGrantException' },
        body: { error: 'invalid_grant' },
      };
    this.behaviour.ssoToken = `sso-${randomUUID()}`;
    this.behaviour.ssoRefresh = `refresh-${randomUUID()}`;
    this.issued.push('sso-token');
    const { ssoToken: accessToken, ssoRefresh } = this.behaviour;
    return {
      status: 200,
      body: { accessToken, refreshToken: ssoRefresh, expiresIn: 28_800, tokenType: 'Bearer' },
    };
  }

  #answer(way: string): FakeReply {
    if (this.behaviour.refuses) return { status: 403, body: { code: 'AccessDenied', message: 'no' } };
    const { accessKeyId: AccessKeyId, secret: SecretAccessKey, sessionToken, until } = this.#issue(way);
    const credentials = { AccessKeyId, SecretAccessKey, Expiration: until };
    // A program says it in other words than a metadata service.
    const rest =
      way === 'process'
        ? { Version: 1, SessionToken: sessionToken }
        : { Code: 'Success', Type: 'AWS-HMAC', Token: sessionToken };
    return { status: 200, body: { ...credentials, ...rest } };
  }

  #container({ headers }: FakeRequest): FakeReply {
    if (headers['authorization'] === this.behaviour.containerToken) return this.#answer('container');
    return { status: 401, body: { code: 'Unauthorized', message: 'the token is invalid' } };
  }

  async #instance(line: string, { headers }: FakeRequest): Promise<FakeReply> {
    if (line === 'PUT /latest/api/token') {
      if (this.behaviour.isTooFar) return new Promise(() => {});
      if (!(Number(headers['x-aws-ec2-metadata-token-ttl-seconds']) > 0)) return { status: 400 };
      const token = randomUUID();
      this.#imdsTokens.add(token);
      return { status: 200, headers: { 'content-type': 'text/plain' }, body: token };
    }
    if (!this.#imdsTokens.has(headers['x-aws-ec2-metadata-token'] ?? '')) return { status: 401, body: '' };
    const list = '/latest/meta-data/iam/security-credentials/';
    if (line === `GET ${list}`)
      return { status: 200, headers: { 'content-type': 'text/plain' }, body: 'role-1' };
    return line === `GET ${list}role-1` ? this.#answer('instance') : { status: 404, body: '' };
  }
}
