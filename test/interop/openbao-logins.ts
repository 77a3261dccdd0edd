/** Every way to log in to a real OpenBao server, and what stands behind it: a Kubernetes API server that reviews tokens is the one thing made here. */
import { createPublicKey, generateKeyPairSync, sign } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Test } from 'tap';
import { serverTls } from '../fakes/certificates.ts';
import { FakeService, type FakeReply, type FakeRequest } from '../fakes/fake-service.ts';
import type { OpenBao } from './openbao.ts';

const POLICY = { token_policies: ['sidekey'], token_ttl: '1h' };
const ISSUER = 'https://issuer.test';
const REVIEWER = 'reviewer-token';
const AUDIENCE = 'https://kubernetes.default.svc';
const REVIEW_PATH = '/apis/authentication.k8s.io/v1/tokenreviews';

const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' });

function makeJwt(claims: object): string {
  const now = Math.floor(Date.now() / 1000);
  const header = { alg: 'ES256', typ: 'JWT', kid: 'k1' };
  const body = { iss: ISSUER, iat: now, nbf: now - 10, exp: now + 3600, ...claims };
  const text = [header, body]
    .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
    .join('.');
  const key = { key: pair.privateKey, dsaEncoding: 'ieee-p1363' } as const;
  return `${text}.${sign('sha256', Buffer.from(text), key).toString('base64url')}`;
}

const ACCOUNT = { namespace: 'apps', serviceaccount: { name: 'app', uid: 'uid-1' } };
const SERVICE_ACCOUNT_JWT = makeJwt({
  sub: 'system:serviceaccount:apps:app',
  aud: [AUDIENCE],
  'kubernetes.io': ACCOUNT,
});

/** TokenReview, of that one token and by that one reviewer. */
function review({ method, url, headers, body }: FakeRequest): FakeReply {
  console.log(method, url.pathname, headers, body.toString());
  if (method !== 'POST' || url.pathname !== REVIEW_PATH) return { status: 404 };
  if (headers['authorization'] !== `Bearer ${REVIEWER}`) return { status: 401 };
  const { token, audiences } = JSON.parse(body.toString()).spec;
  const isKnown = token === SERVICE_ACCOUNT_JWT && audiences[0] === AUDIENCE;
  const groups = ['system:serviceaccounts', 'system:serviceaccounts:apps', 'system:authenticated'];
  const user = { username: 'system:serviceaccount:apps:app', uid: 'uid-1', groups };
  const status = isKnown
    ? { authenticated: true, user, audiences }
    : { authenticated: false, error: 'unknown' };
  return {
    status: 201,
    body: { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview', status },
  };
}

async function enableApprole(bao: OpenBao) {
  await bao.must('POST', 'sys/auth/approle', { type: 'approle' });
  await bao.must('POST', 'auth/approle/role/app', POLICY);
  const roleId = await bao.read('GET', 'auth/approle/role/app/role-id', {}, 'data', 'role_id');
  const secret = await bao.read('POST', 'auth/approle/role/app/secret-id', {}, 'data', 'secret_id');
  const file = bao.secretFile('secret-id', secret);
  return { method: 'approle', 'role-id': roleId, 'secret-id-file': file };
}

async function enableJwt(bao: OpenBao) {
  await bao.must('POST', 'sys/auth/jwt', { type: 'jwt' });
  const pem = createPublicKey(pair.privateKey).export({ type: 'spki', format: 'pem' });
  await bao.must('POST', 'auth/jwt/config', { jwt_validation_pubkeys: [pem], bound_issuer: ISSUER });
  const bound = { role_type: 'jwt', user_claim: 'sub', bound_audiences: ['sidekey'] };
  await bao.must('POST', 'auth/jwt/role/app', { ...POLICY, ...bound });
  const jwt = makeJwt({ sub: 'app', aud: 'sidekey' });
  return { method: 'jwt', role: 'app', 'jwt-file': bao.secretFile('jwt', jwt) };
}

async function enableKubernetes(t: Test, bao: OpenBao) {
  const server = new FakeService(review, serverTls(bao.certificates));
  await server.start();
  t.teardown(() => server.stop());
  await bao.must('POST', 'sys/auth/kubernetes', { type: 'kubernetes' });
  await bao.must('POST', 'auth/kubernetes/config', {
    kubernetes_host: server.url,
    kubernetes_ca_cert: readFileSync(bao.certificates.ca, 'utf8'),
    token_reviewer_jwt: REVIEWER,
  });
  const bound = { bound_service_account_names: ['app'], bound_service_account_namespaces: ['apps'] };
  await bao.must('POST', 'auth/kubernetes/role/app', { ...POLICY, ...bound });
  return { method: 'kubernetes', role: 'app', 'jwt-file': bao.secretFile('account', SERVICE_ACCOUNT_JWT) };
}

async function enableCertificate(bao: OpenBao) {
  await bao.must('POST', 'sys/auth/cert', { type: 'cert' });
  const certificate = readFileSync(bao.certificates.ca, 'utf8');
  await bao.must('POST', 'auth/cert/certs/app', { ...POLICY, certificate, allowed_common_names: ['client'] });
  return { method: 'certificate', role: 'app' };
}

/** Each by the configuration of `auth`. */
export async function enableLogins(t: Test, bao: OpenBao) {
  return {
    token: { method: 'token', 'token-file': await bao.tokenFile() },
    approle: await enableApprole(bao),
    jwt: await enableJwt(bao),
    kubernetes: await enableKubernetes(t, bao),
    certificate: await enableCertificate(bao),
  } as const;
}
