import type { Caller } from '../caller.ts';
import type { Domain } from '../domain.ts';
import type { TokenObject } from '../objects/token-object.ts';

function takeBack(domain: Domain, object: TokenObject): void {
  domain.objects.remove(object);
  if (object.session?.cell != null) domain.cells.drop(object.session.cell);
}

/** What was made and cannot be recorded is taken back: its maker is told that the act failed, and nobody would ever remove it. */
export function recordMade(
  domain: Domain,
  { client, token }: Caller,
  event: string,
  objects: readonly TokenObject[],
  fields: Readonly<Record<string, string>> = {},
): void {
  try {
    for (const object of objects) domain.audit.object(event, client.peer, token, object, fields);
  } catch (error) {
    for (const object of objects) takeBack(domain, object);
    throw error;
  }
}
