/**
 * What the keeper sends on its own: routed requests, resolve and events. They are held until the domain knows
 * the keeper's state, then passed on in order of arrival; a client's requests wait until it is known. Every
 * request gets exactly one answer.
 */
import { ERRORS, SidekeyError, type ErrorCode } from '../errors.ts';
import type { Logger } from '../log/logger.ts';
import type { UseEnded } from '../tokens/ports.ts';
import type { TokenService } from '../tokens/service.ts';
import type { WireReader } from '../wire/buffer.ts';
import { LIMITS, WHY, type MessageName } from '../wire/tables.ts';
import { readBody, readClientOpened, readClientRefused, readUseEnded, type ClientRefused } from './bodies.ts';
import type { Frame } from './frame-decoder.ts';
import type { KeeperConnection } from './keeper-connection.ts';

export type KeeperEvents = Pick<
  TokenService,
  'handle' | 'clientOpened' | 'clientClosed' | 'cellEnded' | 'useEnded' | 'keeperAttached' | 'keeperLost'
>;

const HELD_MAX = 16_384;
/** Lower statuses are faults of the service (errors.def); others are refusals, which the program sees. */
const REFUSALS_FROM = 32;
/** One log line per second and code: a failing store must not fill the journal. */
const FAULT_EVERY_MS = 1000;
/** Bodies with PINs or programs' data: wiped after the answer. */
const SECRET: ReadonlySet<MessageName> = new Set([
  'login',
  'init_token',
  'init_pin',
  'set_pin',
  'resident_operate',
]);

interface Arrived {
  readonly connection: KeeperConnection;
  readonly frame: Frame;
}

export class RoutedFrames {
  readonly #events: KeeperEvents | null;
  readonly #log: Logger;
  readonly #openings = new Map<bigint, Promise<void>>();
  readonly #faults = new Map<ErrorCode, { loggedAt: number; silent: number }>();
  #held: Arrived[] | null = [];
  readonly #refused: (client: ClientRefused) => void;
  /** The protocol version, as agreed at attach. */
  version: number = LIMITS.version;

  constructor(events: KeeperEvents | null, log: Logger, refused: (client: ClientRefused) => void) {
    this.#events = events;
    this.#log = log;
    this.#refused = refused;
  }

  accept(connection: KeeperConnection, frame: Frame): void {
    if (!this.#held) return this.#handOver({ connection, frame });
    if (this.#held.length >= HELD_MAX)
      throw new SidekeyError('busy', 'too many frames before the agent was ready');
    this.#held.push({ connection, frame });
  }

  /** From now on, frames are passed on as they arrive. */
  open(): void {
    const held = this.#held ?? [];
    this.#held = null;
    for (const arrived of held) this.#handOver(arrived);
  }

  close(): void {
    this.#held = [];
    this.#openings.clear();
  }

  #handOver(arrived: Arrived): void {
    const { message, body } = arrived.frame;
    if (!this.#events) return;
    if (message === 'client_opened') this.#clientOpened(body, this.#events);
    else if (message === 'client_closed') this.#clientClosed(readBody(body, readNumber), this.#events);
    else if (message === 'client_refused') this.#refused(readBody(body, readClientRefused));
    else if (message === 'use_ended') this.#useEnded(readBody(body, readUseEnded), this.#events);
    else if (message === 'cell_ended') this.#events.cellEnded(readBody(body, readCellEnded));
    else void this.#answer(arrived, this.#events);
  }

  #clientOpened(body: Buffer, events: KeeperEvents): void {
    const seen = readBody(body, (reader) => readClientOpened(reader, this.version));
    const opening = events.clientOpened(seen).catch((error) => {
      this.#log.error({ error, client: String(seen.client) }, 'cannot register a client');
    });
    this.#openings.set(seen.client, opening);
    void opening.then(() => {
      if (this.#openings.get(seen.client) === opening) this.#openings.delete(seen.client);
    });
  }

  #clientClosed(client: bigint, events: KeeperEvents): void {
    const opening = this.#openings.get(client);
    if (!opening) return events.clientClosed(client);
    void opening.then(() => events.clientClosed(client));
  }

  #useEnded(use: UseEnded, events: KeeperEvents): void {
    events.useEnded(use).catch((error) => {
      this.#log.error({ error, leave: String(use.leave) }, 'cannot record the end of a use');
    });
  }

  async #answer({ connection, frame }: Arrived, events: KeeperEvents): Promise<void> {
    const { message, id, client, body } = frame;
    let mayBeKept = false;
    const letKeep = (): void => void (mayBeKept = true);
    try {
      await this.#openings.get(client);
      const request = { message, id, client, body: this.#complete(message, body), letKeep };
      const reply = await events.handle(request);
      connection.reply(frame, 0, reply, mayBeKept);
      if (SECRET.has(message)) reply.fill(0);
    } catch (error) {
      connection.reply(frame, this.#statusOf(error, message), Buffer.alloc(0));
    } finally {
      if (SECRET.has(message)) body.fill(0);
    }
  }

  /** A keeper of version 1 does not say why it asks: assume a use. */
  #complete(message: MessageName, body: Buffer): Buffer {
    return message === 'resolve' && this.version < 2 ? Buffer.concat([body, Buffer.of(WHY.use)]) : body;
  }

  /** The caller only gets the code; the log has the details. */
  #statusOf(error: unknown, message: MessageName): number {
    const code = error instanceof SidekeyError ? error.code : 'internal';
    const status = ERRORS[code].wire ?? ERRORS.internal.wire;
    if (status < REFUSALS_FROM) this.#logFault(code, error, message);
    else this.#log.debug({ code, message, reason: String(error) }, 'a request was refused');
    return status;
  }

  #logFault(code: ErrorCode, error: unknown, message: MessageName): void {
    const now = performance.now();
    const last = this.#faults.get(code) ?? { loggedAt: -Infinity, silent: 0 };
    if (now - last.loggedAt < FAULT_EVERY_MS) {
      last.silent++;
      return;
    }
    this.#faults.set(code, { loggedAt: now, silent: 0 });
    this.#log.error({ code, error, message, notLogged: last.silent }, 'a request failed');
  }
}

function readNumber(reader: WireReader): bigint {
  return reader.u64();
}

/** Why a cell ended does not matter to the domain. */
function readCellEnded(reader: WireReader): bigint {
  const cell = reader.u64();
  reader.u8();
  return cell;
}
