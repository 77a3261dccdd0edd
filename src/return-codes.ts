/**
 * The return values of PKCS#11 (3.1, 2.1 and 5.1) and what those mean that no code of src/errors.ts becomes: what the module says by
 * itself, and what Sidekey never says, so that it comes from another module or library. docs/errors.md holds both.
 */

type Page = readonly [what: string, why: string, cure: string];

const NEVER =
  'Sidekey never returns this; it comes from another module, or from a library between the program and Sidekey.';
const OTHER_MODULE =
  'Check which module the program has loaded (`SIDEKEY_TRACE=FILE` shows the calls that reach Sidekey).';

function never(what: string): Page {
  return [what, NEVER, OTHER_MODULE];
}

/** In the order of their numbers. null: the codes of src/errors.ts that become it say what it means. */
export const RETURN_CODES = {
  CKR_OK: [0x0, ['The call succeeded.', 'There is no error.', 'Nothing.']],
  CKR_CANCEL: [0x1, never('The function was cancelled by the application’s callback.')],
  CKR_HOST_MEMORY: [
    0x2,
    [
      'The process is out of memory.',
      'The module could not allocate memory for a session or a request.',
      'Raise the memory limit of the program (`ulimit -v`, MemoryMax), or close sessions.',
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
      'C_WaitForSlotEvent was called with CKF_DONT_BLOCK, and there were no events since the last call.',
      'Nothing; call again later.',
    ],
  ],
  CKR_NEED_TO_CREATE_THREADS: [0x9, never('The library needs threads but may not create any.')],
  CKR_CANT_LOCK: [0xa, never('The library cannot use the locking that the application requested.')],
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
      'A message could not be decrypted (C_DecryptMessage).',
      'It was modified, or the key, nonce, tag or associated data differ from those used for encryption.',
      'Compare these four with those of the sender.',
    ],
  ],
  CKR_FUNCTION_CANCELED: [0x50, never('The function was cancelled during execution.')],
  CKR_FUNCTION_NOT_PARALLEL: [
    0x51,
    [
      'Parallel function execution is not supported.',
      'C_GetFunctionStatus and C_CancelFunction are legacy functions of PKCS#11 1.0; the standard requires this return value.',
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
      'C_DigestKey could reveal the value of a key.',
      'Derive a key (HKDF) instead of digesting one.',
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
      'An operation is already active in this session.',
      'Init was called again before Final. A session can have one active operation of each kind, and must not be shared by threads.',
      'Finish the operation, or cancel it by calling Init with a NULL mechanism; use one session per thread.',
    ],
  ],
  CKR_OPERATION_NOT_INITIALIZED: [0x91, null],
  CKR_PIN_INCORRECT: [0xa0, null],
  CKR_PIN_INVALID: [0xa1, null],
  CKR_PIN_LEN_RANGE: [0xa2, null],
  CKR_PIN_EXPIRED: [0xa3, never('The PIN must be changed before anything else.')],
  CKR_PIN_LOCKED: [0xa4, null],
  CKR_SESSION_CLOSED: [0xb0, never('The session was closed while the function ran.')],
  CKR_SESSION_COUNT: [0xb1, never('The maximum number of sessions is open.')],
  CKR_SESSION_HANDLE_INVALID: [
    0xb3,
    [
      'The session does not exist in this process.',
      'It was closed, belongs to the parent of this process (sessions do not survive fork), or C_Finalize was called.',
      'Open a session; after fork call C_Initialize in the child first.',
    ],
  ],
  CKR_SESSION_PARALLEL_NOT_SUPPORTED: [
    0xb4,
    [
      'C_OpenSession was called without CKF_SERIAL_SESSION.',
      'The standard requires this flag for historical reasons.',
      'Set CKF_SERIAL_SESSION.',
    ],
  ],
  CKR_SESSION_READ_ONLY: [0xb5, null],
  CKR_SESSION_EXISTS: [0xb6, null],
  CKR_SESSION_READ_ONLY_EXISTS: [
    0xb7,
    [
      'The SO cannot log in while a read-only session is open.',
      'The standard does not allow read-only sessions of the SO.',
      'Close the read-only sessions of this process first.',
    ],
  ],
  CKR_SESSION_READ_WRITE_SO_EXISTS: [
    0xb8,
    [
      'No read-only session can be opened while the SO is logged in.',
      'The standard does not allow read-only sessions of the SO.',
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
      'The given length is too short; it has been replaced by the required length.',
      'Call again with a buffer of that length; the operation is still active.',
    ],
  ],
  CKR_SAVED_STATE_INVALID: [
    0x160,
    [
      'The saved operation state is invalid.',
      'The state passed to C_SetOperationState is not from C_GetOperationState of this module, or is incomplete.',
      'Save the state again, together with its length.',
    ],
  ],
  CKR_INFORMATION_SENSITIVE: [0x170, never('What was asked for is sensitive.')],
  CKR_STATE_UNSAVEABLE: [
    0x180,
    [
      'The state of the operation cannot be saved.',
      'Only SHA-1 and SHA-2 digests to which no key was added can be saved.',
      'Finish the operation, or restart it.',
    ],
  ],
  CKR_CRYPTOKI_NOT_INITIALIZED: [
    0x190,
    [
      'C_Initialize has not been called in this process.',
      'The program did not call it, has called C_Finalize, or has forked: a child process must initialise the module itself.',
      'Call C_Initialize, also in child processes.',
    ],
  ],
  CKR_CRYPTOKI_ALREADY_INITIALIZED: [
    0x191,
    [
      'C_Initialize was called twice.',
      'Two libraries in the program use the module independently.',
      'Treat it as success, or share the module through p11-kit.',
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
      'C_SessionCancel was called for an operation that is not active in the session.',
      'Set only the flags of active operations.',
    ],
  ],
  CKR_KEY_EXHAUSTED: [0x203, never('The key has done all the signatures that it may.')],
  CKR_SESSION_ASYNC_NOT_SUPPORTED: [0x205, never('The session does nothing in the background.')],
  CKR_PARAMETER_SET_NOT_SUPPORTED: [0x209, null],
} as const satisfies Record<string, readonly [number: number, page: Page | null]>;

export type ReturnCode = keyof typeof RETURN_CODES;

/** CKR_VENDOR_DEFINED: numbers from here on are a vendor's own. */
export const VENDOR_DEFINED = 0x8000_0000;
