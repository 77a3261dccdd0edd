/** What a code of PKCS#11 (3.1, 5.1) means for the holder of a KEK. */

/**
 * `lost`: start the library again. `stale`: a session, login or handle of ours is gone: open it again, once. `data`: a ciphertext does not
 * open; for a KEK that is a refusal.
 */
export type Meaning = 'refused' | 'pin' | 'stale' | 'lost' | 'data';

const REFUSED = [
  0x7, 0x10, 0x11, 0x12, 0x13, 0x1b, 0x20, 0x21, 0x42, 0x62, 0x63, 0x65, 0x68, 0x69, 0x6a, 0x70, 0x71, 0xd0,
  0xd1, 0x110, 0x112, 0x114, 0x115, 0xf1, 0xf2, 0x54, 0x103,
];
/** CKR_PIN_*, CKR_USER_PIN_NOT_INITIALIZED */
const PIN = [0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0x102];
/** Handles of keys, operations and sessions, CKR_SESSION_CLOSED, CKR_USER_NOT_LOGGED_IN */
const STALE = [0x60, 0x82, 0x90, 0x91, 0xb0, 0xb3, 0x101, 0x113, 0xf0];

/** CKR_ENCRYPTED_DATA_INVALID, CKR_ENCRYPTED_DATA_LEN_RANGE */
const DATA = [0x40, 0x41];

const TABLE = new Map<number, Meaning>([
  ...DATA.map((code) => [code, 'data'] as const),
  ...REFUSED.map((code) => [code, 'refused'] as const),
  ...PIN.map((code) => [code, 'pin'] as const),
  ...STALE.map((code) => [code, 'stale'] as const),
]);

/** CKR_DEVICE_ERROR, CKR_DEVICE_MEMORY, CKR_DEVICE_REMOVED, CKR_TOKEN_NOT_PRESENT, CKR_TOKEN_NOT_RECOGNIZED; 0: not of the module */
const OF_DEVICE: readonly number[] = [0, 0x30, 0x31, 0x32, 0xe0, 0xe1];

/** Whether a fault may be the device's, also where the key has just been used. */
export function isOfDevice({ code }: HsmFault): boolean {
  return OF_DEVICE.includes(code);
}

export const CKR_USER_ALREADY_LOGGED_IN = 0x100;

/** Every other code, vendors' own included, says nothing of the key: the device is taken as lost. */
function meaningOf(code: number): Meaning {
  return TABLE.get(code) ?? 'lost';
}

export class HsmFault extends Error {
  readonly meaning: Meaning;
  /** CKR_; 0: the fault is not the module's. */
  readonly code: number;

  constructor(meaning: Meaning, message: string, options?: { cause?: unknown; code?: number }) {
    super(message, options);
    this.meaning = meaning;
    this.code = options?.code ?? 0;
  }
}

/** pkcs11js throws errors with the code as `code`; what is no such error (a library that does not load) is a loss. */
export function toHsmFault(error: unknown): HsmFault {
  if (error instanceof HsmFault) return error;
  if (!(error instanceof Error)) return new HsmFault('lost', String(error));
  const code = 'code' in error && typeof error.code === 'number' ? error.code : 0;
  const method = 'method' in error && typeof error.method === 'string' && error.method;
  const message = method ? `${error.message} in ${method}` : error.message;
  return new HsmFault(code === 0 ? 'lost' : meaningOf(code), message.slice(0, 200), { cause: error, code });
}
