/** The bodies of the messages between agent and keeper: one row of ARCHITECTURE.md, "Frames", per function. */
import { SidekeyError } from '../errors.ts';
import {
  NONCE_BYTES,
  type Attribute,
  type Binding,
  type CellSeen,
  type ClientSeen,
  type KeeperState,
  type LatencySeen,
  type MadeKey,
  type Mechanism,
  type MechanismRow,
  type NewKey,
  type Operation,
  type RingState,
  type UsageSeen,
  type UseEnded,
} from '../tokens/ports.ts';
import { WireReader, WireWriter } from '../wire/buffer.ts';
import { LIMITS, OPERATE, OPERATIONS } from '../wire/tables.ts';
import { readTemplate, writeMechanism, writeTemplate } from '../wire/template.ts';

const NAME_MAX = 256;
const GROUPS_MAX = 65536;
const OPERATION_NAMES = new Map<number, Operation>(
  Object.entries(OPERATIONS).map(([name, number]) => [number, name as Operation]),
);
/** CK_UNAVAILABLE_INFORMATION: the mechanism has no key type. */
const NO_KEY_TYPE = 0xffff_ffff_ffff_ffffn;

/** Reads a whole body: bytes that `read` leaves over are a fault. */
export function readBody<T>(body: Buffer, read: (reader: WireReader) => T): T {
  const reader = new WireReader(body);
  const value = read(reader);
  reader.end();
  return value;
}

function copyTemplate(reader: WireReader): Attribute[] {
  return readTemplate(reader).map(({ type, value }) => ({ type, value: Buffer.from(value) }));
}

function copyOptional(reader: WireReader, max: number): Buffer | null {
  const bytes = reader.optionalBytes(max);
  return bytes && Buffer.from(bytes);
}

export interface Attached {
  readonly version: number;
  readonly boot: bigint;
  readonly pid: number;
}

export function writeAttach(version: number, program: string): WireWriter {
  return new WireWriter().u32(version).text(program.slice(0, 64));
}

export function readAttached(reader: WireReader): Attached {
  return { version: reader.u32(), boot: reader.u64(), pid: reader.u32() };
}

const STANDINGS = ['approved', 'other', 'legacy'] as const;

function readStanding(reader: WireReader): MechanismRow['standing'] {
  const standing = STANDINGS[reader.u8()];
  if (standing === undefined)
    throw new SidekeyError('wire_malformed', 'the keeper reported a mechanism of unknown standing');
  return standing;
}

function readMechanismRow(reader: WireReader): MechanismRow {
  const type = reader.number();
  const name = reader.text(NAME_MAX);
  const keyType = reader.u64();
  return {
    type,
    name,
    keyType: keyType === NO_KEY_TYPE ? null : Number(keyType),
    flags: reader.number(),
    min: reader.number(),
    max: reader.number(),
    standing: readStanding(reader),
  };
}

function readList<T>(reader: WireReader, read: (reader: WireReader) => T): T[] {
  const count = reader.u32();
  const list: T[] = [];
  for (let i = 0; i < count; i++) list.push(read(reader));
  return list;
}

export function readMechanismTable(reader: WireReader): MechanismRow[] {
  return readList(reader, readMechanismRow);
}

export interface Page<T> {
  readonly entries: T[];
  readonly more: boolean;
}

export function readPage<T>(reader: WireReader, read: (reader: WireReader) => T): Page<T> {
  return { entries: readList(reader, read), more: reader.u8() !== 0 };
}

function readOperation(reader: WireReader): Operation {
  const operation = OPERATION_NAMES.get(reader.u8());
  if (operation !== undefined) return operation;
  throw new SidekeyError('wire_malformed', 'unknown operation');
}

export function readUseEnded(reader: WireReader): UseEnded {
  return {
    leave: reader.u64(),
    client: reader.u64(),
    slot: reader.number(),
    handle: reader.number(),
    mechanism: reader.number(),
    operation: OPERATION_NAMES.get(reader.u8()) ?? null,
    status: reader.u32(),
  };
}

function readLatency(reader: WireReader): LatencySeen {
  const operation = readOperation(reader);
  const nanoseconds = reader.number();
  return { operation, nanoseconds, times: readList(reader, (each) => each.number()) };
}

