/**
 * What a vault answers to a request without a token: for which resource it wants one. A vault could name any; a token is shown only
 * to hosts of the resource that it is for.
 */
import { SidekeyError } from '../../errors.ts';

export interface Challenge {
  readonly resource: string | null;
  /** Continuous access evaluation: what the next token must prove. Base64. */
  readonly claims: string | null;
}

export function parseChallenge(header: string | undefined): Challenge {
  const read = (name: string) => new RegExp(`\\b${name}="([^"]*)"`, 'i').exec(header ?? '')?.[1] ?? null;
  const scope = read('scope')?.replace(/\/\.default$/, '') ?? null;
  return { resource: read('resource') ?? scope, claims: read('claims') };
}

/** Throws provider_refused when the vault's host is not below the resource's. */
export function checkResource(what: string, vault: URL, resource: string | null): string {
  const host = resource !== null && URL.canParse(resource) ? new URL(resource).hostname : '';
  if (resource !== null && host.includes('.') && vault.hostname.endsWith(`.${host}`)) return resource;
  throw new SidekeyError(
    'provider_refused',
    `${what}: ${vault.hostname} asks for a token for "${resource ?? 'nothing'}", which is not its parent domain: no token is sent`,
  );
}
