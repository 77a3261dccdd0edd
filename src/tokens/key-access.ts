/** The access rules at each act with a key. Objects of a session are a program's own: what it may make, it may use. */
import type { AccessOperation } from '../access/operations.ts';
import type { Peer } from '../access/peer.ts';
import { SidekeyError, type ErrorCode } from '../errors.ts';
import { readBool, type AttributeMap } from './objects/attribute-value.ts';
import { checkWritable, type Caller } from './caller.ts';
import { CKA, CKO } from './cryptoki.ts';
import { recordDenied } from './denials.ts';
import type { Domain } from './domain.ts';
import type { Use } from './key-use.ts';
import type { TokenRow } from './store-port.ts';
import { classOf, labelOf, type TokenObject } from './objects/token-object.ts';

const WORDS: Readonly<Record<Use, AccessOperation>> = {
  ...{ encrypt: 'encrypt', decrypt: 'decrypt', sign: 'sign', verify: 'verify' },
  ...{ sign_recover: 'sign', verify_recover: 'verify' },
  ...{ wrap: 'encrypt', unwrap: 'decrypt', derive: 'derive' },
  ...{ encapsulate: 'derive', decapsulate: 'derive' },
};

/** Signing and verifying with a secret key is making and checking a code. */
export function accessWordOf(object: TokenObject, use: Use): AccessOperation {
  const isCode = classOf(object) === CKO.SECRET_KEY && (use === 'sign' || use === 'verify');
  return isCode ? 'mac' : WORDS[use];
}

/** Throws `code` unless a rule permits it. */
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

export function mayUse(domain: Domain, peer: Peer, token: TokenRow, object: TokenObject, use: Use): boolean {
  if (object.session !== null) return true;
  return domain.access.permits(peer, token.name, labelOf(object), accessWordOf(object, use));
}

/** What a program asks of a key by its handle: key_function_not_permitted, as if the key's attributes forbade it. */
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

/** For an object that is about to be made: of a session, or one that stays. */
export function checkCreation(domain: Domain, caller: Caller, attributes: AttributeMap): void {
  checkWritable(caller, attributes);
  if (!readBool(attributes, CKA.TOKEN)) return;
  const label = attributes.get(CKA.LABEL)?.toString('utf8') ?? '';
  demandAccess(domain, caller.client.peer, caller.token, label, 'create');
}

/** For an object that is there. */
export function demandChange(
  domain: Domain,
  { client, token }: Caller,
  object: TokenObject,
  operation: 'administer' | 'destroy',
): void {
  if (object.session === null) demandAccess(domain, client.peer, token, labelOf(object), operation);
}
