/**
 * Keys of a key service by name, for the HTTP API: the name is the label of the newest version, which is the
 * service's name without the prefix. A sealed key of the same name hides the service's key.
 */
import type { Peer } from '../../access/peer.ts';
import { SidekeyError } from '../../errors.ts';
import { RESIDENT_FROM } from '../../wire/tables.ts';
import { CKO } from '../cryptoki.ts';
import type { Domain } from '../domain.ts';
import { DEFAULT_POLICY, isNameable, type KeyFamily, type KeyVersion } from '../named-keys/family.ts';
import { recordResidentMade } from '../recorded.ts';
import type { ResidentKey, ResidentUse } from '../resident-port.ts';
import type { NamedKeyUse, NewNamedKey, NewNamedKeyKind } from '../service.ts';
import type { TokenRow } from '../store-port.ts';
import type { ResidentOptions } from '../token-catalogue.ts';
import { classOf, type TokenObject } from '../objects/token-object.ts';
import { demandName, destroyResident } from './generation.ts';
import { planUse, useAtOnce } from './use.ts';

const EMPTY = Buffer.alloc(0);
/**
 * Versions that have no number get one: the second of their creation, counted from here. Nine digits last
 * until 2051.
 */
const FIRST_SECOND_MS = Date.UTC(2020, 0, 1);
const NUMBER = /^\d{1,9}$/;

export type Shown = TokenObject & { readonly resident: ResidentKey };

/**
 * Whether its uses go to the service: those of a private or secret key, and of a public half that the service
 * does not reveal.
 */
export function isUsedInService(object: TokenObject): object is Shown {
  return object.resident !== undefined && object.handle >= RESIDENT_FROM;
}

function isPublicHalf(object: TokenObject): boolean {
  return classOf(object) === CKO.PUBLIC_KEY;
}

function numberOf({ version, createdAt }: ResidentKey): number {
  if (version === null) return 1;
  if (NUMBER.test(version)) return Number(version);
  return Math.max(1, Math.floor(((createdAt ?? 0) - FIRST_SECOND_MS) / 1000));
}

/** Several keys of one name without distinct versions, as an HSM may have, cannot be addressed by name. */
function isAmbiguous(mains: readonly Shown[]): boolean {
  return mains.length > 1 && mains.some(({ resident }) => resident.version === null);
}

function namedMains(domain: Domain, token: TokenRow): Shown[] {
  const mains = domain.resident.objects(token).filter((object) => !isPublicHalf(object));
  return mains.filter(isUsedInService).filter(isNameable);
}

function nameOf({ resident }: Shown, { prefix }: ResidentOptions): string {
  return resident.name.slice(prefix.length);
}

/** By number, ascending. A version created in the same second as the previous one gets the next number. */
function versionsOf(domain: Domain, token: TokenRow, mains: readonly Shown[]): Map<number, KeyVersion> {
  const objects = domain.resident.objects(token);
  const publicHalf = ({ resident }: Shown): TokenObject | null =>
    objects.find((each) => each.resident?.id === resident.id && isPublicHalf(each)) ?? null;
  const ordered = [...mains].sort(
    ({ resident: a }, { resident: b }) =>
      numberOf(a) - numberOf(b) || Number(a.isPrimary) - Number(b.isPrimary) || (a.id < b.id ? -1 : 1),
  );
  const versions = new Map<number, KeyVersion>();
  let last = 0;
  for (const main of ordered) {
    last = Math.max(last + 1, numberOf(main.resident));
    versions.set(last, { version: last, main, shown: publicHalf(main) });
  }
  return versions;
}

/** From the current list; null: there is no key of this name. */
export function findResidentFamily(domain: Domain, token: TokenRow, name: string): KeyFamily | null {
  const source = domain.resident.service(token);
  if (source === null) return null;
  const mains = namedMains(domain, token).filter((main) => nameOf(main, source.options) === name);
  if (isAmbiguous(mains)) return null;
  const versions = versionsOf(domain, token, mains);
  const latest = [...versions.values()].at(-1);
  if (latest === undefined) return null;
  const policy = { ...DEFAULT_POLICY, deletionAllowed: source.options.destroy };
  return { name, policy, latest, versions };
}

