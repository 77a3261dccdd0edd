/** Where a host on Azure gets the token of its managed identity: the first of the table whose marks are in the environment. */
import { readFileSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { SidekeyError } from '../../errors.ts';
import type { HttpReply, HttpRequest } from '../http/http-client.ts';

const IMDS = 'http://169.254.169.254';
const IMDS_PATH = '/metadata/identity/oauth2/token';
const ARC_KEY_MAX_BYTES = 4096;

type Environment = Readonly<Record<string, string | undefined>>;

interface Source {
  readonly version: string;
  isHere(environment: Environment): boolean;
  url(environment: Environment): string | URL;
  headers(environment: Environment): Record<string, string>;
}

const METADATA = { metadata: 'true' };

const SOURCES = {
  'App Service': {
    version: '2019-08-01',
    isHere: (env) => Boolean(env['IDENTITY_ENDPOINT'] && env['IDENTITY_HEADER']),
    url: (env) => env['IDENTITY_ENDPOINT'] ?? '',
    headers: (env) => ({ 'x-identity-header': env['IDENTITY_HEADER'] ?? '' }),
  },
  'Azure Arc': {
    version: '2019-11-01',
    isHere: (env) => Boolean(env['IDENTITY_ENDPOINT'] && env['IMDS_ENDPOINT']),
    url: (env) => env['IDENTITY_ENDPOINT'] ?? '',
    headers: () => METADATA,
  },
  'the metadata service': {
    version: '2018-02-01',
    isHere: () => true,
    url: (env) => new URL(IMDS_PATH, env['AZURE_POD_IDENTITY_AUTHORITY_HOST'] ?? IMDS),
    headers: () => METADATA,
  },
} as const satisfies Record<string, Source>;

export type ManagedIdentity = keyof typeof SOURCES;

export function findManagedIdentity(environment: Environment): ManagedIdentity {
  const all = Object.entries(SOURCES) as [ManagedIdentity, Source][];
  return (all.find(([, { isHere }]) => isHere(environment)) ?? ['the metadata service'])[0];
}

/** `clientId`: of a user-assigned identity. */
export function managedIdentityRequest(
  environment: Environment,
  resource: string,
  clientId: string | undefined,
): HttpRequest {
  const name = findManagedIdentity(environment);
  if (name === 'Azure Arc' && clientId !== undefined)
    throw new SidekeyError('provider_refused', 'Azure Arc has no user-assigned identities: omit client-id');
  const source: Source = SOURCES[name];
  const url = new URL(source.url(environment));
  url.searchParams.set('api-version', source.version);
  url.searchParams.set('resource', resource);
  if (clientId !== undefined) url.searchParams.set('client_id', clientId);
  return { method: 'GET', url, headers: source.headers(environment), body: null };
}

/**
 * What Arc's agent asks for to see that the asker is root or of its group: the bytes of a file that it has just written. No other file is
 * shown to whoever listens there. Throws provider_refused.
 */
export function answerArc({ headers }: HttpReply, tokensFolder: string): string {
  const path = /^Basic realm="?([^"]+)"?$/i.exec(headers['www-authenticate'] ?? '')?.[1] ?? '';
  const isKey = path.endsWith('.key') && path === join(dirname(path), basename(path));
  if (!isKey || dirname(path) !== tokensFolder)
    throw new SidekeyError(
      'provider_refused',
      `Azure Arc did not name a key in ${tokensFolder}: ${JSON.stringify(path)}`,
    );
  try {
    if (statSync(path).size > ARC_KEY_MAX_BYTES) throw new Error('it is too long');
    return `Basic ${readFileSync(path, 'utf8')}`;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    const cure = 'the agent must be in the group himds';
    throw new SidekeyError('provider_unreachable', `cannot read ${path} (${cure}): ${reason}`, { cause });
  }
}
