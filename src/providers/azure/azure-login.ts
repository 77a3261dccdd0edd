/** The ways to get a token of Microsoft Entra ID: each is one request. */
import { constants, createHash, createPrivateKey, randomUUID, sign, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { SidekeyError } from '../../errors.ts';
import type { HttpRequest } from '../http/http-client.ts';
import { readPrivateFile } from '../private-file.ts';
import { managedIdentityRequest } from './azure-managed-identity.ts';
import type { AzureAuth } from './azure-options.ts';

const PUBLIC_AUTHORITY = 'https://login.microsoftonline.com';
const ASSERTION = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';
const ASSERTION_S = 600;

export interface LoginDeps {
  readonly authority: string | null;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly resolvePath: (path: string) => string;
  readonly nowMs: () => number;
}

/** What a token is asked for. `claims` as the vault's challenge gave them. */
export interface TokenScope {
  readonly resource: string;
  readonly claims: string | null;
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new SidekeyError('provider_unreachable', `cannot read ${path}: ${reason}`, { cause });
  }
}

function readSecret(path: string): Buffer {
  return readPrivateFile(path, process.geteuid?.() ?? 0);
}

function tokenUrl(deps: LoginDeps, tenant: string): URL {
  const authority = deps.authority ?? deps.environment['AZURE_AUTHORITY_HOST'] ?? PUBLIC_AUTHORITY;
  return new URL(`${tenant}/oauth2/v2.0/token`, authority.endsWith('/') ? authority : `${authority}/`);
}

function postForm(url: URL, clientId: string, scope: TokenScope, proof: Record<string, string>): HttpRequest {
  const { resource, claims } = scope;
  const form = new URLSearchParams({
    grant_type: 'client_credentials',
    client_id: clientId,
    scope: `${resource.replace(/\/$/, '')}/.default`,
    ...(claims === null ? {} : { claims: Buffer.from(claims, 'base64').toString('utf8') }),
    ...proof,
  });
  const headers = { 'content-type': 'application/x-www-form-urlencoded' };
  return { method: 'POST', url, headers, body: Buffer.from(`${form}`) };
}

/** A JWT that the certificate's key signs: PS256 with the certificate's SHA-256. */
function makeAssertion(audience: string, clientId: string, pem: string, key: Buffer, nowMs: number): string {
  const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const thumbprint = createHash('sha256').update(new X509Certificate(pem).raw).digest('base64url');
  const now = Math.floor(nowMs / 1000);
  const claims = { aud: audience, iss: clientId, sub: clientId, jti: randomUUID(), nbf: now, iat: now };
  const head = encode({ alg: 'PS256', typ: 'JWT', 'x5t#S256': thumbprint });
  const signed = `${head}.${encode({ ...claims, exp: now + ASSERTION_S })}`;
  const padding = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 };
  const signature = sign('sha256', Buffer.from(signed), { key: createPrivateKey(key), ...padding });
  return `${signed}.${signature.toString('base64url')}`;
}

type Login<Method extends AzureAuth['method']> = (
  auth: Extract<AzureAuth, { method: Method }>,
  scope: TokenScope,
  deps: LoginDeps,
) => HttpRequest;

function required(value: string | undefined, name: string): string {
  if (value) return value;
  throw new SidekeyError('provider_unreachable', `${name} is neither configured nor in the environment`);
}

const LOGINS: { readonly [Method in AzureAuth['method']]: Login<Method> } = {
  'client-secret': (auth, scope, deps) => {
    const secret = readSecret(deps.resolvePath(auth['client-secret-file'])).toString('utf8').trim();
    return postForm(tokenUrl(deps, auth['tenant-id']), auth['client-id'], scope, { client_secret: secret });
  },
  'client-certificate': (auth, scope, deps) => {
    const url = tokenUrl(deps, auth['tenant-id']);
    const pem = read(deps.resolvePath(auth['certificate-file']));
    const key = readSecret(deps.resolvePath(auth['key-file']));
    const assertion = makeAssertion(url.href, auth['client-id'], pem, key, deps.nowMs());
    key.fill(0);
    const proof = { client_assertion_type: ASSERTION, client_assertion: assertion };
    return postForm(url, auth['client-id'], scope, proof);
  },
  'workload-identity': (auth, scope, deps) => {
    const { environment } = deps;
    const tenant = required(auth['tenant-id'] ?? environment['AZURE_TENANT_ID'], 'tenant-id');
    const client = required(auth['client-id'] ?? environment['AZURE_CLIENT_ID'], 'client-id');
    const file = required(auth['token-file'] ?? environment['AZURE_FEDERATED_TOKEN_FILE'], 'token-file');
    const proof = { client_assertion_type: ASSERTION, client_assertion: read(deps.resolvePath(file)) };
    return postForm(tokenUrl(deps, tenant), client, scope, proof);
  },
  'managed-identity': (auth, { resource }, { environment }) =>
    managedIdentityRequest(environment, resource, auth['client-id']),
};

/** Files and environment are read anew each time. Throws provider_unreachable, provider_refused. */
export function tokenRequest(auth: AzureAuth, scope: TokenScope, deps: LoginDeps): HttpRequest {
  const login = LOGINS[auth.method] as Login<typeof auth.method>;
  return login(auth as never, scope, deps);
}
