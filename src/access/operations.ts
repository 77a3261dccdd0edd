/** What rules are about. PKCS#11's and Transit's acts are put into these words in src/tokens/key-access.ts. */
export const ACCESS_OPERATIONS = [
  ...(['encrypt', 'decrypt', 'sign', 'verify'] as const),
  /** Make or check a code with a secret key. */
  'mac',
  'derive',
  /** Take key material out: wrapped by another key, copied, or in the clear where the key's attributes let it. */
  'export',
  /** Make, import or unwrap a key that stays in the token. */
  'create',
  'rotate',
  'destroy',
  /** Change a key's attributes or policy; initialise the token. */
  'administer',
] as const;

export type AccessOperation = (typeof ACCESS_OPERATIONS)[number];
