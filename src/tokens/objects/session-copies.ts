/**
 * Copies of token keys that live in a session (OpenSSL's pkcs11-provider copies each key that it uses). As
 * their source is stored in the token, they survive the keeper: the next use opens them again from it.
 */
import { SidekeyError } from '../../errors.ts';
import type { CellId, Keeper, NewKey } from '../ports.ts';
import { writeSessionNote, type SessionObjects } from './session-objects.ts';
import type { TokenObject } from './token-object.ts';

export interface Source {
  /** The cell of the source key. */
  readonly cell: () => Promise<CellId>;
  /** Called once that cell is open, so that the copy's lease is no longer than its own. */
  readonly newKey: () => NewKey;
}

export class SessionCopies {
  readonly #keeper: Keeper;
  readonly #sessions: SessionObjects;
  readonly #underWay = new Map<number, Promise<CellId>>();

  constructor(keeper: Keeper, sessions: SessionObjects) {
    this.#keeper = keeper;
    this.#sessions = sessions;
  }

  /**
   * Opens it once for all concurrent callers. key_handle_invalid: the object was destroyed in the meantime.
   */
  open(object: TokenObject, source: Source): Promise<CellId> {
    const known = this.#underWay.get(object.handle);
    if (known !== undefined) return known;
    const opened = this.#open(object, source).finally(() => this.#underWay.delete(object.handle));
    this.#underWay.set(object.handle, opened);
    return opened;
  }

  async #open(object: TokenObject, source: Source): Promise<CellId> {
    const by = await source.cell();
    const { cell } = await this.#keeper.copy(source.newKey(), by);
    const { session } = object;
    if (session === null || this.#sessions.get(session.client, object.handle) === null) {
      await this.#keeper.drop(cell);
      throw new SidekeyError('key_handle_invalid', 'the copy was destroyed in the meantime');
    }
    const opened = { ...object, session: { ...session, cell } };
    this.#sessions.put(opened);
    const note = writeSessionNote(opened);
    if (note !== null) await this.#keeper.note(cell, note);
    return cell;
  }
}
