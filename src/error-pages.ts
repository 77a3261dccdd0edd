/**
 * What docs/errors.md and `sidekey explain` say of each code: what happened, why, what to do. One table with a row per code,
 * hence its length; a test holds the page equal (UPDATE_DOCS=1 writes it).
 */
import { ERRORS, exitCodeOf, type ErrorCode } from './errors.ts';
import { RETURN_CODES, VENDOR_DEFINED, type ReturnCode } from './return-codes.ts';

type Page = readonly [what: string, why: string, cure: string];

const PAGES: Readonly<Record<ErrorCode, Page>> = {
  internal: [
    'Sidekey failed by a fault of its own.',
    'A bug, or a host that broke a promise (a full disk, a library that failed).',
    'Look in the log for the same moment; report it with those lines.',
  ],
  memory: [
    'The keeper has no room in its locked memory.',
    'More keys are open at once than the arena holds, or a request was too large for it.',
    '`sidekey status` shows how much is in use. Shorten `cache.unused`, so that idle keys leave sooner.',
  ],
  busy: [
    'Too many requests wait already.',
    'A bound on waiting requests was reached: the agent or a key service is slower than the callers.',
    'Try again; look in the log for what is slow.',
  ],
  deadline: [
    'A call was not answered in time.',
    'Every local call ends within 10 seconds (making keys: 3 minutes); something behind it did not. A container or machine that is stopped meanwhile, and goes on later, does the same.',
    'Try again. If it stays, `sidekey doctor` tells which part does not answer.',
  ],
  agent_absent: [
    'The keeper runs, but no agent is attached to it.',
    'The agent ended or is starting. Keys that are open go on; whatever needs the agent waits, then fails.',
    'Start the agent: `sidekey agent --config FILE`, or `systemctl start sidekey-agent`.',
  ],
  keeper_absent: [
    'The agent, or a program, has no keeper.',
    'It was not started, it ended, or it could not start: usually because memory could not be locked. Or a program may not reach its socket.',
    '`sidekey doctor` names the limit; the keeper says on stderr why it ended. With `keeper.start: true` the agent starts it. In a program, SIDEKEY_TRACE=FILE says which socket was tried and what was in the way.',
  ],
  wire_version: [
    'Two parts of Sidekey are of different versions.',
    'Each speaks two versions of the frame: its own and the one before. One was upgraded by two or more and another still runs as it was.',
    'Restart keeper and agent, and the programs that loaded the old module: `sidekey status` and `sidekey doctor` name them; in a program, SIDEKEY_TRACE=FILE says which versions met.',
  ],
  wire_malformed: [
    'A message broke the format.',
    'A program that is not Sidekey spoke to its socket, or one part has a bug.',
    'The connection was closed. If both ends are Sidekey, report it.',
  ],
  agent_present: [
    'Another agent is attached to this keeper already.',
    'One keeper has one agent.',
    'End the other agent first; `sidekey status` shows its pid.',
  ],
  operation_lost: [
    'An operation of several parts was lost.',
    'The keeper was restarted between its parts.',
    'Begin the operation again.',
  ],
  provider_unreachable: [
    'The key service of this token could not be asked.',
    'The network, the service, or (embedded) the file with the key-encryption key is not there or not readable.',
    'The log names file or address. `sidekey doctor` tries it.',
  ],
  provider_refused: [
    'The key service said no.',
    'Wrong credentials or passphrase, a key-encryption key that is disabled or another one than that which wrapped this token.',
    'The log names the provider and the reason. Put the right key or passphrase in its place.',
  ],
  store_failed: [
    'The store could not be read or written.',
    'A full disk, wrong ownership, or a damaged database.',
    'Look at the directory of `store.path` (owner, mode, space); restore a copy if it is damaged.',
  ],
  seal_broken: [
    'A sealed key does not open.',
    'Its row was edited, belongs to another object, or was sealed under another token key.',
    'Restore the row from a copy. Treat it as tampering until you know better.',
  ],
  cell_unknown: [
    'A key is no longer open in the keeper.',
    'Its lease ended or the keeper was restarted between two steps.',
    'Try again: the key is opened anew.',
  ],
  message_cap: [
    'This key has protected as many messages as is safe.',
    'Nonces are random; past the cap two of them might be equal.',
    'Rotate: make a new key and use that.',
  ],
  ring_absent: [
    'The keeper has no shared memory for this process.',
    'It is out of descriptors or memory, or the kernel refused. Nothing fails: the process goes on by its socket, more slowly.',
    'Raise the keeper’s limit of open files (`LimitNOFILE`): two for each connected process.',
  ],
  arguments_bad: [
    'An argument makes no sense.',
    'A number out of range, a pointer that is NULL, a flag that is not defined.',
    'Correct the call; the log at level debug says which argument.',
  ],
  function_not_supported: [
    'Sidekey does not have this function.',
    'It is optional in the standard.',
    'Use another function; ARCHITECTURE.md lists what there is.',
  ],
  action_prohibited: [
    'This object may not be changed that way.',
    'CKA_COPYABLE, CKA_DESTROYABLE or CKA_MODIFIABLE is false.',
    'Make a new object with the attributes that are wanted.',
  ],
  slot_id_invalid: [
    'There is no such slot.',
    'The token was removed from the configuration, or this process is not admitted to it.',
    'List the slots again. Admission is a rule below `allow` of the token.',
  ],
  token_not_present: [
    'The slot has no token now.',
    'The agent or the keeper is not up yet, or the free slot was not initialised.',
    'Wait for `sidekey status --wait 10s`; initialise the token.',
  ],
  token_not_recognized: [
    'There is no such token for this peer.',
    'No token has this label, or no rule admits the peer: these two look alike on purpose.',
    'Check the label and the rules below `allow`; the audit log records denials.',
  ],
  token_write_protected: [
    'This token cannot be written.',
    'It is configured so, or not initialised.',
    'Use another token.',
  ],
  session_read_only: [
    'A read-only session tried to write.',
    'The program opened it without CKF_RW_SESSION.',
    'Open a read-write session.',
  ],
  session_exists: [
    'A session is open that must not be.',
    'A token is initialised only while nobody has a session with it.',
    'Close the sessions first.',
  ],
  pin_incorrect: [
    'The PIN is wrong.',
    'It was mistyped, or it was changed. Failures are counted.',
    'Try again with care: after too many the PIN is locked.',
  ],
  pin_invalid: [
    'The new PIN has bytes that are not allowed.',
    'A PIN is UTF-8 without control characters.',
    'Choose another PIN.',
  ],
  pin_len_range: [
    'The PIN is too short or too long.',
    'C_GetTokenInfo gives the bounds.',
    'Choose a PIN within them.',
  ],
  pin_locked: [
    'The PIN is locked.',
    'Too many wrong ones were tried.',
    'The SO sets a new user PIN (C_InitPIN). A locked SO PIN stays locked.',
  ],
  user_not_logged_in: [
    'This needs a login.',
    'The object is private, or the operation is for a user that is logged in.',
    'C_Login first.',
  ],
  user_already_logged_in: [
    'This user is logged in already.',
    'Login belongs to the whole process.',
    'Go on; no second login is needed.',
  ],
  user_another_already_logged_in: [
    'The other user is logged in.',
    'User and SO exclude each other within one process.',
    'Log out first.',
  ],
  user_pin_not_initialized: [
    'The token has no user PIN.',
    'The SO never set one.',
    'Log in as SO and call C_InitPIN.',
  ],
  user_type_invalid: [
    'There is no such type of user.',
    'It is neither user, SO nor context-specific, or not possible here.',
    'Correct the call.',
  ],
  object_handle_invalid: [
    'There is no such object.',
    'It was destroyed, or it is hidden from who asks: these two look alike on purpose.',
    'Find it again, after a login.',
  ],
  attribute_read_only: [
    'This attribute cannot be set or changed.',
    'The standard fixes it, or it only ever tightens (CKA_SENSITIVE, CKA_EXTRACTABLE).',
    'Make a new object, or leave the attribute out.',
  ],
  attribute_sensitive: [
    'This attribute is not revealed.',
    'The key is sensitive or not extractable.',
    'Use the key; its value stays inside.',
  ],
  attribute_type_invalid: [
    'The object has no such attribute.',
    'It is unknown, or belongs to another kind of object.',
    'Leave it out.',
  ],
  attribute_value_invalid: [
    'An attribute has a value that it cannot have.',
    'Wrong length, wrong number, or not what the standard allows.',
    'Correct the template.',
  ],
  template_incomplete: [
    'The template lacks an attribute.',
    'The standard requires it for this kind of object.',
    'Add it.',
  ],
  template_inconsistent: [
    'Attributes of the template contradict each other.',
    'Or they contradict the mechanism, the session, or the rules of the token.',
    'Correct the template.',
  ],
  domain_params_invalid: [
    'The parameters of the group are not known.',
    'Sidekey takes named curves only.',
    'Use a named curve.',
  ],
  curve_not_supported: [
    'This curve is not supported.',
    'docs/mechanisms.md lists those that are.',
    'Choose one of these.',
  ],
  parameter_set_not_supported: [
    'There is no such parameter set here.',
    "CKA_PARAMETER_SET is not one of the numbers that PKCS#11 3.2 has for this type of key, or the keeper's OpenSSL does not have it: the key was made where there is a later one.",
    'Use one of CKP_ML_KEM_, CKP_ML_DSA_ or CKP_SLH_DSA_; see in docs/mechanisms.md which OpenSSL they need.',
  ],
  key_handle_invalid: [
    'There is no such key.',
    'It was destroyed, or it is hidden from who asks: these two look alike on purpose.',
    'Find it again, after a login.',
  ],
  key_function_not_permitted: [
    'The key is not for this use.',
    'Its attribute for it (CKA_SIGN, CKA_DECRYPT, ...) is false.',
    'Use a key that was made for it.',
  ],
  key_type_inconsistent: [
    'The mechanism is for another type of key.',
    'An RSA mechanism with an EC key, for example.',
    'Choose key and mechanism that belong together.',
  ],
  key_size_range: [
    'The size of the key is out of range.',
    'C_GetMechanismInfo gives the bounds.',
    'Choose a size within them.',
  ],
  key_not_wrappable: [
    'This key cannot be wrapped by that one.',
    'CKA_WRAP_WITH_TRUSTED is true, or its kind cannot be wrapped so.',
    'Wrap it with a trusted key.',
  ],
  key_unextractable: [
    'This key does not leave the token.',
    'CKA_EXTRACTABLE is false, for good.',
    'Use it here; make an extractable one if it must travel.',
  ],
  wrapping_key_handle_invalid: [
    'There is no such wrapping key.',
    'It was destroyed, or it is hidden from who asks.',
    'Find it again, after a login.',
  ],
  wrapping_key_size_range: [
    'The size of the wrapping key is out of range.',
    'The mechanism has bounds.',
    'Choose another wrapping key.',
  ],
  wrapping_key_type_inconsistent: [
    'The wrapping key is of another type than the mechanism.',
    'AES key wrap needs an AES key.',
    'Choose key and mechanism that belong together.',
  ],
  unwrapping_key_handle_invalid: [
    'There is no such unwrapping key.',
    'It was destroyed, or it is hidden from who asks.',
    'Find it again, after a login.',
  ],
  unwrapping_key_size_range: [
    'The size of the unwrapping key is out of range.',
    'The mechanism has bounds.',
    'Choose another unwrapping key.',
  ],
  unwrapping_key_type_inconsistent: [
    'The unwrapping key is of another type than the mechanism.',
    'AES key wrap needs an AES key.',
    'Choose key and mechanism that belong together.',
  ],
  wrapped_key_invalid: [
    'The wrapped key does not open.',
    'It was damaged, or wrapped by another key: these two look alike on purpose.',
    'Check which key wrapped it.',
  ],
  wrapped_key_len_range: [
    'The wrapped key has a length that is impossible.',
    'It was cut, or belongs to another mechanism.',
    'Check the mechanism and the bytes.',
  ],
  mechanism_invalid: [
    'The mechanism is not supported here.',
    'Sidekey does not have it, or not for this operation, or the key does not allow it.',
    'docs/mechanisms.md lists what there is.',
  ],
  mechanism_param_invalid: [
    'The parameter of the mechanism is wrong.',
    'Its length, its hash, its IV or tag is not what the mechanism takes.',
    'Correct the parameter.',
  ],
  operation_not_initialized: [
    'No such operation is going on.',
    'It ended, failed, or was never begun.',
    'Begin it.',
  ],
  data_invalid: [
    'The data cannot be processed.',
    'For example, an RSA input that is larger than the modulus.',
    'Check the input.',
  ],
  data_len_range: [
    'The data is too long, or not a multiple of the block.',
    'The mechanism has bounds, and so have messages.',
    'Pad it, or process it in parts.',
  ],
  encrypted_data_invalid: [
    'The data does not decrypt.',
    'Wrong key, wrong parameter, or damaged data: these look alike on purpose.',
    'Check key, parameter and bytes.',
  ],
  encrypted_data_len_range: [
    'The encrypted data has a length that is impossible.',
    'It was cut, or made by another mechanism.',
    'Check the bytes.',
  ],
  signature_invalid: [
    'The signature does not verify.',
    'Other data, another key, or a forged signature.',
    'Do not trust the data.',
  ],
  signature_len_range: [
    'The signature has a length that is impossible.',
    'It is encoded otherwise (DER instead of r and s, for example), or was cut.',
    'Check the encoding.',
  ],
  random_seed_not_supported: [
    'A seed was not mixed into the randomness.',
    'The process has no /dev/urandom: a chroot without it, for example.',
    'Leave the seed out.',
  ],
  config_invalid: [
    'The configuration has errors.',
    'Each is named with file, line, column, key and, for an unknown key, the nearest match.',
    'Correct them; `sidekey config check FILE` says when none is left. A running agent keeps its old configuration.',
  ],
  config_unreadable: [
    'The configuration file cannot be read.',
    'It is not there, or belongs to another user.',
    'Name it by `--config FILE` or SIDEKEY_CONFIG; `sidekey init` makes one.',
  ],
  already_running: [
    'Another agent serves this store or these sockets.',
    'One instance has one agent.',
    'End the other one; `sidekey status` shows its pid.',
  ],
  not_running: [
    'No agent answers.',
    'It is not running, or its API socket may not be reached by this user.',
    'Start it: `sidekey agent --config FILE`. Only the user that owns the agent, and root, may ask it.',
  ],
  usage: [
    'The command line is wrong.',
    'An unknown command or option, or an option without its value.',
    '`sidekey COMMAND --help` shows what it takes.',
  ],
  request_refused: [
    'The agent refused what the command line asked of it.',
    'The message has its words: no such key, a rule that does not admit this user, a ciphertext that was changed, a key of another kind.',
    'The agent’s log has the same moment with more; `sidekey keys ls` shows keys and kinds.',
  ],
  file_refused: [
    'A file could not be read or written by the command line.',
    'It is not there, too long, not of the kind that was expected, or stands in the way of what would be written.',
    'The message names the file and the reason.',
  ],
  init_refused: [
    '`sidekey init` did nothing.',
    'There is something in its place already, a PIN is missing, or the directory belongs to another user.',
    'The message says which; choose another directory or move the old one away.',
  ],
  socket_refused: [
    'A socket could not be made as configured.',
    'Its directory is missing or not writable, something else stands at its path, or its mode cannot be set.',
    'Correct the path below `sockets`, or the directory.',
  ],
  audit_broken: [
    'The audit log is not as it was written.',
    'A line was edited, removed, moved, or damaged; the message names the first such line.',
    'Compare with a copy. The lines before it are as they were written.',
  ],
  audit_failed: [
    'The audit log cannot be written.',
    'A full disk, or wrong ownership.',
    'Look at the directory of `audit.path`. The agent does not start without its audit log.',
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
    title: `${hex(number)} (a vendor's own)`,
    code: 'CKR_VENDOR_DEFINED',
    what: 'A return value that some vendor made up.',
    why: 'Sidekey has none of its own: another module answered.',
    cure: 'Look into that vendor’s documentation.',
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
    '# Errors\n\nEvery error of Sidekey has a code. It stands in the log, in the output of the command line (`sidekey: CODE: what\n' +
    'happened`) and, as the nearest code of the standard, in what a PKCS#11 program gets. `sidekey explain CODE` prints these pages.\n' +
    'Generated from src/error-pages.ts and src/return-codes.ts.\n';
  const others = RETURNS.filter((name) => RETURN_CODES[name][1] !== null).flatMap(explainReturn);
  const middle =
    '# Return values that no error becomes\n\nWhat the module answers by itself, and what it never answers.\n';
  return [head, ...CODES.map(explainError).map(renderPage), middle, ...others.map(renderPage)].join('\n');
}
