/**
 * What docs/errors.md and `sidekey explain` say of each code: what happened, why, what to do. One table with a row per code,
 * hence its length; a test holds the page equal (UPDATE_DOCS=1 writes it).
 */
import { ERRORS, exitCodeOf, type ErrorCode } from './errors.ts';
import { RETURN_CODES, VENDOR_DEFINED, type ReturnCode } from './return-codes.ts';

type Page = readonly [what: string, why: string, cure: string];

const PAGES: Readonly<Record<ErrorCode, Page>> = {
  internal: [
    'An internal error occurred.',
    'A bug in Sidekey, or a failure of the host (a full disk, a library error).',
    'Check the log at the time of the error, and include those lines when you report it.',
  ],
  memory: [
    'The keeper has run out of locked memory.',
    'Too many keys are open at once, or a request was too large.',
    '`sidekey status` shows how much memory is in use. Shorten `cache.unused` to close idle keys sooner.',
  ],
  busy: [
    'Too many requests are waiting.',
    'The limit on waiting requests was reached: the agent or a key service cannot keep up.',
    'Try again; the log shows what is slow.',
  ],
  deadline: [
    'A call timed out.',
    'Local calls have a timeout of 10 seconds (key generation: 3 minutes). Something they depend on took longer, or the container or machine was suspended in between.',
    'Try again. If it persists, `sidekey doctor` shows which component does not respond.',
  ],
  agent_absent: [
    'The keeper is running, but no agent is attached to it.',
    'The agent has stopped or is starting. Keys that are open remain usable; requests that need the agent wait, then fail.',
    'Start the agent: `sidekey agent --config FILE`, or `systemctl start sidekey-agent`.',
  ],
  keeper_absent: [
    'The agent, or a program, has no keeper.',
    'The keeper was not started, has stopped, or failed to start, usually because it could not lock memory; or a program has no access to its socket.',
    '`sidekey doctor` names the limit to raise; the keeper logs the reason to stderr. With `keeper.start: true` the agent starts the keeper. For a program, SIDEKEY_TRACE=FILE shows which socket was tried and why it failed.',
  ],
  wire_version: [
    'Two components of Sidekey have incompatible versions.',
    'Each supports two versions of the protocol, its own and the previous one. One component was upgraded by two or more versions while another is still running.',
    'Restart keeper and agent, and the programs that loaded the old module: `sidekey status` and `sidekey doctor` name them. SIDEKEY_TRACE=FILE shows which versions a program encountered.',
  ],
  wire_malformed: [
    'A message was malformed.',
    'Another program connected to a socket of Sidekey, or a component has a bug.',
    'The connection was closed. If both ends were Sidekey, report it.',
  ],
  agent_present: [
    'Another agent is already attached to this keeper.',
    'A keeper has only one agent.',
    'Stop the other agent first; `sidekey status` shows its pid.',
  ],
  operation_lost: [
    'A multi-part operation was lost.',
    'The keeper was restarted during the operation.',
    'Start the operation again.',
  ],
  provider_unreachable: [
    'The key service of this token could not be reached.',
    'The network or the service is down, or (embedded) the file with the key-encryption key is missing or unreadable.',
    'The log shows the file or address. `sidekey doctor` tests it.',
  ],
  provider_refused: [
    'The key service refused the request.',
    'The credentials or the passphrase are wrong, or the key-encryption key is disabled or is not the one that wrapped this token.',
    'The log shows the provider and the reason. Correct the credentials, the passphrase or the key.',
  ],
  store_failed: [
    'The store could not be read or written.',
    'The disk is full, the ownership is wrong, or the database is damaged.',
    'Check the directory of `store.path` (owner, mode, free space); if the database is damaged, restore a backup.',
  ],
  seal_broken: [
    'A sealed key could not be opened.',
    'Its row in the store was modified, belongs to another object, or was sealed under another token key.',
    'Restore the store from a backup. Treat this as tampering until you know otherwise.',
  ],
  cell_unknown: [
    'A key is no longer open in the keeper.',
    'Its lease ended, or the keeper was restarted during the request.',
    'Try again: the key will be reopened.',
  ],
  message_cap: [
    'This key has encrypted the maximum safe number of messages.',
    'Nonces are random; beyond the limit, a repeated nonce becomes too likely.',
    'Rotate the key: create a new one and use that.',
  ],
  ring_absent: [
    'The keeper has no shared memory for this process.',
    'It is out of descriptors or memory, or the kernel refused. Nothing fails: the process uses its socket instead, which is slower.',
    'Raise the limit of open files of the keeper (`LimitNOFILE`): it needs two for each connected process.',
  ],
  arguments_bad: [
    'An argument is invalid.',
    'A number is out of range, a pointer is NULL, or a flag is undefined.',
    'Correct the call; the log at level debug names the argument.',
  ],
  function_not_supported: [
    'Sidekey does not support this function.',
    'It is optional in the standard.',
    'Use another function; ARCHITECTURE.md lists those supported.',
  ],
  action_prohibited: [
    'The object does not permit this action.',
    'CKA_COPYABLE, CKA_DESTROYABLE or CKA_MODIFIABLE is false.',
    'Create a new object with the required attributes.',
  ],
  slot_id_invalid: [
    'The slot does not exist.',
    'The token was removed from the configuration, or this process is not admitted to it.',
    'List the slots again. Admission is a rule below `allow` of the token.',
  ],
  token_not_present: [
    'There is no token in the slot.',
    'The agent or the keeper is not ready yet, or the token in the free slot was not initialised.',
    'Wait for `sidekey status --wait 10s`; initialise the token.',
  ],
  token_not_recognized: [
    'The token does not exist, or this peer has no access to it.',
    'No token has this label, or no rule admits the peer. The two cases are deliberately indistinguishable.',
    'Check the label and the rules below `allow`; the audit log records denials.',
  ],
  token_write_protected: [
    'This token cannot be written.',
    'It is configured as read-only, or not initialised.',
    'Use another token.',
  ],
  session_read_only: [
    'A read-only session tried to write.',
    'The program opened it without CKF_RW_SESSION.',
    'Open a read-write session.',
  ],
  session_exists: [
    'A session is open.',
    'A token can only be initialised while there are no sessions with it.',
    'Close all sessions first.',
  ],
  pin_incorrect: [
    'The PIN is wrong.',
    'It was mistyped, or it has been changed. Failed attempts are counted.',
    'Try again with care: after too many failed attempts the PIN is locked.',
  ],
  pin_invalid: [
    'The new PIN contains invalid bytes.',
    'A PIN must be UTF-8 without control characters.',
    'Choose another PIN.',
  ],
  pin_len_range: [
    'The PIN is too short or too long.',
    'C_GetTokenInfo returns the limits.',
    'Choose a PIN within the limits.',
  ],
  pin_locked: [
    'The PIN is locked.',
    'There were too many failed attempts.',
    'The SO can set a new user PIN (C_InitPIN). A locked SO PIN cannot be unlocked.',
  ],
  user_not_logged_in: [
    'A login is required.',
    'The object is private, or the operation requires a logged-in user.',
    'Call C_Login first.',
  ],
  user_already_logged_in: [
    'This user is already logged in.',
    'A login applies to the whole process.',
    'Continue; no second login is needed.',
  ],
  user_another_already_logged_in: [
    'The other user is logged in.',
    'User and SO cannot be logged in at the same time in one process.',
    'Log out first.',
  ],
  user_pin_not_initialized: [
    'The token has no user PIN.',
    'The SO has not set one.',
    'Log in as SO and call C_InitPIN.',
  ],
  user_type_invalid: [
    'The user type is invalid.',
    'It is not user, SO or context-specific, or it is not allowed here.',
    'Correct the call.',
  ],
  object_handle_invalid: [
    'The object does not exist.',
    'It was destroyed, or is not visible to the caller. The two cases are deliberately indistinguishable.',
    'Log in and search for it again.',
  ],
  attribute_read_only: [
    'This attribute cannot be set or changed.',
    'It is fixed by the standard, or can only become stricter (CKA_SENSITIVE, CKA_EXTRACTABLE).',
    'Create a new object, or omit the attribute.',
  ],
  attribute_sensitive: [
    'The attribute cannot be revealed.',
    'The key is sensitive or not extractable.',
    'Use the key inside the token; its value never leaves it.',
  ],
  attribute_type_invalid: [
    'The object has no such attribute.',
    'It is unknown, or belongs to another class of object.',
    'Omit it.',
  ],
  attribute_value_invalid: [
    'An attribute has an invalid value.',
    'Its length or value is not allowed by the standard.',
    'Correct the template.',
  ],
  template_incomplete: [
    'The template is missing an attribute.',
    'The standard requires it for this class of object.',
    'Add it.',
  ],
  template_inconsistent: [
    'Attributes of the template contradict each other.',
    'Or they contradict the mechanism, the session, or the rules of the token.',
    'Correct the template.',
  ],
  domain_params_invalid: [
    'The domain parameters are not supported.',
    'Only named curves are supported.',
    'Use a named curve.',
  ],
  curve_not_supported: [
    'This curve is not supported.',
    'docs/mechanisms.md lists the supported curves.',
    'Choose one of these.',
  ],
  parameter_set_not_supported: [
    'The parameter set is not supported.',
    "CKA_PARAMETER_SET is not one of the numbers that PKCS#11 3.2 has for this type of key, or the keeper's OpenSSL does not support it: the key was created with a later version.",
    'Use one of CKP_ML_KEM_, CKP_ML_DSA_ or CKP_SLH_DSA_; docs/mechanisms.md shows which version of OpenSSL each needs.',
  ],
  key_handle_invalid: [
    'The key does not exist.',
    'It was destroyed, or is not visible to the caller. The two cases are deliberately indistinguishable.',
    'Log in and search for it again.',
  ],
  key_function_not_permitted: [
    'The key does not permit this operation.',
    'The attribute for the operation (CKA_SIGN, CKA_DECRYPT, ...) is false.',
    'Use a key created for this purpose.',
  ],
  key_type_inconsistent: [
    'The mechanism is for another type of key.',
    'An RSA mechanism with an EC key, for example.',
    'Use a key and a mechanism that match.',
  ],
  key_size_range: [
    'The size of the key is out of range.',
    'C_GetMechanismInfo returns the limits.',
    'Choose a size within the limits.',
  ],
  key_not_wrappable: [
    'The key cannot be wrapped with this wrapping key.',
    'CKA_WRAP_WITH_TRUSTED is true, or keys of this type cannot be wrapped by the mechanism.',
    'Use a trusted wrapping key, or another mechanism.',
  ],
  key_unextractable: [
    'The key cannot be exported from the token.',
    'CKA_EXTRACTABLE is false, which cannot be changed.',
    'Use the key inside the token; if it must be exported, create an extractable one.',
  ],
  wrapping_key_handle_invalid: [
    'The wrapping key does not exist.',
    'It was destroyed, or is not visible to the caller.',
    'Log in and search for it again.',
  ],
  wrapping_key_size_range: [
    'The size of the wrapping key is out of range.',
    'The mechanism limits the size.',
    'Choose another wrapping key.',
  ],
  wrapping_key_type_inconsistent: [
    'The wrapping key has the wrong type for the mechanism.',
    'AES key wrap needs an AES key.',
    'Use a key and a mechanism that match.',
  ],
  unwrapping_key_handle_invalid: [
    'The unwrapping key does not exist.',
    'It was destroyed, or is not visible to the caller.',
    'Log in and search for it again.',
  ],
  unwrapping_key_size_range: [
    'The size of the unwrapping key is out of range.',
    'The mechanism limits the size.',
    'Choose another unwrapping key.',
  ],
  unwrapping_key_type_inconsistent: [
    'The unwrapping key has the wrong type for the mechanism.',
    'AES key wrap needs an AES key.',
    'Use a key and a mechanism that match.',
  ],
  wrapped_key_invalid: [
    'The wrapped key could not be unwrapped.',
    'It is damaged, or was wrapped with another key. The two cases are deliberately indistinguishable.',
    'Check which key it was wrapped with.',
  ],
  wrapped_key_len_range: [
    'The wrapped key has an invalid length.',
    'It was truncated, or belongs to another mechanism.',
    'Check the mechanism and the input.',
  ],
  mechanism_invalid: [
    'The mechanism is not supported.',
    'Sidekey does not support it at all or for this operation, or the key does not allow it.',
    'docs/mechanisms.md lists the supported mechanisms.',
  ],
  mechanism_param_invalid: [
    'The mechanism parameter is invalid.',
    'Its length, hash, IV or tag does not fit the mechanism.',
    'Correct the parameter.',
  ],
  operation_not_initialized: [
    'No operation of this kind is active.',
    'It has finished, has failed, or was never started.',
    'Start it with the Init function.',
  ],
  data_invalid: [
    'The data cannot be processed.',
    'For example, an RSA input is larger than the modulus.',
    'Check the input.',
  ],
  data_len_range: [
    'The data is too long, or not a multiple of the block size.',
    'The mechanism or the protocol limits the length.',
    'Pad it, or process it in parts.',
  ],
  encrypted_data_invalid: [
    'The data could not be decrypted.',
    'The key or the parameter is wrong, or the data is damaged. The cases are deliberately indistinguishable.',
    'Check the key, the parameter and the input.',
  ],
  encrypted_data_len_range: [
    'The encrypted data has an invalid length.',
    'It was truncated, or encrypted with another mechanism.',
    'Check the input.',
  ],
  signature_invalid: [
    'The signature does not verify.',
    'The data or the key differs, or the signature is forged.',
    'Do not trust the data.',
  ],
  signature_len_range: [
    'The signature has an invalid length.',
    'It has another encoding (for example DER instead of r and s), or was truncated.',
    'Check the encoding.',
  ],
  random_seed_not_supported: [
    'The seed was not mixed into the random number generator.',
    'The process has no /dev/urandom, for example in a chroot.',
    'Continue without seeding.',
  ],
  config_invalid: [
    'The configuration has errors.',
    'Each is reported with file, line, column and key; for an unknown key, with the closest match.',
    'Correct them and run `sidekey config check FILE`. A running agent keeps its old configuration.',
  ],
  config_unreadable: [
    'The configuration file cannot be read.',
    'It does not exist, or belongs to another user.',
    'Specify it with `--config FILE` or SIDEKEY_CONFIG, or create one with `sidekey init`.',
  ],
  already_running: [
    'Another agent is using this store or these sockets.',
    'An instance has only one agent.',
    'Stop the other one; `sidekey status` shows its pid.',
  ],
  not_running: [
    'The agent does not respond.',
    'It is not running, or this user has no access to its API socket.',
    'Start it: `sidekey agent --config FILE`. Only root and the user that owns the agent have access.',
  ],
  usage: [
    'The command line is invalid.',
    'A command or option is unknown, or an option has no value.',
    '`sidekey COMMAND --help` shows the usage.',
  ],
  request_refused: [
    'The agent refused the request.',
    'The message gives the reason: for example, the key does not exist, no rule admits this user, or the ciphertext was modified.',
    'The log of the agent has more details; `sidekey keys ls` lists the keys and their types.',
  ],
  file_refused: [
    'The command could not read or write a file.',
    'The file is missing, too long or of the wrong type, or already exists.',
    'The message names the file and the reason.',
  ],
  init_refused: [
    '`sidekey init` made no changes.',
    'The instance already exists, a PIN is missing, or the directory belongs to another user.',
    'The message gives the reason. Choose another directory, or move the existing one away.',
  ],
  socket_refused: [
    'A socket could not be created as configured.',
    'Its directory is missing or not writable, another file has its path, or its mode cannot be set.',
    'Correct the path in `sockets`, or the directory.',
  ],
  audit_broken: [
    'The integrity check of the audit log failed.',
    'A line was edited, removed, moved or damaged; the message gives the first one.',
    'Compare the log with a copy. The lines before that one are intact.',
  ],
  audit_failed: [
    'The audit log cannot be written.',
    'The disk is full, or the ownership is wrong.',
    'Check the directory of `audit.path`. The agent does not start without its audit log.',
  ],
};

