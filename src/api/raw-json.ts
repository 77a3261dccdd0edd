/**
 * An object that stands as JSON already: long base64 in it needs no look at each of its letters, as JSON.stringify gives them. Whoever
 * makes one answers for its members.
 */
export class RawJson {
  /** Without the braces; not empty. */
  readonly members: string;

  constructor(members: string) {
    this.members = members;
  }
}

export function writeJson(value: object): string {
  return value instanceof RawJson ? `{${value.members}}` : JSON.stringify(value);
}
