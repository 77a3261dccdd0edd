/**
 * encrypt --stream and decrypt --stream: messages of any length, in constant memory, by the agent's streams
 * (docs/streams.md).
 */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createWriteStream, rmSync } from 'node:fs';
import { lstat, open, rename, rm } from 'node:fs/promises';
import { request, type IncomingMessage } from 'node:http';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { SidekeyError } from '../errors.ts';
import { refusalOf } from './agent-client.ts';
import { apiSocket, textOption, type Invocation } from './command.ts';
import { fileRefused } from './message-io.ts';
import { startProgress } from './progress.ts';

export const STREAM_OPTION = {
  stream: {
    type: 'boolean',
    help: 'for messages of any length, in the binary format of docs/streams.md; decryption needs it too',
  },
} as const;

/** What a stream has no place for. */
const OTHERS = ['context', 'key-version', 'json'] as const;

const SILENCE_MS = 90_000;
const REFUSAL_MAX_BYTES = 64 * 1024;
/** More than the header and two segments: the agent answers when it knows whether the first is the last. */
const DECIDING_BYTES = 256 * 1024;
const OK = 200;
const HUNG_UP: readonly unknown[] = ['EPIPE', 'ECONNRESET'];

interface Source {
  readonly bytes: Readable;
  readonly name: string;
  /** null: not known. */
  readonly size: number | null;
}

async function openSource({ values, streams }: Invocation): Promise<Source> {
  const path = textOption(values, 'in');
  if (path === undefined) return { bytes: streams.input, name: 'stdin', size: null };
  try {
    const file = await open(path);
    const found = await file.stat();
    if (found.isDirectory()) throw new Error('it is a directory');
    return { bytes: file.createReadStream(), name: path, size: found.isFile() ? found.size : null };
  } catch (cause) {
    throw fileRefused(path, cause);
  }
}

function pathOf({ values, positionals }: Invocation, direction: 'encrypt' | 'decrypt'): string {
  const query = new URLSearchParams();
  const [token, bound] = [textOption(values, 'token'), textOption(values, 'associated-data')];
  if (token !== undefined) query.set('token', token);
  if (bound !== undefined) query.set('associated_data', Buffer.from(bound).toString('base64'));
  return `/v1/sidekey/stream/${direction}/${encodeURIComponent(positionals[0] ?? '')}?${query}`;
}

/**
 * The answer of the agent, which begins before the message has been sent. No more than what it decides by is
 * sent before: an agent that refuses closes the connection, and what says why could be lost.
 */
async function send(socketPath: string, path: string, source: Source, invocation: Invocation) {
  const progress = startProgress(invocation.streams.errors, source.name, source.size);
  const sent = request({ socketPath, method: 'PUT', path, timeout: SILENCE_MS });
  sent.once('timeout', () => sent.destroy(new Error('the agent does not answer')));
  const answered = once(sent, 'response') as Promise<[IncomingMessage]>;
  const feed = async function* (pieces: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    let length = 0;
    for await (const piece of pieces) {
      // The connection stays as it is until the refusal has been read.
      if (length >= DECIDING_BYTES && (await answered)[0].statusCode !== OK) await once(sent, 'close');
      length += piece.length;
      progress.add(piece.length);
      yield piece;
    }
  };
  // If it fails, the answer fails or says why.
  const fed = pipeline(source.bytes, feed, sent).catch(() => undefined);
  void fed.then(() => progress.end());
  try {
    return (await answered)[0];
  } catch (cause) {
    // Refused while more was being sent, so that the reason is lost.
    if (HUNG_UP.includes(Reflect.get(Object(cause), 'code'))) throw cut(cause);
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new SidekeyError('not_running', `no agent at ${socketPath}: ${reason}`, { cause });
  }
}

async function refuse(response: IncomingMessage): Promise<never> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > REFUSAL_MAX_BYTES) break;
    chunks.push(chunk);
  }
  throw refusalOf({ status: response.statusCode ?? 0, body: Buffer.concat(chunks) });
}

function cut(cause: unknown): SidekeyError {
  const code: unknown = Reflect.get(Object(cause), 'code');
  const fromFile = code !== undefined && !HUNG_UP.includes(code);
  if (fromFile) return fileRefused('the output', cause);
  return new SidekeyError(
    'request_refused',
    'the agent ended the stream: key or associated data are others, it is incomplete or was modified, or took longer than 90 s',
    { cause },
  );
}

/** Before anything is sent. Devices and pipes are for stdout, and links are not followed (output-file.ts says why). */
async function checkOut(path: string): Promise<void> {
  const found = await lstat(path).catch(() => null);
  if (found !== null && !found.isFile())
    throw new SidekeyError('file_refused', `${path} exists and is not a regular file`);
}

const ENDING = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** A plaintext must not be left behind by Ctrl-C. Gives how to end this. */
function removeWhenInterrupted(part: string): () => void {
  const forget = (): void => ENDING.forEach((signal) => void process.off(signal, remove));
  const remove = (signal: NodeJS.Signals): void => {
    rmSync(part, { force: true });
    forget();
    process.kill(process.pid, signal);
  };
  for (const signal of ENDING) process.on(signal, remove);
  return forget;
}

/** The file has its name when it is complete. */
async function writeOut(response: IncomingMessage, invocation: Invocation): Promise<void> {
  const path = textOption(invocation.values, 'out');
  if (path === undefined) return pipeline(response, invocation.streams.output, { end: false });
  const part = `${path}.${randomBytes(6).toString('hex')}`;
  const forget = removeWhenInterrupted(part);
  try {
    await pipeline(response, createWriteStream(part, { mode: 0o600, flags: 'wx' }));
    await rename(part, path);
  } catch (cause) {
    await rm(part, { force: true });
    throw cause;
  } finally {
    forget();
  }
}

export async function streamMessage(
  invocation: Invocation,
  direction: 'encrypt' | 'decrypt',
): Promise<number> {
  const { values, streams } = invocation;
  const other = OTHERS.find((name) => values[name] !== undefined);
  if (other !== undefined)
    throw new SidekeyError('usage', `${direction}: --stream does not go with --${other}`);
  if (values['out'] === undefined && streams.output.isTTY)
    throw new SidekeyError(
      'file_refused',
      'the result may be binary and stdout is a terminal: use --out FILE',
    );
  await checkOut(textOption(values, 'out') ?? '');
  const source = await openSource(invocation);
  const response = await send(apiSocket(invocation), pathOf(invocation, direction), source, invocation);
  if (response.statusCode !== OK) return refuse(response);
  await writeOut(response, invocation).catch((cause: unknown) => {
    throw cut(cause);
  });
  return 0;
}