export function readState(reader: WireReader, version: number = LIMITS.version): KeeperState {
  return {
    lockedBytes: reader.number(),
    usedBytes: reader.number(),
    kind: reader.u8() === 1 ? 'memfd_secret' : 'mlock',
    cells: reader.u32(),
    clients: reader.u32(),
    bindings: reader.u32(),
    parked: reader.u32(),
    hotOperations: reader.number(),
    misses: reader.number(),
    sampledOneOf: version < 2 ? 1 : reader.u32(),
    latencies: version < 2 ? [] : readList(reader, readLatency),
    gcm: version >= 2 && reader.u8() === 1 ? 'ipsec-mb' : 'openssl',
  };
}

function readGroups(reader: WireReader): number[] {
  const count = reader.u32();
  if (count > GROUPS_MAX) throw new SidekeyError('wire_malformed', `${count} groups`);
  return Array.from({ length: count }, () => reader.u32());
}

/** The layout of version 2; version 1 lacks the last fields. */
export function readClientOpened(reader: WireReader, version: number = LIMITS.version): ClientSeen {
  return {
    client: reader.u64(),
    pid: reader.u32(),
    uid: reader.u32(),
    gid: reader.u32(),
    groups: readGroups(reader),
    program: reader.text(NAME_MAX),
    ...(version < 2 ? {} : { wire: reader.u32() }),
    note: null,
  };
}

export function readClientSeen(reader: WireReader, version: number = LIMITS.version): ClientSeen {
  const client = readClientOpened(reader, version);
  const [shared, errno] = [reader.u8() !== 0, reader.u32()];
  const ring: RingState = shared ? { shared } : { shared, refused: errno === 0 ? null : errno };
  return { ...client, ring, note: copyOptional(reader, LIMITS.noteMax) };
}

/** A process that was refused: its module speaks no supported version. */
export interface ClientRefused {
  readonly wire: number;
  readonly pid: number;
  readonly uid: number;
  readonly program: string;
}

export function readClientRefused(reader: WireReader): ClientRefused {
  return { wire: reader.u32(), pid: reader.u32(), uid: reader.u32(), program: reader.text(NAME_MAX) };
}

export function readCellSeen(reader: WireReader): CellSeen {
  const cell = reader.u64();
  const owner = reader.u64();
  const left = reader.number();
  const note = copyOptional(reader, LIMITS.noteMax);
  return { cell, owner: owner === 0n ? null : owner, leftMs: left === 0 ? null : left, note };
}

export function readUsageSeen(reader: WireReader): UsageSeen {
  const [client, uid, slot, handle] = [reader.u64(), reader.u32(), reader.number(), reader.number()];
  const operation = readOperation(reader);
  return { client, uid, slot, handle, operation, times: reader.number(), bytes: reader.number() };
}

export function writeNewKey(writer: WireWriter, key: NewKey): WireWriter {
  return writer
    .u32(key.objectClass)
    .u64(key.keyType)
    .u64(key.owner ?? 0n)
    .u64(key.leaseMs ?? 0)
    .u64(key.uses ?? 0)
    .bytes(key.note)
    .u64(key.seal?.by ?? 0n)
    .bytes(key.seal?.aad ?? Buffer.alloc(0));
}

export function readMade(reader: WireReader): MadeKey {
  return {
    cell: reader.u64(),
    components: copyTemplate(reader),
    blob: copyOptional(reader, LIMITS.blobMax),
  };
}

export function readEncapsulated(reader: WireReader): { made: MadeKey; ciphertext: Buffer } {
  return { made: readMade(reader), ciphertext: Buffer.from(reader.bytes(LIMITS.dataMax)) };
}

export function writeGenerate(key: NewKey, mechanism: Mechanism, template: readonly Attribute[]): WireWriter {
  const writer = writeNewKey(new WireWriter(), key);
  writeMechanism(writer, mechanism);
  writeTemplate(writer, template);
  return writer;
}

/** A key is derived from a cell's key, or from what a routed request brought. */
export interface Derivation {
  readonly base?: bigint;
  readonly routedId?: bigint;
  readonly other?: bigint | null;
  readonly mechanism: Mechanism;
  readonly lengthBytes: number | null;
}

export function writeDerive(key: NewKey, from: Derivation): WireWriter {
  const writer = writeNewKey(new WireWriter(), key).u64(from.base ?? 0n);
  writeMechanism(writer, from.mechanism);
  return writer
    .u64(from.lengthBytes ?? 0)
    .u64(from.other ?? 0n)
    .u64(from.routedId ?? 0n);
}

