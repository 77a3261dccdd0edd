/** The operations that rules name. src/tokens/key-use/key-access.ts maps those of PKCS#11 and Transit to them. */
export const ACCESS_OPERATIONS = [
  ...(['encrypt', 'decrypt', 'sign', 'verify'] as const),
  /** Compute or verify a MAC with a secret key. */
  'mac',
  'derive',
  /**
   * Take key material out: wrapped by another key, copied, or in the clear if the key's attributes allow it.
   */
  'export',
  /** Create, import or unwrap a key that stays in the token. */
  'create',
  'rotate',
  'destroy',
  /** Change a key's attributes or policy; initialise the token. */
  'administer',
] as const;

export type AccessOperation = (typeof ACCESS_OPERATIONS)[number];
