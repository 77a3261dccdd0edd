/**
 * resident_check and resident_operate: operations with keys in a key service (ARCHITECTURE.md, "Resident
 * keys").
 */
import { SidekeyError } from '../../errors.ts';
import { WireWriter, type WireReader } from '../../wire/buffer.ts';
import { LIMITS, OPERATE, OPERATIONS, RESIDENT_FROM } from '../../wire/tables.ts';
import { readMechanism } from '../../wire/template.ts';
import { findCaller, getObject, readPlace, type Caller } from '../caller.ts';
import type { Domain } from '../domain.ts';
import { recordedUse, recordRefusedHandle } from '../key-use/each-use.ts';
import { demandUse } from '../key-use/key-access.ts';
import { checkUse } from '../key-use/key-use.ts';
import { RunningOperation, type Asked } from '../resident/operations.ts';
import type { Plan } from '../resident/plan.ts';
import { planUse, runUse } from '../resident/use.ts';
import type { ResidentKey } from '../resident-port.ts';
import type { RoutedRequest } from '../service.ts';
import { keyTypeOf, type TokenObject } from '../objects/token-object.ts';
import type { Handler } from './handler.ts';

const USES: ReadonlyMap<number, Asked['use']> = new Map([
  [OPERATIONS.encrypt, 'encrypt'],
  [OPERATIONS.decrypt, 'decrypt'],
  [OPERATIONS.sign, 'sign'],
  [OPERATIONS.verify, 'verify'],
]);

function toUse(operation: number): Asked['use'] {
  const use = USES.get(operation);
  if (use === undefined)
    throw new SidekeyError('function_not_supported', 'this operation does not use a key');
  return use;
}

function readAsked(reader: WireReader, place: Asked['place'], use: Asked['use']): Asked {
  const handle = reader.number();
  const { type, params } = readMechanism(reader);
  return { place, handle, use, mechanism: { type, params: Buffer.from(params) } };
}

interface Permitted {
  readonly caller: Caller;
  readonly object: TokenObject;
  readonly key: ResidentKey;
  readonly keyType: number;
  readonly plan: Plan;
}

/** Checks everything that could forbid the use: login, rules, flags, mechanism and parameter. */
async function permit(domain: Domain, request: RoutedRequest, asked: Asked): Promise<Permitted> {
  const caller = await findCaller(domain, request.client, asked.place, asked.handle);
  try {
    return check(domain, caller, asked);
  } catch (error) {
    const { use, mechanism } = asked;
    recordRefusedHandle(domain, caller, asked.handle, { use, mechanism: mechanism.type }, error);
    throw error;
  }
}

function check(domain: Domain, caller: Caller, { handle, use, mechanism }: Asked): Permitted {
  const object = getObject(domain, caller, handle, 'key_handle_invalid');
  if (object.resident === undefined || handle < RESIDENT_FROM)
    throw new SidekeyError('key_handle_invalid', `key ${handle} is not a resident key`);
  checkUse(domain, object, use, mechanism.type, domain.clock.now());
  demandUse(domain, caller, object, use);
  const plan = planUse(object.resident, use, mechanism);
  return { caller, object, key: object.resident, keyType: keyTypeOf(object) ?? 0, plan };
}

export const handleResidentCheck: Handler = async (domain, request, reader) => {
  const place = readPlace(reader);
  const use = toUse(reader.u8());
  const asked = readAsked(reader, place, use);
  reader.end();
  const { plan, key, keyType } = await permit(domain, request, asked);
  const writer = new WireWriter(16).u8(plan.rule).u32(plan.size);
  return writer.u32(keyType).u32(key.sizeBits).u8(0).done();
};

async function finish(
  domain: Domain,
  request: RoutedRequest,
  running: RunningOperation,
  signature: Buffer | null,
): Promise<Buffer> {
  const { asked } = running;
  const { caller, object, key, plan } = await permit(domain, request, asked);
  const { client, token } = caller;
  const source = domain.resident.service(token);
  if (source === null) throw new SidekeyError('key_handle_invalid', 'the token no longer has resident keys');
  const data = running.take();
  const each = { peer: client.peer, token, object, use: asked.use, mechanism: asked.mechanism.type };
  const work = async (): Promise<Buffer> => {
    const output = await runUse(source.service, key, plan, { operation: asked.use, input: data, signature });
    domain.residentOperations.count(request.client, client.peer.uid, asked, running.bytes);
    return output;
  };
  return recordedUse(domain, each, work, (output) => output.fill(0)).finally(() => data.fill(0));
}

function reply(output: Buffer): Buffer {
  const body = new WireWriter(output.length + 4).bytes(output).done();
  output.fill(0);
  return body;
}

const NOTHING = Buffer.alloc(0);

interface Part {
  readonly flags: number;
  readonly number: bigint;
  /** Set with BEGIN; null: part of an operation already begun. */
  readonly asked: Asked | null;
  readonly data: Buffer;
  readonly signature: Buffer | null;
}

function readPart(reader: WireReader): Part {
  const flags = reader.u8();
  const operation = reader.u8();
  const number = reader.u64();
  const isBegin = (flags & OPERATE.begin) !== 0;
  const asked = isBegin ? readAsked(reader, readPlace(reader), toUse(operation)) : null;
  const data = reader.optionalBytes(LIMITS.dataMax) ?? NOTHING;
  const signature = reader.optionalBytes(LIMITS.signatureMax);
  reader.end();
  return { flags, number, asked, data, signature };
}

export const handleResidentOperate: Handler = async (domain, request, reader) => {
  const { flags, number, asked, data, signature } = readPart(reader);
  const { residentOperations: operations } = domain;
  if ((flags & OPERATE.cancel) !== 0) {
    operations.drop(request.client, number);
    return reply(NOTHING);
  }
  if ((flags & OPERATE.more) !== 0)
    throw new SidekeyError('operation_not_initialized', 'the operation has no remaining output');
  const running =
    asked === null
      ? operations.take(request.client, number)
      : new RunningOperation(asked, (await permit(domain, request, asked)).plan);
  try {
    running.add(data);
    if ((flags & OPERATE.final) !== 0) return reply(await finish(domain, request, running, signature));
    operations.keep(request.client, number, running);
    return reply(NOTHING);
  } catch (error) {
    running.wipe();
    throw error;
  }
};