export interface Explanation {
  readonly title: string;
  readonly code: string;
  readonly what: string;
  readonly why: string;
  readonly cure: string;
}

const CODES = Object.keys(ERRORS) as ErrorCode[];
const RETURNS = Object.keys(RETURN_CODES) as ReturnCode[];

/** Every name that can be explained, in small letters. */
export const KNOWN_CODES: readonly string[] = [...CODES, ...RETURNS.map((name) => name.toLowerCase())];

function explainError(code: ErrorCode): Explanation {
  const { wire, ckr } = ERRORS[code];
  const [what, why, cure] = PAGES[code];
  const seen =
    wire === null ? `exit code ${exitCodeOf(code)}` : `status ${wire}; a PKCS#11 program gets ${ckr}`;
  return { title: `${code} (${seen})`, code, what, why, cure };
}

function hex(number: number): string {
  return `0x${number.toString(16)}`;
}

/** By its own page, or by those of the errors that become it. */
function explainReturn(name: ReturnCode): Explanation[] {
  const [number, page] = RETURN_CODES[name];
  if (page === null) return CODES.filter((code) => ERRORS[code].ckr === name).map(explainError);
  const [what, why, cure] = page;
  return [{ title: `${name} (${hex(number)})`, code: name, what, why, cure }];
}

