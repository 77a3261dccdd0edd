/**
 * The agent's copy of tables shared with module and keeper: native-shim/wire/limits.h, messages.def and the
 * operations of frame.h. test/wire/tables.test.ts holds them equal.
 */

export const LIMITS = {
  version: 2,
  versionOldest: 1,
  headerBytes: 32,
  dataMax: 65536,
  bodyMax: 98304,
  paramsMax: 16384,
  attributesMax: 128,
  templateDepthMax: 2,
  componentMax: 4096,
  signatureMax: 49856,
  materialMax: 16384,
  pinMax: 255,
  noteMax: 24576,
  blobMax: 20480,
  aadMax: 65536,
  findMax: 4096,
  bindMechanismsMax: 64,
  manyMax: 64,
  manyTurnUs: 1000,
  deadlineMs: 10000,
  generateDeadlineMs: 180000,
} as const;

/** Set in the type of a reply. */
export const REPLY = 0x8000;

interface MessageRow {
  readonly number: number;
  readonly from: 'module' | 'keeper' | 'agent';
  readonly to: 'keeper' | 'agent';
  readonly material: 'none' | 'in' | 'out';
}

export const MESSAGES = {
  hello: { number: 0x0001, from: 'module', to: 'keeper', material: 'none' },
  bind_check: { number: 0x0002, from: 'module', to: 'keeper', material: 'none' },
  operate: { number: 0x0003, from: 'module', to: 'keeper', material: 'none' },
  random: { number: 0x0004, from: 'module', to: 'keeper', material: 'none' },
  ring: { number: 0x0005, from: 'module', to: 'keeper', material: 'none' },
  slots: { number: 0x0010, from: 'module', to: 'agent', material: 'none' },
  mechanisms: { number: 0x0011, from: 'module', to: 'agent', material: 'none' },
  login: { number: 0x0012, from: 'module', to: 'agent', material: 'none' },
  logout: { number: 0x0013, from: 'module', to: 'agent', material: 'none' },
  init_token: { number: 0x0014, from: 'module', to: 'agent', material: 'none' },
  init_pin: { number: 0x0015, from: 'module', to: 'agent', material: 'none' },
  set_pin: { number: 0x0016, from: 'module', to: 'agent', material: 'none' },
  session_closed: { number: 0x0017, from: 'module', to: 'agent', material: 'none' },
  find: { number: 0x0020, from: 'module', to: 'agent', material: 'none' },
  get_attributes: { number: 0x0021, from: 'module', to: 'agent', material: 'out' },
  set_attributes: { number: 0x0022, from: 'module', to: 'agent', material: 'none' },
  create: { number: 0x0023, from: 'module', to: 'agent', material: 'in' },
  copy: { number: 0x0024, from: 'module', to: 'agent', material: 'none' },
  destroy: { number: 0x0025, from: 'module', to: 'agent', material: 'none' },
  object_size: { number: 0x0026, from: 'module', to: 'agent', material: 'none' },
  generate_key: { number: 0x0027, from: 'module', to: 'agent', material: 'none' },
  generate_key_pair: { number: 0x0028, from: 'module', to: 'agent', material: 'none' },
  wrap_key: { number: 0x0029, from: 'module', to: 'agent', material: 'none' },
  unwrap_key: { number: 0x002a, from: 'module', to: 'agent', material: 'none' },
  derive_key: { number: 0x002b, from: 'module', to: 'agent', material: 'none' },
  resident_check: { number: 0x002c, from: 'module', to: 'agent', material: 'none' },
  resident_operate: { number: 0x002d, from: 'module', to: 'agent', material: 'none' },
  password_key: { number: 0x002e, from: 'module', to: 'agent', material: 'in' },
  generate_domain: { number: 0x0030, from: 'module', to: 'agent', material: 'none' },
  encapsulate_key: { number: 0x0031, from: 'module', to: 'agent', material: 'none' },
  decapsulate_key: { number: 0x0032, from: 'module', to: 'agent', material: 'none' },
  resolve: { number: 0x0040, from: 'keeper', to: 'agent', material: 'none' },
  client_opened: { number: 0x0041, from: 'keeper', to: 'agent', material: 'none' },
  client_closed: { number: 0x0042, from: 'keeper', to: 'agent', material: 'none' },
  cell_ended: { number: 0x0043, from: 'keeper', to: 'agent', material: 'none' },
  client_refused: { number: 0x0044, from: 'keeper', to: 'agent', material: 'none' },
  use_ended: { number: 0x0045, from: 'keeper', to: 'agent', material: 'none' },
  attach: { number: 0x0080, from: 'agent', to: 'keeper', material: 'none' },
  mechanism_table: { number: 0x0081, from: 'agent', to: 'keeper', material: 'none' },
  state: { number: 0x0082, from: 'agent', to: 'keeper', material: 'none' },
  client_list: { number: 0x0083, from: 'agent', to: 'keeper', material: 'none' },
  client_note: { number: 0x0084, from: 'agent', to: 'keeper', material: 'none' },
  cell_list: { number: 0x0085, from: 'agent', to: 'keeper', material: 'none' },
  cell_generate: { number: 0x0086, from: 'agent', to: 'keeper', material: 'none' },
  cell_import: { number: 0x0087, from: 'agent', to: 'keeper', material: 'none' },
  cell_open: { number: 0x0088, from: 'agent', to: 'keeper', material: 'none' },
  cell_unwrap: { number: 0x0089, from: 'agent', to: 'keeper', material: 'none' },
  cell_derive: { number: 0x008a, from: 'agent', to: 'keeper', material: 'none' },
  cell_copy: { number: 0x008b, from: 'agent', to: 'keeper', material: 'none' },
  cell_seal: { number: 0x008c, from: 'agent', to: 'keeper', material: 'none' },
  cell_wrap: { number: 0x008d, from: 'agent', to: 'keeper', material: 'none' },
  cell_note: { number: 0x008e, from: 'agent', to: 'keeper', material: 'none' },
  cell_drop: { number: 0x008f, from: 'agent', to: 'keeper', material: 'none' },
  cell_operate: { number: 0x0090, from: 'agent', to: 'keeper', material: 'none' },
  bind: { number: 0x0091, from: 'agent', to: 'keeper', material: 'none' },
  unbind: { number: 0x0092, from: 'agent', to: 'keeper', material: 'none' },
  usage: { number: 0x0093, from: 'agent', to: 'keeper', material: 'none' },
  shutdown: { number: 0x0094, from: 'agent', to: 'keeper', material: 'none' },
  cell_encapsulate: { number: 0x0095, from: 'agent', to: 'keeper', material: 'none' },
  cell_decapsulate: { number: 0x0096, from: 'agent', to: 'keeper', material: 'none' },
  cell_operate_many: { number: 0x0097, from: 'agent', to: 'keeper', material: 'none' },
} as const satisfies Record<string, MessageRow>;

