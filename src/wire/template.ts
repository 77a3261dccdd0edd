/** Templates and mechanisms in frames (ARCHITECTURE.md, "Frames"). */
import { SidekeyError } from '../errors.ts';
import type { WireReader, WireWriter } from './buffer.ts';
import { LIMITS } from './tables.ts';

/** `type` is a CKA_ number; `value` the bytes as a 64-bit C program lays them out. */
export interface WireAttribute {
  readonly type: number;
  readonly value: Buffer;
}

export interface WireMechanism {
  readonly type: number;
  readonly params: Buffer;
}

/** Values are views into the reader's bytes: copy what must outlive them. */
export function readTemplate(reader: WireReader): WireAttribute[] {
  const count = reader.u32();
  if (count > LIMITS.attributesMax)
    throw new SidekeyError('wire_malformed', `a template of ${count} attributes`);
  const attributes: WireAttribute[] = [];
  for (let i = 0; i < count; i++) {
    attributes.push({ type: reader.number(), value: reader.bytes(LIMITS.dataMax) });
  }
  return attributes;
}

export function writeTemplate(writer: WireWriter, template: readonly WireAttribute[]): void {
  writer.u32(template.length);
  for (const { type, value } of template) writer.u64(type).bytes(value);
}

export function readMechanism(reader: WireReader): WireMechanism {
  return { type: reader.number(), params: reader.bytes(LIMITS.paramsMax) };
}

export function writeMechanism(writer: WireWriter, mechanism: WireMechanism): void {
  writer.u64(mechanism.type).bytes(mechanism.params);
}
