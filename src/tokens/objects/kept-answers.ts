/**
 * What modules may keep of answers about objects (ARCHITECTURE.md, "Answers that are kept"), and its end: whoever changes what
 * somebody may have been told says `changed` at once, and is answered after `settle`.
 */
import type { AttributeMap } from './attribute-value.ts';
import { ATTRIBUTES } from './attributes.ts';
import type { Caller } from '../caller.ts';
import type { Domain } from '../domain.ts';
import type { Keeper } from '../ports.ts';
import { FIRST_PUBLIC_HANDLE, type TokenObject } from './token-object.ts';

/** Of the message that takes bindings away only its other half is wanted: no key has this handle. */
const ANY_SLOT = 0;
const NOTHING = FIRST_PUBLIC_HANDLE - 1;

/** The attributes that are a secret of some kind of object: no module keeps what was searched by them. */
const SECRET = new Set(ATTRIBUTES.filter(({ material }) => material === true).map(({ type }) => type));

export class KeptAnswers {
  readonly #keeper: Pick<Keeper, 'unbind'>;
  /** Somebody may have kept something since the last end. */
  #isSomeKept = false;
  #isChanged = false;
  #settling: Promise<void> | null = null;

  constructor(keeper: Pick<Keeper, 'unbind'>) {
    this.#keeper = keeper;
  }

  /** Before anything is looked up whose answer may be kept: what changes from now on makes it void. */
  begin(): void {
    this.#isSomeKept = true;
  }

  changed(): void {
    this.#isChanged = true;
  }

  /**
   * When it resolves, nobody takes an answer from before the last change for a true one. An absent keeper is no failure: attaching
   * to it makes everything void.
   */
  async settle(): Promise<void> {
    if (this.#isChanged && this.#isSomeKept) this.#settling = this.#end(this.#settling);
    this.#isChanged = false;
    await this.#settling;
  }

  /** With what an earlier call still waits for: its changes may be this caller's. */
  async #end(before: Promise<void> | null): Promise<void> {
    this.#isSomeKept = false;
    const mine = this.#keeper.unbind(null, ANY_SLOT, NOTHING).catch(() => undefined);
    await Promise.all([before, mine]);
  }
}

/** A key of a key service changes there. Session objects change by their own process's doing, of which its module knows. */
export function isKeepable(object: TokenObject): boolean {
  return object.resident === undefined;
}

/** Not where a key service has a say. */
export function isKeepableSearch({ catalogue }: Domain, { token }: Caller, template: AttributeMap): boolean {
  return catalogue.resident(token) === null && ![...template.keys()].some((type) => SECRET.has(type));
}
