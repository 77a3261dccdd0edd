/**
 * Keys whose every use is a line in the audit log (`audit.each` of a token). If the line cannot be written,
 * the use fails. A PKCS#11 use of a key in a cell has two lines (open-uses.ts): the keeper starts only after
 * the first is written.
 */
import type { Peer } from '../../access/peer.ts';
import { SidekeyError } from '../../errors.ts';
import type { Caller } from '../caller.ts';
import type { Domain } from '../domain.ts';
import type { Use } from './key-use.ts';
import type { TokenRow } from '../store-port.ts';
import { labelOf, type TokenObject } from '../objects/token-object.ts';

/** The HMAC key that accompanies a named key is matched by that name. */
const BESIDE = /\/hmac$/;

export interface EachUse {
  readonly peer: Peer;
  readonly token: TokenRow;
  readonly object: TokenObject;
  readonly use: Use | 'digest' | 'export';
  /** CKM_ number; null if unknown or none. */
  readonly mechanism: number | null;
}

export function useOf(
  { client, token }: Pick<Caller, 'client' | 'token'>,
  object: TokenObject,
  use: EachUse['use'],
  mechanism: number | null,
): EachUse {
  return { peer: client.peer, token, object, use, mechanism };
}

type Recording = Pick<Domain, 'catalogue' | 'audit'>;

export function isEachRecorded(
  { catalogue }: Pick<Domain, 'catalogue'>,
  token: TokenRow,
  object: TokenObject,
): boolean {
  if (!catalogue.recordsSome(token)) return false;
  const label = labelOf(object);
  return catalogue.recordsEach(token, label) || catalogue.recordsEach(token, label.replace(BESIDE, ''));
}

/** `result`: ok, permitted (a second line tells how it ended), or an error code. */
export function eachUseFields({ use, mechanism }: EachUse, result: string) {
  return { use, mechanism, result };
}

/** Does nothing for keys whose uses are only counted. */
function recordUse(domain: Recording, each: EachUse, result: string): void {
  const { peer, token, object } = each;
  if (!isEachRecorded(domain, token, object)) return;
  domain.audit.object('each-use', peer, token, object, eachUseFields(each, result));
}

export function recordFailedUse(domain: Recording, each: EachUse, error: unknown): void {
  recordUse(domain, each, error instanceof SidekeyError ? error.code : 'internal');
}

/** Performs the use, and records the result before anybody sees it. */
export function recordedUse<T>(
  domain: Recording,
  each: EachUse,
  work: () => Promise<T>,
  wipe: (result: T) => void = () => undefined,
): Promise<T> {
  return isEachRecorded(domain, each.token, each.object) ? workAndRecord(domain, each, work, wipe) : work();
}

async function workAndRecord<T>(
  domain: Recording,
  each: EachUse,
  work: () => Promise<T>,
  wipe: (result: T) => void,
): Promise<T> {
  let result: T;
  try {
    result = await work();
  } catch (error) {
    recordFailedUse(domain, each, error);
    throw error;
  }
  try {
    recordUse(domain, each, 'ok');
    return result;
  } catch (error) {
    wipe(result);
    throw error;
  }
}

/** For the envelope key, which is not an object. */
export async function recordedNamedUse<T>(
  { catalogue, audit }: Recording,
  { peer, token, name, use }: { peer: Peer; token: TokenRow; name: string; use: 'encrypt' | 'decrypt' },
  work: () => Promise<T>,
): Promise<T> {
  if (!catalogue.recordsEach(token, name)) return work();
  const record = (result: string): void =>
    audit.token('each-use', peer, token, { label: name, use, mechanism: null, result });
  const done = await work().catch((error: unknown) => {
    record(error instanceof SidekeyError ? error.code : 'internal');
    throw error;
  });
  record('ok');
  return done;
}

/** The refusal names the key even if the caller may not see it: it already knows the handle. */
export function recordRefusedHandle(
  domain: Domain,
  { client, token }: Pick<Caller, 'client' | 'token'>,
  handle: number,
  asked: Pick<EachUse, 'use' | 'mechanism'>,
  error: unknown,
): void {
  const view = { tokenId: token.id, client: client.id, seesPrivate: true };
  const object = findQuietly(() => domain.objects.get(view, handle, 'key_handle_invalid'));
  if (object !== null) recordFailedUse(domain, { peer: client.peer, token, object, ...asked }, error);
}

function findQuietly(find: () => TokenObject): TokenObject | null {
  try {
    return find();
  } catch (error) {
    if (error instanceof SidekeyError) return null;
    throw error;
  }
}
