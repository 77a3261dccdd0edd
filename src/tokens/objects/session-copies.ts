/**
 * Copies of token keys that live in a session (OpenSSL's pkcs11-provider makes one of each key that it uses). What they are stands in the
 * token too, so that they outlive the keeper that had them: opened anew from what they are copies of, when they are used next.
 */
import { SidekeyError } from '../../errors.ts';
import type { CellId, Keeper, NewKey } from '../ports.ts';
import { writeSessionNote, type SessionObjects } from './session-objects.ts';
import type { TokenObject } from './token-object.ts';

export interface Source {
  /** The cell of the key that this is a copy of. */
  readonly cell: () => Promise<CellId>;
  /** Asked for when that cell is open: its lease is no longer. */
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

  /** Once for all who ask at once. key_handle_invalid: the object has ended meanwhile. */
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
      throw new SidekeyError('key_handle_invalid', 'the copy has ended meanwhile');
    }
    const opened = { ...object, session: { ...session, cell } };
    this.#sessions.put(opened);
    const note = writeSessionNote(opened);
    if (note !== null) await this.#keeper.note(cell, note);
    return cell;
  }
}
