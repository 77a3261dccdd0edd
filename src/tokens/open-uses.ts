/**
 * Uses that were let through and have not ended yet: the keeper does the work of keys in cells, and tells afterwards how it ended
 * (ARCHITECTURE.md, "Keys of which each use is recorded"). Both lines name the leave, so that they find each other.
 */
import { codeOfStatus } from '../errors.ts';
import type { AuditTrail } from './audit-trail.ts';
import type { Clients } from './clients.ts';
import { eachUseFields, type EachUse } from './each-use.ts';
import type { UseEnded } from './ports.ts';
import type { TokenCatalogue } from './token-catalogue.ts';

interface OpenUsesDeps {
  readonly audit: AuditTrail;
  readonly clients: Clients;
  readonly catalogue: TokenCatalogue;
}

export class OpenUses {
  readonly #deps: OpenUsesDeps;
  /** By the keeper's number; it tells of each one's end, so that there are no more than it has operations. */
  readonly #open = new Map<bigint, EachUse>();
  #boot: bigint | null = null;

  constructor(deps: OpenUsesDeps) {
    this.#deps = deps;
  }

  /** What another keeper had begun ended with it. What this one ended meanwhile was told to nobody. */
  attached(boot: bigint): void {
    if (this.#boot !== null && this.#boot !== boot)
      for (const [leave, each] of this.#open) this.#record(leave, each, 'operation_lost');
    this.#open.clear();
    this.#boot = boot;
  }

  /** The line stands before the use may begin. */
  permit(leave: bigint, each: EachUse): void {
    const { peer, token, object } = each;
    const fields = { ...eachUseFields(each, 'permitted'), leave: this.#name(leave) };
    this.#deps.audit.object('each-use', peer, token, object, fields);
    this.#open.set(leave, each);
  }

  /** Rejects with audit_failed. */
  async ended(use: UseEnded): Promise<void> {
    const each = this.#open.get(use.leave);
    this.#open.delete(use.leave);
    const result = use.status === 0 ? 'ok' : (codeOfStatus(use.status) ?? 'internal');
    if (each !== undefined) this.#record(use.leave, each, result);
    else if (use.operation !== null) await this.#recordUnknown(use, result);
    await this.#deps.audit.durable();
  }

  #record(leave: bigint, each: EachUse, result: string): void {
    const fields = { ...eachUseFields(each, result), leave: this.#name(leave) };
    this.#deps.audit.object('each-use-ended', each.peer, each.token, each.object, fields);
  }

  /** Begun under an agent before this one. */
  async #recordUnknown(use: UseEnded, result: string): Promise<void> {
    const { leave, client, slot, handle, operation, mechanism } = use;
    const peer = await this.#deps.clients.find(client).then(
      (found) => found.peer,
      () => null,
    );
    const token = this.#deps.catalogue.all().find((each) => each.slot === slot)?.name ?? null;
    const fields = { token, slot, handle, use: operation, mechanism, result, leave: this.#name(leave) };
    this.#deps.audit.event('each-use-ended', peer, fields);
  }

  /** Numbers begin anew with each keeper. */
  #name(leave: bigint): string {
    return `${(this.#boot ?? 0n).toString(36)}-${leave}`;
  }
}