export function writeImport(key: NewKey, routedId: bigint, components: readonly Attribute[]): WireWriter {
  const writer = writeNewKey(new WireWriter(), key).u64(routedId);
  writeTemplate(writer, components);
  return writer;
}

/**
 * The pieces of cell_operate: `begin` carries the mechanism; `final` of a verification carries the signature.
 */
export interface OperateStep {
  readonly cell: bigint;
  readonly operation: Operation;
  readonly number: bigint;
  readonly flags: number;
  readonly mechanism: Mechanism;
  readonly data: Buffer;
  readonly signature: Buffer | null;
}

/** The fixed part of a step: cell, flags, operation, number, two lengths; then place, handle, mechanism. */
const STEP_BYTES = 8 + 1 + 1 + 8 + 4 + 4;
const BEGIN_BYTES = 8 + 8 + 1 + 8 + 8 + 4;

/** Length of the body that writeOperate writes. */
export function operateBytes({ flags, mechanism, data, signature }: OperateStep): number {
  const begin = flags & OPERATE.begin ? BEGIN_BYTES + mechanism.params.length : 0;
  return STEP_BYTES + begin + data.length + (signature?.length ?? 0);
}

export function writeOperate(
  step: OperateStep,
  writer: WireWriter = new WireWriter(operateBytes(step)),
): WireWriter {
  writer.u64(step.cell).u8(step.flags).u8(OPERATIONS[step.operation]).u64(step.number);
  if (step.flags & OPERATE.begin) {
    writer.u64(0).u64(0).u8(0).u64(0);
    writeMechanism(writer, step.mechanism);
  }
  return writer.bytes(step.data).bytes(step.signature);
}

/** What such a body begins with, up to the mechanism's parameters. */
const HEAD_BYTES = 8 + 1 + 1 + 8 + 8 + 8 + 1 + 8 + 8;
/** Before a byte string. */
const LENGTH_BYTES = 4;

function beginsAlike(a: OperateStep, b: OperateStep): boolean {
  if ((a.flags & OPERATE.begin) === 0 || a.flags !== b.flags || a.number !== b.number) return false;
  return a.cell === b.cell && a.operation === b.operation && a.mechanism.type === b.mechanism.type;
}

/** The same, `back` bytes behind where `last` was written: many begin alike, and then that is copied. */
export function writeNext(step: OperateStep, writer: WireWriter, last: OperateStep, back: number): void {
  if (!beginsAlike(last, step)) writeOperate(step, writer);
  else writer.again(back, HEAD_BYTES).bytes(step.mechanism.params).bytes(step.data).bytes(step.signature);
}

/** What stands before and after the nonce, up to the data, in the bodies of steps that differ in nonce and data alone. */
export function aroundNonce(step: OperateStep): readonly [before: Buffer, after: Buffer] {
  const body = writeOperate(step).done();
  const nonceAt = HEAD_BYTES + LENGTH_BYTES + LENGTH_BYTES;
  const dataAt = HEAD_BYTES + LENGTH_BYTES + step.mechanism.params.length;
  return [body.subarray(0, nonceAt), body.subarray(nonceAt + NONCE_BYTES, dataAt)];
}

/** Wipes the body. */
export function readOutput(body: Buffer): Buffer {
  return readBody(body, (reader) => reader.bytes(LIMITS.bodyMax));
}

/**
 * Rejects what that version cannot express: a key whose every use is recorded must not be used unrecorded.
 */
export function writeBinding(binding: Binding, version: number = LIMITS.version): WireWriter {
  if (version < 2 && binding.eachAsks)
    throw new SidekeyError(
      'wire_version',
      'the keeper is of the previous release and cannot record each use: restart it',
    );
  let operations = 0;
  for (const operation of binding.operations) operations |= 1 << OPERATIONS[operation];
  const writer = new WireWriter().u64(binding.client).u64(binding.slot).u64(binding.handle).u32(operations);
  writer.u64(binding.cell).u32(binding.mechanisms.length);
  for (const mechanism of binding.mechanisms) writer.u64(mechanism);
  writer.u8(binding.contextLogin ? 1 : 0).u32(binding.credits);
  return version < 2 ? writer : writer.u8(binding.eachAsks ? 1 : 0);
}
