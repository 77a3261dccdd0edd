/**
 * Appends to the audit log: one line per act, on disk before the act is answered; only use counters may
 * follow later. Frequent acts share one wait for the disk. A line torn by a crash is moved aside and noted in
 * the chain. If a line cannot be written, the act fails.
 */
import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { DiskSync, syncFile } from '../disk-sync.ts';
import { SidekeyError } from '../errors.ts';
import type { AuditSink, Clock } from '../tokens/ports.ts';
import { formatLine, LINE_MAX_BYTES, parseLine, sha256, START, type AuditFields } from './audit-line.ts';

const NEWLINE = 0x0a;
/** So much is kept to be written again; then a line waits for the disk. */
const UNSYNCED_MAX_BYTES = 1024 * 1024;
/** Counters: a crash may lose the latest ones. */
const MAY_COME_LATER: ReadonlySet<string> = new Set(['key-used']);

/**
 * On disk when durable() resolves, which their answers await. All other lines are on disk when record()
 * returns.
 */
const SHARED: ReadonlySet<string> = new Set([
  'agent-started',
  'each-use-ended',
  ...['login', 'login-for-key', 'logout'],
  ...['object-created', 'object-copied', 'object-changed', 'object-destroyed'],
  ...['key-generated', 'key-unwrapped', 'key-derived', 'key-wrapped', 'data-derived'],
]);

interface Tail {
  readonly seq: number;
  readonly prev: string;
  /** Bytes after the last newline, left by a crash. */
  readonly torn: Buffer;
  readonly wholeBytes: number;
}

function readTail(path: string, fd: number): Tail {
  const { size } = fstatSync(fd);
  const bytes = Buffer.alloc(Math.min(size, 2 * LINE_MAX_BYTES));
  readSync(fd, bytes, 0, bytes.length, size - bytes.length);
  const end = bytes.lastIndexOf(NEWLINE);
  const torn = bytes.subarray(end + 1);
  const wholeBytes = size - torn.length;
  if (wholeBytes === 0) return { seq: 0, prev: START, torn, wholeBytes };
  const begin = end < 1 ? 0 : bytes.lastIndexOf(NEWLINE, end - 1) + 1;
  const text = bytes.toString('utf8', begin, end);
  const line = parseLine(text);
  if (!line)
    throw new SidekeyError(
      'audit_broken',
      `the last line of ${path} is damaged: move the file away, and keep it`,
    );
  return { seq: line.seq, prev: sha256(text), torn, wholeBytes };
}

/** How the file is brought to the disk: at once, or beside the event loop. */
export interface Sync {
  readonly now: (fd: number) => void;
  readonly later: (fd: number) => Promise<void>;
}

export class AuditLog implements AuditSink {
  readonly #path: string;
  readonly #clock: Pick<Clock, 'now'>;
  readonly #fd: number;
  readonly #sync: Sync;
  #seq: number;
  #prev: string;
  readonly #disk = new DiskSync(() => this.#syncLater());
  /** Lines of which the disk has not said that it has them. */
  #unsynced: Buffer[] = [];
  #unsyncedBytes = 0;
  /** Where they begin, if the disk has refused some of them. Linux says so once, and then takes them for written. */
  #suspectFrom: number | null = null;

  constructor(path: string, clock: Pick<Clock, 'now'>, sync: Sync = { now: fsyncSync, later: syncFile }) {
    this.#path = path;
    this.#clock = clock;
    this.#sync = sync;
    this.#fd = openLog(path);
    const { seq, prev, torn, wholeBytes } = readTail(path, this.#fd);
    this.#seq = seq;
    this.#prev = prev;
    if (torn.length > 0) this.#setAside(torn, wholeBytes);
  }

  record(event: string, fields: AuditFields): void {
    const seq = this.#seq + 1;
    const time = new Date(this.#clock.now()).toISOString();
    const line = formatLine({ seq, time, event, fields, prev: this.#prev });
    const isAwaited = !SHARED.has(event) && !MAY_COME_LATER.has(event);
    try {
      this.#append(Buffer.from(`${line}\n`, 'utf8'), isAwaited || this.#unsyncedBytes > UNSYNCED_MAX_BYTES);
    } catch (cause) {
      throw new SidekeyError('audit_failed', `cannot write ${this.#path}`, { cause });
    }
    if (SHARED.has(event)) this.#disk.wrote();
    this.#seq = seq;
    this.#prev = sha256(line);
  }

  async durable(): Promise<void> {
    try {
      await this.#disk.durable();
    } catch (cause) {
      throw new SidekeyError('audit_failed', `cannot write ${this.#path}`, { cause });
    }
  }

  close(): void {
    this.#writeAgain();
    fsyncSync(this.#fd);
    closeSync(this.#fd);
  }

  /**
   * All or nothing: neither half a line may precede the next, nor a line whose act failed because it did not
   * reach the disk.
   */
  #append(bytes: Buffer, isAwaited: boolean): void {
    this.#writeAgain();
    const { size } = fstatSync(this.#fd);
    try {
      this.#write(bytes);
      if (isAwaited) this.#syncNow(size);
    } catch (error) {
      ftruncateSync(this.#fd, size);
      throw error;
    }
    if (!isAwaited) this.#keep(bytes);
  }

  #write(bytes: Buffer): void {
    if (writeSync(this.#fd, bytes) !== bytes.length) throw new Error('the disk took a part of the line only');
  }

  #keep(bytes: Buffer): void {
    this.#unsynced.push(bytes);
    this.#unsyncedBytes += bytes.length;
  }

  /** The first lines of those that are kept are on the disk. */
  #synced(count: number): void {
    for (const { length } of this.#unsynced.splice(0, count)) this.#unsyncedBytes -= length;
  }

  /** `size`: without the line that is written last. */
  #syncNow(size: number): void {
    try {
      this.#sync.now(this.#fd);
    } catch (error) {
      this.#suspectFrom = size - this.#unsyncedBytes;
      throw error;
    }
    this.#synced(this.#unsynced.length);
  }

  async #syncLater(): Promise<void> {
    this.#writeAgain();
    const first = this.#unsynced[0];
    const count = this.#unsynced.length;
    try {
      await this.#sync.later(this.#fd);
    } catch (error) {
      this.#suspectFrom = fstatSync(this.#fd).size - this.#unsyncedBytes;
      throw error;
    }
    // Another sync may have ended meanwhile.
    if (this.#unsynced[0] === first && this.#suspectFrom === null) this.#synced(count);
  }

  /** Whatever the disk may have lost, as if it were new. */
  #writeAgain(): void {
    if (this.#suspectFrom === null) return;
    const { size } = fstatSync(this.#fd);
    ftruncateSync(this.#fd, Math.max(0, Math.min(size, this.#suspectFrom)));
    this.#write(Buffer.concat(this.#unsynced));
    this.#suspectFrom = null;
  }

  #setAside(torn: Buffer, wholeBytes: number): void {
    const aside = `${this.#path}.torn-${this.#clock.now()}`;
    writeFileSync(aside, torn, { mode: 0o600, flag: 'wx' });
    ftruncateSync(this.#fd, wholeBytes);
    this.record('audit-torn', { bytes: torn.length, sha256: sha256(torn.toString('utf8')), file: aside });
  }
}

function openLog(path: string): number {
  try {
    return openSync(
      path,
      constants.O_RDWR | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW,
      0o600,
    );
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new SidekeyError('audit_failed', `cannot open ${path}: ${reason}`, { cause });
  }
}
