/** A keeper by script: a real Unix socket that answers each message as it is told, and keeps what it was sent. */
import { createServer, type Server, type Socket } from 'node:net';
import { once } from 'node:events';
import { encodeFrame, FrameDecoder, type Frame, type OutgoingFrame } from '../../src/keeper/frame-decoder.ts';
import { WireWriter } from '../../src/wire/buffer.ts';
import { LIMITS, type MessageName } from '../../src/wire/tables.ts';
import { ERRORS } from '../../src/errors.ts';

/** A body, a status, or null for silence. */
export type Answer = (frame: Frame) => Buffer | number | null;

export class ScriptedKeeper {
  readonly sent: Frame[] = [];
  /** The one version that it speaks. */
  wire: number = LIMITS.version;
  readonly answers: Partial<Record<MessageName, Answer>> = {
    attach: ({ body }) =>
      body.readUInt32LE(0) === this.wire
        ? new WireWriter().u32(this.wire).u64(77).u32(4242).done()
        : ERRORS.wire_version.wire,
    mechanism_table: () => new WireWriter().u32(0).done(),
  };
  readonly #server: Server;
  #socket: Socket | null = null;

  constructor() {
    this.#server = createServer((socket) => this.#serve(socket));
  }

  async listen(path: string): Promise<void> {
    this.#server.listen(path);
    await once(this.#server, 'listening');
  }

  /** Sends a request or an event. */
  send(frame: OutgoingFrame): void {
    this.#socket?.write(encodeFrame(frame));
  }

  sendRaw(bytes: Buffer): void {
    this.#socket?.write(bytes);
  }

  /** As kill -9 would. */
  drop(): void {
    this.#socket?.destroy();
  }

  close(): void {
    this.drop();
    this.#server.close();
  }

  #serve(socket: Socket): void {
    this.#socket ??= socket;
    const decoder = new FrameDecoder();
    socket.on('error', () => undefined);
    socket.on('data', (chunk: Buffer) => decoder.push(chunk).forEach((frame) => this.#answer(socket, frame)));
  }

  /** It has no ring to give: what asks for one is a connection of its own, which ends. */
  #answer(socket: Socket, frame: Frame): void {
    if (frame.message === 'ring') return void socket.destroy();
    if (frame.message === 'attach') this.#socket = socket;
    this.sent.push(frame);
    if (frame.isReply) return;
    const answer = this.answers[frame.message]?.(frame) ?? null;
    if (answer === null) return;
    const { message, id } = frame;
    const reply = typeof answer === 'number' ? { status: answer } : { body: answer };
    socket.write(encodeFrame({ message, id, isReply: true, ...reply }));
  }
}
