/** A token that shows some keys of its key service, and the requests of programs for them. */
import { CKA } from '../../src/tokens/cryptoki.ts';
import type { NewResidentKey, ResidentUse } from '../../src/tokens/resident-port.ts';
import type { ResidentOptions } from '../../src/tokens/token-catalogue.ts';
import { WireReader, WireWriter } from '../../src/wire/buffer.ts';
import { OPERATE, OPERATIONS } from '../../src/wire/tables.ts';
import { MemoryKeys } from '../fakes/memory-keys.ts';
import { makeRig, Program } from './rig.ts';

export const OPTIONS: ResidentOptions = { prefix: 'app-', refreshMs: 1000, create: true, destroy: true };
export const ECDSA_SHA256 = 0x1044;
export const MESSAGE = Buffer.from('to be signed');
export const NO_PARAMS: Buffer = Buffer.alloc(0);

export async function scene(login: 'pin' | 'none' = 'none', options: Partial<ResidentOptions> = {}) {
  const keys = new MemoryKeys();
  const rig = await makeRig(':memory:', login, 1000, { keys, options: { ...OPTIONS, ...options } });
  return { keys, rig, app: await Program.start(rig, 1n) };
}

export function key(name: string, spec: NewResidentKey['spec'], ...uses: ResidentUse[]): NewResidentKey {
  return { name, spec, uses, sizeBits: 256, ckaId: Buffer.alloc(0) };
}

export type Operation = keyof typeof OPERATIONS;

export interface Step {
  readonly flags: number;
  readonly data: Buffer;
  readonly signature?: Buffer;
}

export class Service {
  readonly #app: Program;
  #number = 1n;

  constructor(app: Program) {
    this.#app = app;
  }

  async check(operation: Operation, handle: number, type: number, params = NO_PARAMS): Promise<number[]> {
    const body = this.#app.place().u8(OPERATIONS[operation]).u64(handle).u64(type).bytes(params);
    const reader = new WireReader(await this.#app.send('resident_check', body));
    return [reader.u8(), reader.u32(), reader.u32(), reader.u32(), reader.u8()];
  }

  async step(number: bigint, operation: Operation, step: Step, begin: Buffer | null = null): Promise<Buffer> {
    const flags = step.flags | (begin === null ? 0 : OPERATE.begin);
    const body = new WireWriter().u8(flags).u8(OPERATIONS[operation]).u64(number);
    if (begin !== null) body.raw(begin);
    body.bytes(step.data).bytes(step.signature ?? null);
    return Buffer.from(new WireReader(await this.#app.send('resident_operate', body)).bytes(1 << 17));
  }

  begin(handle: number, type: number, params: Buffer): Buffer {
    return this.#app.place().u64(handle).u64(type).bytes(params).done();
  }

  /** In one part per element of `data`. */
  async run(
    operation: Operation,
    handle: number,
    type: number,
    data: readonly Buffer[],
    more: { params?: Buffer; signature?: Buffer } = {},
  ): Promise<Buffer> {
    const number = this.#number++;
    let output = NO_PARAMS;
    for (const [i, part] of data.entries()) {
      const flags = i === data.length - 1 ? OPERATE.final : 0;
      const begin = i === 0 ? this.begin(handle, type, more.params ?? NO_PARAMS) : null;
      const signature = flags === OPERATE.final && more.signature ? { signature: more.signature } : {};
      output = await this.step(number, operation, { flags, data: part, ...signature }, begin);
    }
    return output;
  }
}

export async function only(app: Program, objectClass: number, label: string): Promise<number> {
  const [handle = 0, ...others] = await app.find({ [CKA.CLASS]: objectClass, [CKA.LABEL]: label });
  if (others.length > 0 || handle === 0) throw new Error(`not one object ${label}`);
  return handle;
}

export async function listed(app: Program): Promise<Map<number, number>> {
  const reader = new WireReader(await app.send('mechanisms', new WireWriter().u64(app.slot)));
  const rows = Array.from({ length: reader.u32() }, () =>
    [reader.number(), reader.number(), reader.u64(), reader.u64()].map(Number),
  );
  return new Map(rows.map(([type = 0, flags = 0]) => [type, flags]));
}
