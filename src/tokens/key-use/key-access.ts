/**
 * The access rules, checked at each use of a key. Session objects belong to their program: what it may
 * create, it may use.
 */
import type { AccessOperation } from '../../access/operations.ts';
import type { Peer } from '../../access/peer.ts';
import { SidekeyError, type ErrorCode } from '../../errors.ts';
import { readBool, type AttributeMap } from '../objects/attribute-value.ts';
import { checkWritable, type Caller } from '../caller.ts';
import { CKA, CKO } from '../cryptoki.ts';
import { recordDenied } from '../denials.ts';
import type { Domain } from '../domain.ts';
import type { Use } from './key-use.ts';
import type { TokenRow } from '../store-port.ts';
import { classOf, labelOf, type TokenObject } from '../objects/token-object.ts';

const WORDS: Readonly<Record<Use, AccessOperation>> = {
  ...{ encrypt: 'encrypt', decrypt: 'decrypt', sign: 'sign', verify: 'verify' },
  ...{ sign_recover: 'sign', verify_recover: 'verify' },
  ...{ wrap: 'encrypt', unwrap: 'decrypt', derive: 'derive' },
  ...{ encapsulate: 'derive', decapsulate: 'derive' },
};

/** Signing and verifying with a secret key counts as `mac`. */
export function accessWordOf(object: TokenObject, use: Use): AccessOperation {
  const isCode = classOf(object) === CKO.SECRET_KEY && (use === 'sign' || use === 'verify');
  return isCode ? 'mac' : WORDS[use];
}

/** Throws `code` unless a rule permits the operation. */
export function demandAccess(
  domain: Domain,
  peer: Peer,
  token: TokenRow,
  key: string,
  operation: AccessOperation,
  code: ErrorCode = 'action_prohibited',
): void {
  if (domain.access.permits(peer, token.name, key, operation)) return;
  recordDenied(domain, peer, token, { reason: 'access rules', label: key, operation });
  throw new SidekeyError(code, `the rules of token ${token.name} do not let this process ${operation}`);
}

/** For what a key is needed to be made or to have a next version, whatever its name will be. */
export function demandMaking(domain: Domain, peer: Peer, token: TokenRow): void {
  if (domain.access.permitsSome(peer, token.name, ['create', 'rotate'])) return;
  recordDenied(domain, peer, token, { reason: 'access rules', operation: 'create' });
  throw new SidekeyError(
    'action_prohibited',
    `the rules of token ${token.name} let this process create no key`,
  );
}

export function mayUse(domain: Domain, peer: Peer, token: TokenRow, object: TokenObject, use: Use): boolean {
  if (object.session !== null) return true;
  return domain.access.permits(peer, token.name, labelOf(object), accessWordOf(object, use));
}

/** For keys addressed by handle: key_function_not_permitted, as if the key's own attributes forbade it. */
export function demandUse(
  domain: Domain,
  { client, token }: Caller,
  object: TokenObject,
  use: Use | 'export',
): void {
  if (object.session !== null) return;
  const operation = use === 'export' ? use : accessWordOf(object, use);
  const code = use === 'export' ? 'action_prohibited' : 'key_function_not_permitted';
  demandAccess(domain, client.peer, token, labelOf(object), operation, code);
}

/** For an object about to be created, in a session or on the token. */
export function checkCreation(domain: Domain, caller: Caller, attributes: AttributeMap): void {
  checkWritable(caller, attributes);
  if (!readBool(attributes, CKA.TOKEN)) return;
  const label = attributes.get(CKA.LABEL)?.toString('utf8') ?? '';
  demandAccess(domain, caller.client.peer, caller.token, label, 'create');
}

/** For an existing object. */
export function demandChange(
  domain: Domain,
  { client, token }: Caller,
  object: TokenObject,
  operation: 'administer' | 'destroy',
): void {
  if (object.session === null) demandAccess(domain, client.peer, token, labelOf(object), operation);
}
