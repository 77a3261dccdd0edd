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

export class AuditLog implements AuditSink {
  readonly #path: string;
  readonly #clock: Pick<Clock, 'now'>;
  readonly #fd: number;
  readonly #sync: (fd: number) => void;
  #seq: number;
  #prev: string;
  readonly #disk = new DiskSync(() => syncFile(this.#fd));

  constructor(path: string, clock: Pick<Clock, 'now'>, sync: (fd: number) => void = fsyncSync) {
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
    try {
      this.#append(Buffer.from(`${line}\n`, 'utf8'), !SHARED.has(event) && !MAY_COME_LATER.has(event));
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
    fsyncSync(this.#fd);
    closeSync(this.#fd);
  }

  /**
   * All or nothing: neither half a line may precede the next, nor a line whose act failed because it did not
   * reach the disk.
   */
  #append(bytes: Buffer, isAwaited: boolean): void {
    const { size } = fstatSync(this.#fd);
    try {
      if (writeSync(this.#fd, bytes) !== bytes.length)
        throw new Error('the disk took a part of the line only');
      if (isAwaited) this.#sync(this.#fd);
    } catch (error) {
      ftruncateSync(this.#fd, size);
      throw error;
    }
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
