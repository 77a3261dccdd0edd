/** The ways to get a token from a Vault or OpenBao server: one row each. */
import { readFileSync } from 'node:fs';
import { SidekeyError } from '../../errors.ts';
import { readPrivateFile } from '../private-file.ts';
import type { VaultAuth } from './vault-options.ts';

export interface LoginRequest {
  readonly path: string;
  readonly body: Readonly<Record<string, string>>;
}

type Login<Method extends VaultAuth['method']> = (
  auth: Extract<VaultAuth, { method: Method }>,
  at: (path: string) => string,
) => LoginRequest;

/** A file of mode 0600 with one line. */
export function readSecretLine(path: string): string {
  const bytes = readPrivateFile(path, process.geteuid?.() ?? 0);
  const text = bytes.toString('utf8').trim();
  bytes.fill(0);
  if (/^[\x21-\x7e]+$/.test(text)) return text;
  throw new SidekeyError('provider_refused', `${path} must contain a single line of text`);
}

/** Projected by an orchestrator: a link, readable by whom it says, and replaced before it expires. */
function readProjected(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new SidekeyError('provider_unreachable', `cannot read ${path}: ${reason}`, { cause });
  }
}

const withJwt = (auth: Extract<VaultAuth, { 'jwt-file': string }>, at: (path: string) => string) => ({
  path: `auth/${auth.mount}/login`,
  body: { role: auth.role, jwt: readProjected(at(auth['jwt-file'])) },
});

const LOGINS: { readonly [Method in Exclude<VaultAuth['method'], 'token'>]: Login<Method> } = {
  approle: (auth, at) => ({
    path: `auth/${auth.mount}/login`,
    body: { role_id: auth['role-id'], secret_id: readSecretLine(at(auth['secret-id-file'])) },
  }),
  kubernetes: withJwt,
  jwt: withJwt,
  certificate: ({ mount, role }) => ({
    path: `auth/${mount}/login`,
    body: role === undefined ? {} : { name: role },
  }),
};

/** Read anew each time: files change. Throws provider_refused, provider_unreachable. */
export function loginRequest(
  auth: Exclude<VaultAuth, { method: 'token' }>,
  at: (path: string) => string,
): LoginRequest {
  const login = LOGINS[auth.method] as Login<typeof auth.method>;
  return login(auth as never, at);
}
