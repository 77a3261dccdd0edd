/**
 * The closed list of errors. Callers branch on the code, never on text. Rows with a wire number are those of
 * native-shim/wire/errors.def (a test holds them equal); the others never leave the agent and the CLI. docs/errors.md is
 * generated from this table.
 */

interface ErrorRow {
  /** Status in a reply frame; null: never sent to a module. */
  readonly wire: number | null;
  /** What a PKCS#11 program gets. */
  readonly ckr: string | null;
  /** Exit code of the command line; 1 unless said. */
  readonly exit?: number;
}

export const ERRORS = {
  internal: { wire: 1, ckr: 'CKR_GENERAL_ERROR' },
  memory: { wire: 2, ckr: 'CKR_DEVICE_MEMORY' },
  busy: { wire: 3, ckr: 'CKR_FUNCTION_FAILED' },
  deadline: { wire: 4, ckr: 'CKR_FUNCTION_FAILED' },
  agent_absent: { wire: 5, ckr: 'CKR_DEVICE_ERROR' },
  keeper_absent: { wire: 6, ckr: 'CKR_DEVICE_ERROR' },
  wire_version: { wire: 7, ckr: 'CKR_DEVICE_ERROR' },
  wire_malformed: { wire: 8, ckr: 'CKR_DEVICE_ERROR' },
  agent_present: { wire: 9, ckr: 'CKR_DEVICE_ERROR' },
  operation_lost: { wire: 10, ckr: 'CKR_DEVICE_REMOVED' },
  provider_unreachable: { wire: 11, ckr: 'CKR_DEVICE_ERROR' },
  provider_refused: { wire: 12, ckr: 'CKR_DEVICE_ERROR' },
  store_failed: { wire: 13, ckr: 'CKR_DEVICE_ERROR' },
  seal_broken: { wire: 14, ckr: 'CKR_DEVICE_ERROR' },
  cell_unknown: { wire: 15, ckr: 'CKR_DEVICE_ERROR' },
  message_cap: { wire: 16, ckr: 'CKR_KEY_FUNCTION_NOT_PERMITTED' },
  ring_absent: { wire: 17, ckr: 'CKR_DEVICE_ERROR' },
  audit_failed: { wire: 18, ckr: 'CKR_DEVICE_ERROR' },
  arguments_bad: { wire: 32, ckr: 'CKR_ARGUMENTS_BAD' },
  function_not_supported: { wire: 33, ckr: 'CKR_FUNCTION_NOT_SUPPORTED' },
  action_prohibited: { wire: 34, ckr: 'CKR_ACTION_PROHIBITED' },
  slot_id_invalid: { wire: 48, ckr: 'CKR_SLOT_ID_INVALID' },
  token_not_present: { wire: 49, ckr: 'CKR_TOKEN_NOT_PRESENT' },
  token_not_recognized: { wire: 50, ckr: 'CKR_TOKEN_NOT_RECOGNIZED' },
  token_write_protected: { wire: 51, ckr: 'CKR_TOKEN_WRITE_PROTECTED' },
  session_read_only: { wire: 52, ckr: 'CKR_SESSION_READ_ONLY' },
  session_exists: { wire: 53, ckr: 'CKR_SESSION_EXISTS' },
  pin_incorrect: { wire: 54, ckr: 'CKR_PIN_INCORRECT' },
  pin_invalid: { wire: 55, ckr: 'CKR_PIN_INVALID' },
  pin_len_range: { wire: 56, ckr: 'CKR_PIN_LEN_RANGE' },
  pin_locked: { wire: 57, ckr: 'CKR_PIN_LOCKED' },
  user_not_logged_in: { wire: 58, ckr: 'CKR_USER_NOT_LOGGED_IN' },
  user_already_logged_in: { wire: 59, ckr: 'CKR_USER_ALREADY_LOGGED_IN' },
  user_another_already_logged_in: { wire: 60, ckr: 'CKR_USER_ANOTHER_ALREADY_LOGGED_IN' },
  user_pin_not_initialized: { wire: 61, ckr: 'CKR_USER_PIN_NOT_INITIALIZED' },
  user_type_invalid: { wire: 62, ckr: 'CKR_USER_TYPE_INVALID' },
  object_handle_invalid: { wire: 80, ckr: 'CKR_OBJECT_HANDLE_INVALID' },
  attribute_read_only: { wire: 81, ckr: 'CKR_ATTRIBUTE_READ_ONLY' },
  attribute_sensitive: { wire: 82, ckr: 'CKR_ATTRIBUTE_SENSITIVE' },
  attribute_type_invalid: { wire: 83, ckr: 'CKR_ATTRIBUTE_TYPE_INVALID' },
  attribute_value_invalid: { wire: 84, ckr: 'CKR_ATTRIBUTE_VALUE_INVALID' },
  template_incomplete: { wire: 85, ckr: 'CKR_TEMPLATE_INCOMPLETE' },
  template_inconsistent: { wire: 86, ckr: 'CKR_TEMPLATE_INCONSISTENT' },
  domain_params_invalid: { wire: 87, ckr: 'CKR_DOMAIN_PARAMS_INVALID' },
  curve_not_supported: { wire: 88, ckr: 'CKR_CURVE_NOT_SUPPORTED' },
  parameter_set_not_supported: { wire: 89, ckr: 'CKR_PARAMETER_SET_NOT_SUPPORTED' },
  key_handle_invalid: { wire: 96, ckr: 'CKR_KEY_HANDLE_INVALID' },
  key_function_not_permitted: { wire: 97, ckr: 'CKR_KEY_FUNCTION_NOT_PERMITTED' },
  key_type_inconsistent: { wire: 98, ckr: 'CKR_KEY_TYPE_INCONSISTENT' },
  key_size_range: { wire: 99, ckr: 'CKR_KEY_SIZE_RANGE' },
  key_not_wrappable: { wire: 100, ckr: 'CKR_KEY_NOT_WRAPPABLE' },
  key_unextractable: { wire: 101, ckr: 'CKR_KEY_UNEXTRACTABLE' },
  wrapping_key_handle_invalid: { wire: 102, ckr: 'CKR_WRAPPING_KEY_HANDLE_INVALID' },
  wrapping_key_size_range: { wire: 103, ckr: 'CKR_WRAPPING_KEY_SIZE_RANGE' },
  wrapping_key_type_inconsistent: { wire: 104, ckr: 'CKR_WRAPPING_KEY_TYPE_INCONSISTENT' },
  unwrapping_key_handle_invalid: { wire: 105, ckr: 'CKR_UNWRAPPING_KEY_HANDLE_INVALID' },
  unwrapping_key_size_range: { wire: 106, ckr: 'CKR_UNWRAPPING_KEY_SIZE_RANGE' },
  unwrapping_key_type_inconsistent: { wire: 107, ckr: 'CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT' },
  wrapped_key_invalid: { wire: 108, ckr: 'CKR_WRAPPED_KEY_INVALID' },
  wrapped_key_len_range: { wire: 109, ckr: 'CKR_WRAPPED_KEY_LEN_RANGE' },
  mechanism_invalid: { wire: 112, ckr: 'CKR_MECHANISM_INVALID' },
  mechanism_param_invalid: { wire: 113, ckr: 'CKR_MECHANISM_PARAM_INVALID' },
  operation_not_initialized: { wire: 114, ckr: 'CKR_OPERATION_NOT_INITIALIZED' },
  data_invalid: { wire: 115, ckr: 'CKR_DATA_INVALID' },
  data_len_range: { wire: 116, ckr: 'CKR_DATA_LEN_RANGE' },
  encrypted_data_invalid: { wire: 117, ckr: 'CKR_ENCRYPTED_DATA_INVALID' },
  encrypted_data_len_range: { wire: 118, ckr: 'CKR_ENCRYPTED_DATA_LEN_RANGE' },
  signature_invalid: { wire: 119, ckr: 'CKR_SIGNATURE_INVALID' },
  signature_len_range: { wire: 120, ckr: 'CKR_SIGNATURE_LEN_RANGE' },
  random_seed_not_supported: { wire: 121, ckr: 'CKR_RANDOM_SEED_NOT_SUPPORTED' },
  // The agent and its command line
  config_invalid: { wire: null, ckr: null },
  config_unreadable: { wire: null, ckr: null },
  already_running: { wire: null, ckr: null },
  not_running: { wire: null, ckr: null, exit: 3 },
  usage: { wire: null, ckr: null, exit: 2 },
  request_refused: { wire: null, ckr: null },
  file_refused: { wire: null, ckr: null },
  init_refused: { wire: null, ckr: null },
  socket_refused: { wire: null, ckr: null },
  audit_broken: { wire: null, ckr: null },
} as const satisfies Record<string, ErrorRow>;

export type ErrorCode = keyof typeof ERRORS;

const BY_STATUS = new Map<number, ErrorCode>(
  Object.entries(ERRORS).flatMap(([code, row]) => (row.wire === null ? [] : [[row.wire, code as ErrorCode]])),
);

/** Undefined for one that is not in the table: that of a later release. */
export function codeOfStatus(status: number): ErrorCode | undefined {
  return BY_STATUS.get(status);
}

/** A fault with a code of the closed list. The message says what happened to which key, token or provider: never a secret. */
export class SidekeyError extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'SidekeyError';
    this.code = code;
  }
}

/** Exit code of a command that failed with this code. */
export function exitCodeOf(code: ErrorCode): number {
  const row: ErrorRow = ERRORS[code];
  return row.exit ?? 1;
}
