/**
 * Keys that a Re-key has replaced. The replacement takes the Name, and the former key is found by its link alone (KMIP 1.4, 4.4): here it gets
 * the name of the one that has it now, with its own unique identifier as the version.
 */
import { SidekeyError } from '../../errors.ts';
import type { KmipCaller } from './client.ts';
import { describeKey, type KeyDescription } from './key-operations.ts';

/** Links that lead in a circle end here. */
const GENERATIONS_MAX = 64;

/** What was described in one look at the server. */
export class Lineage {
  readonly #by: KmipCaller;
  readonly #described = new Map<string, Promise<KeyDescription | null>>();

  constructor(by: KmipCaller) {
    this.#by = by;
  }

  /** null: the server does not show it, or has it no more. */
  describe(id: string): Promise<KeyDescription | null> {
    const known = this.#described.get(id);
    if (known !== undefined) return known;
    const asking = describeKey(this.#by, id).catch((error: unknown) => {
      if (error instanceof SidekeyError && error.code === 'provider_refused') return null;
      throw error;
    });
    this.#described.set(id, asking);
    return asking;
  }

  /** The names of the newest key of the line that this one begins or stands in. */
  async namesOf(described: KeyDescription): Promise<readonly string[]> {
    let newest: KeyDescription | null = described;
    for (let i = 0; i < GENERATIONS_MAX && newest !== null; i++) {
      if (newest.names.length > 0 || newest.replacementId === null) return newest.names;
      newest = await this.describe(newest.replacementId);
    }
    return [];
  }

  /** Unique identifiers of those that it replaced, the youngest first. */
  async formerOf(described: KeyDescription): Promise<string[]> {
    const former: string[] = [];
    let { replacedId } = described;
    while (replacedId !== null && former.length < GENERATIONS_MAX) {
      const older = await this.describe(replacedId);
      if (older === null) break;
      former.push(replacedId);
      replacedId = older.replacedId;
    }
    return former;
  }
}
