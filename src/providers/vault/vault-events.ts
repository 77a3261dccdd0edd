/**
 * Vault's event stream over a WebSocket, where the server has one (`events` in the configuration): each event that comes is a hint that something
 * changed, after which the keys' leases are asked for anew. What an event says is not believed and not read: it can only cost a question. A stream
 * that was lost may have missed some, so its return is a hint as well. It does not go through the proxies of the environment.
 */
import type { WebSocket } from 'ws';
import type { Logger } from '../../log/logger.ts';
import type { Timer } from '../../tokens/ports.ts';
import { fraction } from '../http/service-call.ts';
import { readTlsFiles, type TlsPaths } from '../http/tls-files.ts';
import type { VaultTokens } from './vault-client.ts';

const PAUSE_FIRST_MS = 250;
const PAUSE_MAX_MS = 15_000;
/** What servers say that have no such stream, and how long they are left alone. */
const NO_STREAM: ReadonlySet<number> = new Set([400, 404, 405, 501]);
const REFUSED_PAUSE_MS = 300_000;
const HANDSHAKE_MS = 5000;
const PING_MS = 15_000;
const MESSAGE_MAX_BYTES = 256 * 1024;
/** However many events come, questions are so far apart. */
const HINT_EVERY_MS = 500;

export interface VaultEventsOptions {
  /** Names the provider in the log. */
  readonly what: string;
  readonly address: string;
  readonly namespace: string | null;
  readonly type: string;
  readonly filter: string | null;
  readonly tls: TlsPaths;
  readonly tokens: VaultTokens;
  readonly timer: Timer;
  readonly random: (bytes: number) => Buffer;
  readonly log: Logger;
}

/** Why a stream ended; `refused`: by an answer that is not about to change. */
class Ended extends Error {
  readonly isRefused: boolean;

  constructor(message: string, isRefused = false) {
    super(message);
    this.isRefused = isRefused;
  }
}

function eventsUrl({ address, type, filter }: VaultEventsOptions): URL {
  const base = new URL(address.endsWith('/') ? address : `${address}/`);
  const url = new URL(`v1/sys/events/subscribe/${type}`, base);
  url.protocol = base.protocol === 'https:' ? 'wss:' : 'ws:';
  url.searchParams.set('json', 'true');
  if (filter !== null) url.searchParams.set('filter', filter);
  return url;
}

export class VaultEvents {
  readonly #options: VaultEventsOptions;
  readonly #changed: () => void;
  readonly #aborter = new AbortController();
  #socket: WebSocket | null = null;
  #cancel: () => void = () => undefined;
  #cancelHint: (() => void) | null = null;
  #pauseMs = PAUSE_FIRST_MS;
  #wasOpen = false;
  #isHinted = false;

  constructor(options: VaultEventsOptions, changed: () => void) {
    this.#options = options;
    this.#changed = changed;
  }

  start(): void {
    void this.#run();
  }

  close(): void {
    this.#aborter.abort(new Ended('closed'));
    this.#cancel();
    this.#cancelHint?.();
    this.#socket?.terminate();
  }

  get #isClosed(): boolean {
    return this.#aborter.signal.aborted;
  }

  async #run(): Promise<void> {
    const { log, what, timer, random } = this.#options;
    const error: unknown = await this.#follow().catch((reason: unknown) => reason);
    if (this.#isClosed) return;
    const isRefused = error instanceof Ended && error.isRefused;
    log.warn({ provider: what, error }, 'the event stream ended; revocations will be noticed within `any`');
    const pauseMs = isRefused ? REFUSED_PAUSE_MS : this.#pauseMs;
    this.#pauseMs = Math.min(this.#pauseMs * 2, PAUSE_MAX_MS);
    this.#cancel = timer(pauseMs * (0.5 + fraction(random) / 2), () => void this.#run());
  }

  /** Rejects when the stream has ended, or could not be begun. */
  async #follow(): Promise<never> {
    const { tokens, namespace, tls } = this.#options;
    const token = await tokens.token(this.#aborter.signal);
    // Here: it brings node:http along, which an agent that starts has no use for yet.
    const { WebSocket } = await import('ws');
    const { promise, reject } = Promise.withResolvers<never>();
    const socket = new WebSocket(eventsUrl(this.#options), {
      headers: { 'x-vault-token': token, ...(namespace === null ? {} : { 'x-vault-namespace': namespace }) },
      ...readTlsFiles(tls),
      ...{ handshakeTimeout: HANDSHAKE_MS, maxPayload: MESSAGE_MAX_BYTES },
      ...{ perMessageDeflate: false, followRedirects: false },
    });
    this.#socket = socket;
    const endWatch = this.#watchPulse(socket);
    socket.on('open', () => this.#opened());
    socket.on('message', () => this.#hint());
    socket.on('unexpected-response', (_request, { statusCode = 0 }) => {
      socket.terminate();
      reject(new Ended(`status ${statusCode}`, NO_STREAM.has(statusCode)));
      if (statusCode === 403) tokens.replace(token).catch(() => undefined);
    });
    socket.on('error', reject);
    socket.on('close', (code) => reject(new Ended(`closed with ${code}`)));
    return promise.finally(endWatch);
  }

  #opened(): void {
    this.#options.log.info({ provider: this.#options.what }, 'following events');
    this.#pauseMs = PAUSE_FIRST_MS;
    if (this.#wasOpen) this.#hint();
    this.#wasOpen = true;
  }

  /** A peer that vanished says nothing: it is asked, and given up when it does not answer. */
  #watchPulse(socket: WebSocket): () => void {
    const { timer } = this.#options;
    let isAlive = true;
    let cancel = (): void => undefined;
    const beat = (): void => {
      if (!isAlive) return socket.terminate();
      isAlive = false;
      if (socket.readyState === socket.OPEN) socket.ping();
      cancel = timer(PING_MS, beat);
    };
    socket.on('pong', () => (isAlive = true));
    socket.on('open', () => (isAlive = true));
    cancel = timer(PING_MS, beat);
    return () => cancel();
  }

  /** At once, and for what comes meanwhile once more. */
  #hint(): void {
    if (this.#cancelHint !== null) return void (this.#isHinted = true);
    this.#isHinted = false;
    this.#changed();
    this.#cancelHint = this.#options.timer(HINT_EVERY_MS, () => {
      this.#cancelHint = null;
      if (this.#isHinted && !this.#isClosed) this.#hint();
    });
  }
}