export type MessageName = keyof typeof MESSAGES;

const NAMES = new Map<number, MessageName>(
  Object.entries(MESSAGES).map(([name, row]) => [row.number, name as MessageName]),
);

/** The name of a message's number (without REPLY), or null. */
export function messageName(number: number): MessageName | null {
  return NAMES.get(number) ?? null;
}

/** enum wire_operation. */
export const OPERATIONS = {
  encrypt: 1,
  decrypt: 2,
  sign: 3,
  verify: 4,
  digest: 5,
  sign_recover: 6,
  verify_recover: 7,
} as const;

/** enum wire_output_rule: how much output an operation has. */
export const OUTPUT = { fixed: 1, atMost: 2, input: 3, padded: 4, unpadded: 5 } as const;

/** WIRE_RESIDENT_FROM: handles from here on are private and secret keys in a key service. */
export const RESIDENT_FROM: number = 2 ** 52;

/** Flags of operate. */
export const OPERATE = { begin: 1, final: 2, cancel: 4, more: 8, save: 16 } as const;

/** Bits that say what resolve is for. */
export const WHY = { use: 1, bound: 2 } as const;

/** enum wire_attribute_state. */
export const ATTRIBUTE_STATE = { value: 0, sensitive: 1, unknown: 2, material: 3 } as const;