/** null: no such code. Letters of either size. */
export function explainCode(text: string): Explanation[] | null {
  const code = CODES.find((each) => each === text.toLowerCase());
  const name = RETURNS.find((each) => each === text.toUpperCase());
  if (code) return [explainError(code)];
  return name ? explainReturn(name) : null;
}

/** A return value of PKCS#11, a status of Sidekey's frames, or both; empty when it is neither. */
export function explainNumber(number: number): Explanation[] {
  const names = RETURNS.filter((name) => RETURN_CODES[name][0] === number);
  const codes = CODES.filter((code) => ERRORS[code].wire === number);
  const vendor: Explanation = {
    title: `${hex(number)} (vendor-defined)`,
    code: 'CKR_VENDOR_DEFINED',
    what: 'A vendor-defined return value.',
    why: 'Sidekey defines none: it came from another module.',
    cure: 'See the documentation of that vendor.',
  };
  return [
    ...names.flatMap(explainReturn),
    ...codes.map(explainError),
    ...(number >= VENDOR_DEFINED && number <= 0xffff_ffff ? [vendor] : []),
  ];
}

function renderPage({ title, code, what, why, cure }: Explanation): string {
  const note = title.slice(code.length + 1);
  return `## ${code}\n${what} ${note}\n\n- Why: ${why}\n- What to do: ${cure}\n`;
}

/** docs/errors.md. */
export function renderErrorPages(): string {
  const head =
    '# Errors\n\nEvery error has a code. It appears in the log and in the output of the command line (`sidekey: CODE: what happened`); PKCS#11\n' +
    'programs get the closest return value of the standard. `sidekey explain CODE` prints these pages.\n' +
    'Generated from src/error-pages.ts and src/return-codes.ts.\n';
  const others = RETURNS.filter((name) => RETURN_CODES[name][1] !== null).flatMap(explainReturn);
  const middle =
    '# Other return values\n\nReturn values of the module itself, and those that it never returns.\n';
  return [head, ...CODES.map(explainError).map(renderPage), middle, ...others.map(renderPage)].join('\n');
}
