/**
 * Answers about objects that modules may cache (ARCHITECTURE.md, "Answers that are kept"), and their
 * invalidation: whoever changes an object calls `changed` at once, and answers only after `settle`.
 */
import type { AttributeMap } from './attribute-value.ts';
import { ATTRIBUTES } from './attributes.ts';
import type { Caller } from '../caller.ts';
import type { Domain } from '../domain.ts';
import type { Keeper } from '../ports.ts';
import { FIRST_PUBLIC_HANDLE, type TokenObject } from './token-object.ts';

/** The unbind message is sent only for its side effect of ending kept answers: no key has this handle. */
const ANY_SLOT = 0;
const NOTHING = FIRST_PUBLIC_HANDLE - 1;

/** Attributes that are secret for some kind of object: a search by one of these is never kept. */
const SECRET = new Set(ATTRIBUTES.filter(({ material }) => material === true).map(({ type }) => type));

export class KeptAnswers {
  readonly #keeper: Pick<Keeper, 'unbind'>;
  /** A module may have kept an answer since the last invalidation. */
  #isSomeKept = false;
  #isChanged = false;
  #settling: Promise<void> | null = null;

  constructor(keeper: Pick<Keeper, 'unbind'>) {
    this.#keeper = keeper;
  }

  /** Call this before looking up an answer that may be kept: any later change invalidates it. */
  begin(): void {
    this.#isSomeKept = true;
  }

  changed(): void {
    this.#isChanged = true;
  }

  /**
   * Once it resolves, no module trusts an answer from before the last change. An absent keeper is no failure:
   * attaching to it invalidates everything.
   */
  async settle(): Promise<void> {
    if (this.#isChanged && this.#isSomeKept) this.#settling = this.#end(this.#settling);
    this.#isChanged = false;
    await this.#settling;
  }

  /** Waits for earlier calls as well: their changes may include this caller's. */
  async #end(before: Promise<void> | null): Promise<void> {
    this.#isSomeKept = false;
    const mine = this.#keeper.unbind(null, ANY_SLOT, NOTHING).catch(() => undefined);
    await Promise.all([before, mine]);
  }
}

/**
 * Not resident keys, which change at their service. Session objects only change through their own process,
 * whose module knows.
 */
export function isKeepable(object: TokenObject): boolean {
  return object.resident === undefined;
}

/** Not if a key service contributes results. */
export function isKeepableSearch({ catalogue }: Domain, { token }: Caller, template: AttributeMap): boolean {
  return catalogue.resident(token) === null && ![...template.keys()].some((type) => SECRET.has(type));
}
