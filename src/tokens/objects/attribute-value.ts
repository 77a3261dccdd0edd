/** Encodes attribute values, and checks that bytes are a valid value of their kind. */
import { SidekeyError } from '../../errors.ts';
import { WireReader, WireWriter } from '../../wire/buffer.ts';
import { readTemplate, writeTemplate } from '../../wire/template.ts';
import { LIMITS } from '../../wire/tables.ts';
import type { AttributeRow, ValueKind } from './attributes.ts';
import { UNAVAILABLE } from '../cryptoki.ts';
import type { Template } from '../ports.ts';

/** Attributes by CKA_ number. */
export type AttributeMap = ReadonlyMap<number, Buffer>;

export function encodeBool(value: boolean): Buffer {
  return Buffer.of(value ? 1 : 0);
}

export function encodeUlong(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

export function readBool(attributes: AttributeMap, type: number): boolean {
  return attributes.get(type)?.[0] === 1;
}

/** null: absent, or over 53 bits, as CK_UNAVAILABLE_INFORMATION is. */
export function readUlong(attributes: AttributeMap, type: number): number | null {
  const value = attributes.get(type);
  if (value?.length !== 8) return null;
  const number = value.readUInt32LE(4) * 2 ** 32 + value.readUInt32LE(0);
  return Number.isSafeInteger(number) ? number : null;
}

/** CKA_ALLOWED_MECHANISMS as numbers. */
export function readMechanisms(attributes: AttributeMap, type: number): number[] {
  const value = attributes.get(type) ?? Buffer.alloc(0);
  const types: number[] = [];
  for (let at = 0; at + 8 <= value.length; at += 8) types.push(Number(value.readBigUInt64LE(at)));
  return types;
}

/** A nested template; empty if there is none. Values are copies. */
export function decodeTemplate(bytes: Buffer): Template {
  if (bytes.length === 0) return [];
  const reader = new WireReader(bytes);
  const template = readTemplate(reader);
  reader.end();
  return template.map(({ type, value }) => ({ type, value: Buffer.from(value) }));
}

/**
 * Attributes in canonical order, ascending by number: what the store keeps, and what seals and digests cover.
 */
export function encodeAttributes(attributes: AttributeMap): Buffer {
  const sorted = [...attributes].sort(([a], [b]) => a - b);
  const writer = new WireWriter(512);
  writeTemplate(
    writer,
    sorted.map(([type, value]) => ({ type, value })),
  );
  return writer.done();
}

export function decodeAttributes(bytes: Buffer): Map<number, Buffer> {
  return new Map(decodeTemplate(bytes).map(({ type, value }) => [type, value]));
}

function isDate(value: Buffer): boolean {
  return value.length === 0 || /^\d{8}$/.test(value.toString('latin1'));
}

function isTemplate(value: Buffer): boolean {
  try {
    decodeTemplate(value);
    return true;
  } catch {
    return false;
  }
}

const CHECKS: Readonly<Record<ValueKind, (value: Buffer) => boolean>> = {
  // CK_TRUE is 1, but C programs pass any non-zero number.
  bool: (value) => value.length === 1,
  ulong: (value) => value.length === 8,
  bytes: () => true,
  date: isDate,
  mechanisms: (value) => value.length % 8 === 0 && value.length / 8 <= LIMITS.bindMechanismsMax,
  template: isTemplate,
};

/** A copy of the value to store; throws attribute_value_invalid. */
export function parseValue(row: AttributeRow, value: Buffer): Buffer {
  if (!CHECKS[row.kind](value))
    throw new SidekeyError(
      'attribute_value_invalid',
      `${row.name} has ${value.length} bytes that are not a ${row.kind}`,
    );
  return row.kind === 'bool' ? encodeBool(value[0] !== 0) : Buffer.from(value);
}

/** The row's default as bytes; null: it has none. */
export function defaultValue(row: AttributeRow): Buffer | null {
  if (row.default === undefined) return null;
  if (row.default === 'empty') return Buffer.alloc(0);
  if (row.default === 'unavailable') return UNAVAILABLE;
  return typeof row.default === 'boolean' ? encodeBool(row.default) : encodeUlong(row.default);
}
