/**
 * Attributes as text: the standard's name, and the value by its kind. Unknown ones appear as number and hex.
 */
import { CKA, CKK, CKM, CKO, UNAVAILABLE } from '../tokens/cryptoki.ts';
import { ATTRIBUTES, type ValueKind } from '../tokens/objects/attributes.ts';
import { readMechanisms } from '../tokens/objects/attribute-value.ts';

/** Attributes whose values are constants of the standard. */
const TABLES = new Map<number, readonly [prefix: string, names: Readonly<Record<string, number>>]>([
  [CKA.CLASS, ['CKO_', CKO]],
  [CKA.KEY_TYPE, ['CKK_', CKK]],
  [CKA.KEY_GEN_MECHANISM, ['CKM_', CKM]],
]);

const ROWS = new Map(ATTRIBUTES.map((row) => [row.type, row]));
const PRINTABLE = /^[^\p{C}\ufffd]+$/u;

function hexOf(number: number): string {
  return `0x${number.toString(16).padStart(8, '0')}`;
}

function nameIn(names: Readonly<Record<string, number>>, prefix: string, number: number): string {
  const found = Object.entries(names).find(([, value]) => value === number)?.[0];
  return found === undefined ? hexOf(number) : prefix + found;
}

function ulongText(type: number, value: Buffer): string {
  if (value.equals(UNAVAILABLE)) return 'unavailable';
  const number = value.readBigUInt64LE();
  const table = TABLES.get(type);
  return table === undefined ? String(number) : nameIn(table[1], table[0], Number(number));
}

/** Labels and the like are text; all other bytes are shown as hex, even if they happen to be readable. */
const TEXTS: readonly number[] = [CKA.LABEL, CKA.UNIQUE_ID, CKA.APPLICATION];

function bytesText(type: number, value: Buffer): string {
  const text = value.toString('utf8');
  return TEXTS.includes(type) && PRINTABLE.test(text) ? text : value.toString('hex');
}

const READERS: Readonly<Record<ValueKind, (type: number, value: Buffer) => string>> = {
  bool: (_type, value) => (value[0] === 1 ? 'true' : 'false'),
  ulong: (type, value) => (value.length === 8 ? ulongText(type, value) : value.toString('hex')),
  date: (_type, value) => value.toString('latin1').replace(/^(\d{4})(\d\d)(\d\d)$/, '$1-$2-$3'),
  mechanisms: (type, value) =>
    readMechanisms(new Map([[type, value]]), type)
      .map((each) => nameIn(CKM, 'CKM_', each))
      .join(' '),
  template: bytesText,
  bytes: bytesText,
};

export function attributeName(type: number): string {
  return ROWS.get(type)?.name ?? hexOf(type);
}

/** `hex`: the value as the agent sends it. */
export function attributeText(type: number, hex: string): string {
  const value = Buffer.from(hex, 'hex');
  if (value.length === 0) return '(empty)';
  return READERS[ROWS.get(type)?.kind ?? 'bytes'](type, value);
}
