/**
 * The mechanisms that wrap a data key, best first. All of them are authenticated; a CBC mode would not be.
 */
export interface WrapMechanism {
  readonly name: string;
  /** In the header of a wrapped blob: never to be changed. */
  readonly id: number;
  readonly ckm: number;
  /** C_Encrypt takes associated data; C_WrapKey does not, and the purpose is wrapped beside the key. */
  readonly how: 'encrypt' | 'wrap';
}

export const IV_BYTES = 12;

/** Where a mechanism's id would stand. */
export const NO_MECHANISM = 0;

export const WRAP_MECHANISMS = [
  { name: 'aes-gcm', id: 1, ckm: 0x1087, how: 'encrypt' },
  { name: 'aes-key-wrap-kwp', id: 3, ckm: 0x210b, how: 'wrap' },
  { name: 'aes-key-wrap', id: 2, ckm: 0x2109, how: 'wrap' },
  // Of two meanings (RFC 5649, or RFC 3394 after PKCS #7 padding): what is wrapped opens only at modules of the same meaning.
  { name: 'aes-key-wrap-pad', id: 4, ckm: 0x210a, how: 'wrap' },
] as const satisfies readonly WrapMechanism[];

export const MECHANISM_NAMES = ['aes-gcm', 'aes-key-wrap-kwp', 'aes-key-wrap', 'aes-key-wrap-pad'] as const;

export function findMechanism(by: { id: number } | { name: string }): WrapMechanism | null {
  const rows: readonly WrapMechanism[] = WRAP_MECHANISMS;
  return rows.find((row) => ('id' in by ? row.id === by.id : row.name === by.name)) ?? null;
}

/** Throws on a number that is not in the table. */
export function mechanismOf(id: number): WrapMechanism {
  const mechanism = findMechanism({ id });
  if (!mechanism) throw new Error(`mechanism ${id} is unknown`);
  return mechanism;
}
