/**
 * The process around a vendor's PKCS#11 library, started by worker-process.ts: frames on descriptor 3, nothing else. The library may write to
 * standard output, block, or crash. Ends when the agent's end of the socket closes.
 */
import { Socket } from 'node:net';
import { refuseDumps } from '../../access/peer-credentials.ts';
import { CODE, encodeFrame, HsmFrameDecoder, type HsmFrame } from './frame.ts';
import { mechanismOf, NO_MECHANISM } from './mechanism.ts';
import type { ResidentRequest } from './resident-request.ts';
import { ResidentToken } from './resident-worker.ts';
import { HsmFault, toHsmFault, type Meaning } from './return-codes.ts';
import { HsmToken, type Crypt } from './token.ts';
import type { WorkerOptions } from './worker-options.ts';

// PIN and data keys are here in the clear. A limit of 0 alone would not keep a core from a program that the kernel pipes it to (core(5)).
refuseDumps();

const ANSWER: Readonly<Record<Meaning, number>> = {
  refused: CODE.refused,
  pin: CODE.pinRefused,
  stale: CODE.lost,
  lost: CODE.lost,
  data: CODE.dataInvalid,
};

let token: HsmToken | null = null;
let resident: ResidentToken | null = null;

function configure([options, pin]: readonly Buffer[]): Buffer {
  if (!options) throw new HsmFault('refused', 'no options');
  const parsed = JSON.parse(options.toString('utf8')) as WorkerOptions;
  token = new HsmToken(parsed, pin?.length ? pin : null);
  resident = new ResidentToken(token, parsed.key);
  return Buffer.from([token.start()?.id ?? NO_MECHANISM]);
}

function toCrypt([mechanism, iv, aad, data]: readonly Buffer[]): Crypt {
  if (!mechanism || !iv || !aad || !data) throw new HsmFault('refused', 'a field is missing');
  return { mechanism: mechanismOf(mechanism[0] ?? 0), iv, aad, data };
}

async function answer(code: number, fields: readonly Buffer[]): Promise<Buffer> {
  if (code === CODE.configure) return configure(fields);
  if (!token || !resident) throw new HsmFault('lost', 'not configured');
  if (code === CODE.encrypt) return token.encrypt(toCrypt(fields));
  if (code === CODE.decrypt) return token.decrypt(toCrypt(fields));
  if (code === CODE.resident) return answerResident(resident, fields);
  return Buffer.from(token.health(), 'utf8');
}

function answerResident(keys: ResidentToken, [request, data]: readonly Buffer[]): Promise<Buffer> {
  if (!request || !data) throw new HsmFault('refused', 'a field is missing');
  return keys.answer(JSON.parse(request.toString('utf8')) as ResidentRequest, data);
}

const socket = new Socket({ fd: 3, readable: true, writable: true });
const decoder = new HsmFrameDecoder();

function send(frame: HsmFrame): void {
  const bytes = encodeFrame(frame);
  socket.write(bytes, () => bytes.fill(0));
  frame.fields.forEach((field) => field.fill(0));
}

async function serve({ number, code, fields }: HsmFrame): Promise<void> {
  try {
    send({ number, code: CODE.ok, fields: [await answer(code, fields)] });
  } catch (error) {
    const fault = toHsmFault(error);
    send({ number, code: ANSWER[fault.meaning], fields: [Buffer.from(fault.message, 'utf8')] });
  } finally {
    // The PIN stays with the token, for a session that was lost.
    if (code !== CODE.configure) fields.forEach((field) => field.fill(0));
  }
}

socket.on('data', (chunk: Buffer) => decoder.push(chunk).forEach((frame) => void serve(frame)));
socket.on('error', () => process.exit(0));
socket.on('close', () => {
  try {
    token?.stop();
  } finally {
    process.exit(0);
  }
});
