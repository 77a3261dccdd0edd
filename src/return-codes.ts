/**
 * The return values of PKCS#11 (3.1, 2.1 and 5.1) and what those mean that no code of src/errors.ts becomes: what the module says by
 * itself, and what Sidekey never says, so that it comes from another module or library. docs/errors.md holds both.
 */

type Page = readonly [what: string, why: string, cure: string];

const NEVER =
  'Sidekey never answers this: another module or a library between this program and Sidekey does.';
const OTHER_MODULE =
  'Look which module the program has loaded (`SIDEKEY_TRACE=FILE` shows what reaches Sidekey’s).';

function never(what: string): Page {
  return [what, NEVER, OTHER_MODULE];
}

/** In the order of their numbers. null: the codes of src/errors.ts that become it say what it means. */
export const RETURN_CODES = {
  CKR_OK: [0x0, ['It worked.', 'Nothing is wrong.', 'Nothing.']],
  CKR_CANCEL: [0x1, never('The function was cancelled by the application’s callback.')],
  CKR_HOST_MEMORY: [
    0x2,
    [
      'This process has no memory left.',
      'The module could not allocate what it needs for a session or a request.',
      'Raise the limit of memory of the program (`ulimit -v`, MemoryMax), or close sessions.',
    ],
  ],
  CKR_SLOT_ID_INVALID: [0x3, null],
  CKR_GENERAL_ERROR: [0x5, null],
  CKR_FUNCTION_FAILED: [0x6, null],
  CKR_ARGUMENTS_BAD: [0x7, null],
  CKR_NO_EVENT: [
    0x8,
    [
      'No slot changed.',
      'C_WaitForSlotEvent was asked not to wait, and nothing happened since the last call.',
      'Nothing: ask again later.',
    ],
  ],
  CKR_NEED_TO_CREATE_THREADS: [0x9, never('The library needs threads and may not make any.')],
  CKR_CANT_LOCK: [0xa, never('The library cannot lock as the application asked.')],
  CKR_ATTRIBUTE_READ_ONLY: [0x10, null],
  CKR_ATTRIBUTE_SENSITIVE: [0x11, null],
  CKR_ATTRIBUTE_TYPE_INVALID: [0x12, null],
  CKR_ATTRIBUTE_VALUE_INVALID: [0x13, null],
  CKR_ACTION_PROHIBITED: [0x1b, null],
  CKR_DATA_INVALID: [0x20, null],
  CKR_DATA_LEN_RANGE: [0x21, null],
  CKR_DEVICE_ERROR: [0x30, null],
  CKR_DEVICE_MEMORY: [0x31, null],
  CKR_DEVICE_REMOVED: [0x32, null],
  CKR_ENCRYPTED_DATA_INVALID: [0x40, null],
  CKR_ENCRYPTED_DATA_LEN_RANGE: [0x41, null],
  CKR_AEAD_DECRYPT_FAILED: [
    0x42,
    [
      'A message of the message functions (C_DecryptMessage) does not open.',
      'It was changed, or key, nonce, tag or associated data are not those of its encryption.',
      'Compare these four with what the sender used.',
    ],
  ],
  CKR_FUNCTION_CANCELED: [0x50, never('The function was cancelled while it ran.')],
  CKR_FUNCTION_NOT_PARALLEL: [
    0x51,
    [
      'There are no functions that run beside others.',
      'C_GetFunctionStatus and C_CancelFunction are relics of PKCS#11 1.0; the standard demands this answer.',
      'Do not call them.',
    ],
  ],
  CKR_FUNCTION_NOT_SUPPORTED: [0x54, null],
  CKR_KEY_HANDLE_INVALID: [0x60, null],
  CKR_KEY_SIZE_RANGE: [0x62, null],
  CKR_KEY_TYPE_INCONSISTENT: [0x63, null],
  CKR_KEY_NOT_NEEDED: [0x64, never('C_SetOperationState was given a key that it does not need.')],
  CKR_KEY_CHANGED: [0x65, never('C_SetOperationState was given another key than before.')],
  CKR_KEY_NEEDED: [0x66, never('C_SetOperationState needs a key.')],
  CKR_KEY_INDIGESTIBLE: [
    0x67,
    [
      'The value of this key cannot be digested.',
      'C_DigestKey would let the value of a key be guessed; Sidekey’s keys stay in the keeper.',
      'Derive a key (HKDF) instead of hashing one.',
    ],
  ],
  CKR_KEY_FUNCTION_NOT_PERMITTED: [0x68, null],
  CKR_KEY_NOT_WRAPPABLE: [0x69, null],
  CKR_KEY_UNEXTRACTABLE: [0x6a, null],
  CKR_MECHANISM_INVALID: [0x70, null],
  CKR_MECHANISM_PARAM_INVALID: [0x71, null],
  CKR_OBJECT_HANDLE_INVALID: [0x82, null],
  CKR_OPERATION_ACTIVE: [
    0x90,
    [
      'This session is in the middle of an operation.',
      'Init was called again before Final; one session has one operation of a kind, and sessions are not for several threads at once.',
      'Finish the operation (or call Init with a NULL mechanism to give it up), and give each thread its session.',
    ],
  ],
  CKR_OPERATION_NOT_INITIALIZED: [0x91, null],
  CKR_PIN_INCORRECT: [0xa0, null],
  CKR_PIN_INVALID: [0xa1, null],
  CKR_PIN_LEN_RANGE: [0xa2, null],
  CKR_PIN_EXPIRED: [0xa3, never('The PIN must be changed before anything else.')],
  CKR_PIN_LOCKED: [0xa4, null],
  CKR_SESSION_CLOSED: [0xb0, never('The session was closed while the function ran.')],
  CKR_SESSION_COUNT: [0xb1, never('There can be no more sessions.')],
  CKR_SESSION_HANDLE_INVALID: [
    0xb3,
    [
      'There is no such session in this process.',
      'It was closed, belongs to the parent of this process (sessions do not survive fork), or C_Finalize was called meanwhile.',
      'Open a session; after fork call C_Initialize in the child first.',
    ],
  ],
  CKR_SESSION_PARALLEL_NOT_SUPPORTED: [
    0xb4,
    [
      'C_OpenSession was called without CKF_SERIAL_SESSION.',
      'The flag is a relic, and the standard demands it.',
      'Set CKF_SERIAL_SESSION.',
    ],
  ],
  CKR_SESSION_READ_ONLY: [0xb5, null],
  CKR_SESSION_EXISTS: [0xb6, null],
  CKR_SESSION_READ_ONLY_EXISTS: [
    0xb7,
    [
      'The SO cannot log in while a read-only session is open.',
      'The standard has no read-only session of the SO.',
      'Close the read-only sessions of this process first.',
    ],
  ],
  CKR_SESSION_READ_WRITE_SO_EXISTS: [
    0xb8,
    [
      'No read-only session can be opened while the SO is logged in.',
      'The standard has no read-only session of the SO.',
      'Open a read-write session, or log the SO out.',
    ],
  ],
  CKR_SIGNATURE_INVALID: [0xc0, null],
  CKR_SIGNATURE_LEN_RANGE: [0xc1, null],
  CKR_TEMPLATE_INCOMPLETE: [0xd0, null],
  CKR_TEMPLATE_INCONSISTENT: [0xd1, null],
  CKR_TOKEN_NOT_PRESENT: [0xe0, null],
  CKR_TOKEN_NOT_RECOGNIZED: [0xe1, null],
  CKR_TOKEN_WRITE_PROTECTED: [0xe2, null],
  CKR_UNWRAPPING_KEY_HANDLE_INVALID: [0xf0, null],
  CKR_UNWRAPPING_KEY_SIZE_RANGE: [0xf1, null],
  CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT: [0xf2, null],
  CKR_USER_ALREADY_LOGGED_IN: [0x100, null],
  CKR_USER_NOT_LOGGED_IN: [0x101, null],
  CKR_USER_PIN_NOT_INITIALIZED: [0x102, null],
  CKR_USER_TYPE_INVALID: [0x103, null],
  CKR_USER_ANOTHER_ALREADY_LOGGED_IN: [0x104, null],
  CKR_USER_TOO_MANY_TYPES: [0x105, never('Too many users would be logged in at once.')],
  CKR_WRAPPED_KEY_INVALID: [0x110, null],
  CKR_WRAPPED_KEY_LEN_RANGE: [0x112, null],
  CKR_WRAPPING_KEY_HANDLE_INVALID: [0x113, null],
  CKR_WRAPPING_KEY_SIZE_RANGE: [0x114, null],
  CKR_WRAPPING_KEY_TYPE_INCONSISTENT: [0x115, null],
  CKR_RANDOM_SEED_NOT_SUPPORTED: [0x120, null],
  CKR_RANDOM_NO_RNG: [0x121, never('The token has no random generator.')],
  CKR_DOMAIN_PARAMS_INVALID: [0x130, null],
  CKR_CURVE_NOT_SUPPORTED: [0x140, null],
  CKR_BUFFER_TOO_SMALL: [
    0x150,
    [
      'The output does not fit in the buffer.',
      'The length that was given is too short; the one that is needed stands in its place now.',
      'Call again with a buffer of that length: the operation is still there.',
    ],
  ],
  CKR_SAVED_STATE_INVALID: [
    0x160,
    [
      'The saved state of an operation is not valid.',
      'C_SetOperationState was given what C_GetOperationState of this module did not give, or not all of it.',
      'Save the state again, and keep its length with it.',
    ],
  ],
  CKR_INFORMATION_SENSITIVE: [0x170, never('What was asked for is sensitive.')],
  CKR_STATE_UNSAVEABLE: [
    0x180,
    [
      'The state of the operation cannot be saved.',
      'Only digests by SHA-1 and SHA-2 that no key went into have a state that can leave.',
      'Finish the operation, or begin it anew where it is to go on.',
    ],
  ],
  CKR_CRYPTOKI_NOT_INITIALIZED: [
    0x190,
    [
      'C_Initialize was not called in this process.',
      'The program forgot, called C_Finalize, or forked: a child begins anew.',
      'Call C_Initialize; in a child process too.',
    ],
  ],
  CKR_CRYPTOKI_ALREADY_INITIALIZED: [
    0x191,
    [
      'C_Initialize was called twice.',
      'Two libraries of one program use the module without knowing of each other.',
      'Take it as success, or let p11-kit share the module.',
    ],
  ],
  CKR_MUTEX_BAD: [0x1a0, never('A mutex of the application is not valid.')],
  CKR_MUTEX_NOT_LOCKED: [0x1a1, never('A mutex of the application was not locked.')],
  CKR_NEW_PIN_MODE: [0x1b0, never('The one-time password asks for a new PIN.')],
  CKR_NEXT_OTP: [0x1b1, never('The next one-time password is asked for.')],
  CKR_EXCEEDED_MAX_ITERATIONS: [0x1c0, never('Making a key or parameters took too many rounds.')],
  CKR_FIPS_SELF_TEST_FAILED: [0x1c1, never('A self test of the module failed.')],
  CKR_LIBRARY_LOAD_FAILED: [0x1c2, never('A library that the module needs could not be loaded.')],
  CKR_PIN_TOO_WEAK: [0x1c3, never('The new PIN is too weak.')],
  CKR_PUBLIC_KEY_INVALID: [0x1c4, never('The public key is not valid.')],
  CKR_FUNCTION_REJECTED: [0x200, never('The user said no at the token’s own display.')],
  CKR_TOKEN_RESOURCE_EXCEEDED: [0x201, never('The token ran out of something while it worked.')],
  CKR_OPERATION_CANCEL_FAILED: [
    0x202,
    [
      'The operation could not be cancelled.',
      'C_SessionCancel was asked for a kind of operation that this session does not have.',
      'Cancel only what was begun; the flags say what.',
    ],
  ],
  CKR_KEY_EXHAUSTED: [0x203, never('The key has done all the signatures that it may.')],
  CKR_SESSION_ASYNC_NOT_SUPPORTED: [0x205, never('The session does nothing in the background.')],
  CKR_PARAMETER_SET_NOT_SUPPORTED: [0x209, null],
} as const satisfies Record<string, readonly [number: number, page: Page | null]>;

export type ReturnCode = keyof typeof RETURN_CODES;

/** CKR_VENDOR_DEFINED: numbers from here on are a vendor's own. */
export const VENDOR_DEFINED = 0x8000_0000;
