/**
 * Uses that were permitted and have not ended: the keeper operates with keys in cells, and reports afterwards
 * how it went (ARCHITECTURE.md, "Keys of which each use is recorded"). Both audit lines name the permission,
 * so that they can be matched.
 */
import { codeOfStatus } from '../../errors.ts';
import type { AuditTrail } from '../audit-trail.ts';
import type { Clients } from '../clients.ts';
import { eachUseFields, type EachUse } from './each-use.ts';
import type { UseEnded } from '../ports.ts';
import type { TokenCatalogue } from '../token-catalogue.ts';

interface OpenUsesDeps {
  readonly audit: AuditTrail;
  readonly clients: Clients;
  readonly catalogue: TokenCatalogue;
}

export class OpenUses {
  readonly #deps: OpenUsesDeps;
  /**
   * By the keeper's number. The keeper reports the end of each, so there are never more than it has
   * operations.
   */
  readonly #open = new Map<bigint, EachUse>();
  #boot: bigint | null = null;

  constructor(deps: OpenUsesDeps) {
    this.#deps = deps;
  }

  /**
   * Operations begun by another keeper ended with it. Those this keeper ended in the meantime were reported
   * to nobody.
   */
  attached(boot: bigint): void {
    if (this.#boot !== null && this.#boot !== boot)
      for (const [leave, each] of this.#open) this.#record(leave, each, 'operation_lost');
    this.#open.clear();
    this.#boot = boot;
  }

  /** Writes the line before the use may begin. */
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

  /** The use began under a previous agent. */
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

  /** Each keeper numbers from the start again. */
  #name(leave: bigint): string {
    return `${(this.#boot ?? 0n).toString(36)}-${leave}`;
  }
}
