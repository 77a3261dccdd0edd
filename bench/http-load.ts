/**
 * Keeps a number of connections to a Unix socket busy with one request each, and says how many were answered and how fast:
 * http-load.ts SOCKET PATH CONNECTIONS SECONDS ITEMS BYTES. A body of one item, or a batch of ITEMS. It parses no more of an
 * answer than its status and length, so that the server is what is measured.
 */
import { randomBytes } from 'node:crypto';
import { connect, type Socket } from 'node:net';

const [socketPath = '', path = '/', connections, seconds, items, bytes] = process.argv.slice(2);
const item = { plaintext: randomBytes(Number(bytes)).toString('base64') };
const batch = { batch_input: Array.from({ length: Number(items) }, () => item) };
const body = JSON.stringify(Number(items) === 1 ? item : batch);
const head = `POST ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n`;
const request = Buffer.from(`${head}Content-Length: ${body.length}\r\n\r\n${body}`);
const WARM_MS = 500;

const times: number[] = [];
const beginsAt = performance.now() + WARM_MS;
const endsAt = beginsAt + Number(seconds) * 1000;

/** Bytes of the first answer in `text`; null: not all of it is there. */
function answerLength(seen: Buffer): number | null {
  const end = seen.indexOf('\r\n\r\n');
  if (end < 0) return null;
  const header = seen.toString('latin1', 0, end);
  if (!header.startsWith('HTTP/1.1 200 ')) throw new Error(`answered ${header} ${seen.toString()}`);
  const length = /content-length: (\d+)/i.exec(header)?.[1];
  if (length === undefined) throw new Error(`an answer without a length: ${header}`);
  return seen.length < end + 4 + Number(length) ? null : end + 4 + Number(length);
}

function keepBusy(socket: Socket): Promise<void> {
  let seen: Buffer = Buffer.alloc(0);
  let sentAt = performance.now();
  const send = () => {
    sentAt = performance.now();
    socket.write(request);
  };
  socket.on('data', (chunk: Buffer) => {
    seen = seen.length === 0 ? chunk : Buffer.concat([seen, chunk]);
    const length = answerLength(seen);
    if (length === null) return;
    seen = seen.subarray(length);
    const now = performance.now();
    if (now >= beginsAt) times.push(now - sentAt);
    if (now < endsAt) send();
    else socket.end();
  });
  send();
  return new Promise((done, fail) => {
    socket.once('close', () => done());
    socket.once('error', fail);
  });
}

await Promise.all(Array.from({ length: Number(connections) }, () => keepBusy(connect(socketPath))));
times.sort((a, b) => a - b);
const at = (part: number) => times[Math.floor((times.length - 1) * part)] ?? NaN;
const perSecond = (times.length * Number(items)) / Number(seconds);
process.stdout.write(JSON.stringify({ perSecond, p50Ms: at(0.5), p99Ms: at(0.99) }));
