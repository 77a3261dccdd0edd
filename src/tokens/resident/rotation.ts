/** A further version of a key in its service, where keys have versions: it takes the label, the former one keeps its own with its version behind it. */
import type { Peer } from '../../access/peer.ts';
import { SidekeyError } from '../../errors.ts';
import type { Domain } from '../domain.ts';
import type { TokenRow } from '../store-port.ts';

function refuse(why: string): never {
  throw new SidekeyError('arguments_bad', why);
}

/** Rejects with arguments_bad when there is nothing to rotate, else with what the service says. */
export async function rotateResident(
  domain: Domain,
  peer: Peer | null,
  token: TokenRow,
  label: string,
): Promise<void> {
  const source = domain.resident.service(token);
  if (source === null) refuse(`token ${token.name} shows no keys of its key service`);
  const { service, options } = source;
  if (!options.create)
    refuse(`token ${token.name} may not create keys in its key service: set \`resident.create\``);
  if (service.rotate === undefined) refuse(`the keys of ${token.provider} have no versions`);
  await domain.resident.refresh(token);
  const name = options.prefix + label;
  const shown = domain.resident.objects(token).map(({ resident }) => resident);
  const key = shown.find((each) => each?.name === name && each.isPrimary);
  if (key === undefined) refuse(`token ${token.name} shows no key of its service with the label ${label}`);
  // First, as nothing takes back a version whose line cannot be written.
  domain.audit.token('resident-key-rotation-asked', peer, token, { label, service: key.id });
  const made = await service.rotate(key);
  domain.resident.expire(token);
  await domain.resident.refresh(token);
  domain.audit.token('resident-key-rotated', peer, token, { label, service: made.id });
}