export function residentNames(domain: Domain, token: TokenRow): string[] {
  const source = domain.resident.service(token);
  if (source === null) return [];
  const names = new Set(namedMains(domain, token).map((main) => nameOf(main, source.options)));
  return [...names].filter((name) => findResidentFamily(domain, token, name) !== null);
}

/** Accepts data of any length where the mechanism takes a digest. The caller has checked permission. */
export function useResident(
  domain: Domain,
  token: TokenRow,
  { resident: key }: Shown,
  { operation, mechanism }: NamedKeyUse,
  data: Buffer,
  signature: Buffer | undefined,
): Promise<Buffer> {
  const source = domain.resident.service(token);
  if (source === null) throw new SidekeyError('key_handle_invalid', 'the token no longer has resident keys');
  if (operation !== 'encrypt' && operation !== 'decrypt' && operation !== 'sign' && operation !== 'verify')
    throw new SidekeyError('function_not_supported', 'resident keys do not support this');
  const plan = planUse(key, operation, mechanism);
  return useAtOnce(source.service, key, plan, operation, data, signature ?? null);
}

const ML_DSA_SPECS = { 10496: 'ml-dsa-44', 15616: 'ml-dsa-65', 20736: 'ml-dsa-87' } as const;

function specOf(kind: NewNamedKeyKind) {
  switch (kind.kind) {
    case 'aes':
      return { spec: `aes-${kind.sizeBits}`, sizeBits: kind.sizeBits } as const;
    case 'chacha20':
      throw new SidekeyError('mechanism_invalid', 'no key service supports ChaCha20-Poly1305 keys');
    case 'generic':
      return { spec: 'generic', sizeBits: kind.sizeBits } as const;
    case 'rsa':
      return { spec: `rsa-${kind.sizeBits}`, sizeBits: kind.sizeBits } as const;
    case 'ec':
      return { spec: `ec-p${kind.sizeBits}`, sizeBits: kind.sizeBits } as const;
    case 'ed25519':
      return { spec: 'ed25519', sizeBits: 255 } as const;
    case 'ml-dsa':
      return { spec: ML_DSA_SPECS[kind.sizeBits], sizeBits: kind.sizeBits };
  }
}

/** If a service allows a key only one usage, an RSA key signs, as for PKCS#11 programs that ask for both. */
const USES: Readonly<Record<NewNamedKeyKind['kind'], readonly ResidentUse[]>> = {
  aes: ['decrypt'],
  chacha20: [],
  generic: ['sign'],
  rsa: ['sign', 'decrypt'],
  ec: ['sign'],
  ed25519: ['sign'],
  'ml-dsa': ['sign'],
};

/** Whether a key created by name on this token is created in the service, as for PKCS#11 programs. */
export function makesInService(domain: Domain, token: TokenRow): boolean {
  return domain.resident.service(token)?.options.create === true;
}

export async function createResident(
  domain: Domain,
  peer: Peer,
  token: TokenRow,
  name: string,
  { kind, exportable, derived, autoRotateMs = 0 }: NewNamedKey,
): Promise<void> {
  const source = domain.resident.service(token);
  if (source === null) throw new SidekeyError('internal', 'the token has no resident keys');
  if (exportable || derived || autoRotateMs > 0)
    throw new SidekeyError(
      'template_inconsistent',
      'a resident key cannot be exportable, derived or rotated automatically',
    );
  const { service, options } = source;
  const wanted = specOf(kind);
  if (!service.creates.includes(wanted.spec))
    throw new SidekeyError('key_size_range', 'the service cannot generate keys of this type and size');
  const rest = { uses: USES[kind.kind], ckaId: service.keepsIds ? domain.random(16) : EMPTY };
  const key = await service.create({ ...wanted, ...rest, name: demandName(options.prefix + name) });
  await recordResidentMade(domain, { peer, token }, { service, key });
}

/**
 * Deletes the newest version, then any that remain: some services delete all versions at once, others one by
 * one.
 */
export async function destroyFamily(
  domain: Domain,
  peer: Peer,
  token: TokenRow,
  { name, versions }: KeyFamily,
): Promise<void> {
  for (let left = versions.size; left > 0; left--) {
    const family = findResidentFamily(domain, token, name);
    if (family === null) return;
    await destroyResident(domain, peer, token, family.latest.main);
    if (left === 1) return;
    domain.resident.expire(token);
    await domain.resident.refresh(token);
  }
}
