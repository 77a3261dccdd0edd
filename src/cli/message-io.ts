/** Reads and writes a command's message: files or pipes, as bytes. The caller wipes secrets. */
import { createReadStream, statSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { SidekeyError } from '../errors.ts';
import { textOption, type Invocation } from './command.ts';
import { writeOutput } from './output-file.ts';
import { startProgress } from './progress.ts';

export const IN_OPTION = {
  in: { type: 'string', value: 'FILE', help: 'input file; default: stdin' },
} as const;
export const OUT_OPTION = {
  out: {
    type: 'string',
    value: 'FILE',
    help: 'output file, always a new one of mode 0600, which replaces an existing file but no symbolic link; default: stdout',
  },
} as const;

/** Node's message names the file where it has a path. */
export function fileRefused(name: string, cause: unknown): SidekeyError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  const text = reason.includes(name) ? reason : `${name}: ${reason}`;
  return new SidekeyError('file_refused', text, { cause });
}

/** null: stdin, or a file without a length. */
function sizeOf(path: string | undefined): number | null {
  if (path === undefined) return null;
  try {
    const found = statSync(path);
    return found.isFile() ? found.size : null;
  } catch (cause) {
    throw fileRefused(path, cause);
  }
}

/** Calls `take` with each piece, in order, and then wipes it. Shows progress. */
export async function readPieces(invocation: Invocation, take: (piece: Buffer) => void): Promise<void> {
  const path = textOption(invocation.values, 'in');
  const progress = startProgress(invocation.streams.errors, path ?? 'stdin', sizeOf(path));
  const source: Readable = path === undefined ? invocation.streams.input : createReadStream(path);
  try {
    for await (const piece of source as AsyncIterable<Buffer>) {
      take(piece);
      progress.add(piece.length);
      piece.fill(0);
    }
  } catch (cause) {
    throw cause instanceof SidekeyError ? cause : fileRefused(path ?? 'stdin', cause);
  } finally {
    progress.end();
  }
}

/** The whole message, in its own Buffer. Rejects with file_refused if it is longer; `cure` says what to do then. */
export async function readMessage(invocation: Invocation, maxBytes: number, cure = ''): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let length = 0;
  try {
    await readPieces(invocation, (piece) => {
      length += piece.length;
      if (length > maxBytes)
        throw new SidekeyError('file_refused', `the message is longer than ${maxBytes} bytes${cure}`);
      pieces.push(Buffer.from(piece));
    });
    return Buffer.concat(pieces);
  } finally {
    for (const piece of pieces) piece.fill(0);
  }
}

/**
 * Whether a terminal would show all of it: no control characters but tab and line ends, C1 (C2 80 to C2 9F in
 * UTF-8) included.
 */
export function isForTerminal(bytes: Buffer): boolean {
  const isControl = (byte: number, at: number): boolean =>
    byte < 0x20 ? byte < 0x09 || byte > 0x0d : byte === 0x7f || (byte < 0xa0 && bytes[at - 1] === 0xc2);
  return !bytes.some((byte, at) => isControl(byte, at));
}

export async function writeMessage(invocation: Invocation, bytes: Buffer): Promise<void> {
  const path = textOption(invocation.values, 'out');
  const { output } = invocation.streams;
  if (path !== undefined) return writeOutput(path, bytes);
  if (output.isTTY && !isForTerminal(bytes))
    throw new SidekeyError('file_refused', 'the result is binary and stdout is a terminal: use --out FILE');
  await new Promise<void>((done, fail) => output.write(bytes, (error) => (error ? fail(error) : done())));
}
