/** Requests as bytes, plain ones and mutated ones, from a seed; and how their answers are compared. */
import { connect } from 'node:net';
import { readAll } from '../api-under-test.ts';

/** xorshift32: the same cases for the same seed. */
export function makeRandom(seed: number): (below: number) => number {
  let state = seed | 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

type Random = ReturnType<typeof makeRandom>;

function pick<T>(random: Random, from: readonly [T, ...T[]]): T {
  return from[random(from.length)] ?? from[0];
}

const PATHS = [
  ...(['encrypt/k', 'encrypt/k', 'decrypt/k', 'rewrap/k', 'hmac/k', 'hmac/k/sha2-512', 'sign/k'] as const),
  ...([
    'verify/k',
    'datakey/plaintext/k',
    'datakey/wrapped/k/128',
    'random/8',
    'random',
    'random/x/y/z',
  ] as const),
  ...([
    'encrypt/nobody',
    'encrypt/k/',
    'encrypt//k',
    'encrypt/k?x=1',
    'encrypt/%6b',
    'keys/k',
    'nothing/k',
  ] as const),
] as const;

const BODIES = [
  ...([
    '{"plaintext":"aGVsbG8="}',
    '{"plaintext":"aGVsbG8="}',
    '{"batch_input":[{"plaintext":"YQ=="}]}',
  ] as const),
  ...([
    '{}',
    '',
    '{',
    '{"plaintext":7}',
    '{"input":"aGk="}',
    '{"ciphertext":"vault:v1:AAAA"}',
    '[]',
    'null',
  ] as const),
  ...([
    '{"plaintext":"é"}',
    '{"plaintext":"aGVsbG9="}',
    '{"bits":128}',
    '{"input":"aGk=","hmac":"vault:v1:AA=="}',
  ] as const),
] as const;

/** What may stand beside the three headers that a plain request has. */
const HEADERS = [
  ...([
    'Accept: */*',
    'User-Agent: a/1 (b)',
    'Accept-Encoding: gzip',
    'X-Vault-Token: t',
    'X-Vault-Request: true',
  ] as const),
  ...([
    'Connection: keep-alive',
    'connection:Keep-Alive  ',
    'AUTHORIZATION:   Bearer x',
    'Accept-Language: de',
  ] as const),
  ...([
    'Connection: close',
    'Connection: upgrade',
    'Upgrade: h2c',
    'Expect: 100-continue',
    'Expect: x',
  ] as const),
  ...([
    'X-Vault-Wrap-TTL: 60',
    'X-Other: 1',
    'Host: two',
    'Content-Length: 5',
    'Content-Type: text/plain',
  ] as const),
  ...([
    'Transfer-Encoding: chunked',
    'Transfer-Encoding: identity',
    'Accept : x',
    'Accept',
    ': x',
    'Accept:',
  ] as const),
  ...([
    'Accept: \t x',
    'Accept: a\r\n b',
    'Accept: \xe9',
    'Accept: a\x00b',
    'Accept: a\nX: b',
    'Keep-Alive: 1',
  ] as const),
  ...([
    'Constructor: x',
    '__proto__: x',
    'Accept: a\rb',
    `User-Agent: ${'u'.repeat(5000)}`,
    'Trailer: x',
  ] as const),
] as const;

const LENGTHS = ['+0', '0x', ' ', '-', '00', '\t', '1_', '1e', '٣', ', '] as const;

function aHead(random: Random, path: string, length: number): string {
  const method =
    random(12) === 0
      ? pick(random, ['GET', 'LIST', 'DELETE', 'post', 'PATCH', 'HEAD', 'P'])
      : pick(random, ['POST', 'PUT']);
  const version = random(20) === 0 ? pick(random, ['1.0', '1.2', '2.0', '1.1 ', '11']) : '1.1';
  const type =
    random(10) === 0 ? pick(random, ['text/plain', 'application/json; charset=utf-8']) : 'application/json';
  const stated =
    random(15) === 0
      ? `${pick(random, LENGTHS)}${length}`
      : String(length + (random(15) === 0 ? random(9) - 4 : 0));
  const own = ['Host: x', `Content-Type: ${type}`, `Content-Length: ${stated}`].filter(() => random(25) > 0);
  const others = Array.from({ length: random(4) }, () =>
    pick(random, HEADERS.slice(0, random(2) === 0 ? 9 : undefined) as unknown as typeof HEADERS),
  );
  const lines = [...own, ...others].sort(() => random(3) - 1);
  return [
    `${method} /v1/${random(20) === 0 ? 'sys' : 'transit'}/${path} HTTP/${version}`,
    ...lines,
    '',
    '',
  ].join('\r\n');
}

export function aRequest(random: Random): Buffer {
  const body = Buffer.from(random(2) === 0 ? BODIES[0] : pick(random, BODIES));
  const path = random(2) === 0 ? PATHS[0] : pick(random, PATHS);
  const bytes = Buffer.concat([Buffer.from(aHead(random, path, body.length), 'latin1'), body]);
  for (let flips = random(6) === 0 ? 1 + random(2) : 0; flips > 0; flips--)
    bytes[random(bytes.length)] = random(256);
  return random(30) === 0 ? Buffer.concat([Buffer.from('\r\n'), bytes]) : bytes;
}

/** Whether its body ends where its head says: else what is left of it begins the next request. */
export function isWhole(request: Buffer): boolean {
  const text = request.toString('latin1');
  const end = text.indexOf('\r\n\r\n');
  const stated = /\r\ncontent-length: (\d+)\r\n/i.exec(text.slice(0, end + 2))?.[1];
  return end > 0 && Number(stated) === request.length - end - 4;
}

/** So that every connection ends. */
const LAST = Buffer.from('GET /v1/sys/health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');

/** At most three cuts, each a write of its own. */
export function split(random: Random, bytes: Buffer): Buffer[] {
  const cuts = Array.from({ length: random(4) }, () => random(bytes.length)).sort((a, b) => a - b);
  return [0, ...cuts].map((from, index) => bytes.subarray(from, cuts[index]));
}

/** The last request goes when something was answered, or nothing is in a while. */
export async function exchange(path: string, pieces: readonly Buffer[]): Promise<string> {
  const socket = connect(path);
  const all = readAll(socket);
  for (const piece of pieces) {
    socket.write(piece);
    await new Promise((done) => setImmediate(done));
  }
  await new Promise<void>((done) => {
    const timer = setTimeout(done, 50);
    const go = () => void (clearTimeout(timer), done());
    socket.once('data', go).once('close', go);
  });
  if (!socket.destroyed) socket.write(LAST);
  return all;
}

/** Without what is fresh in each answer. */
export function comparable(text: string): string[] {
  const same = text
    .replace(
      /"request_id":"[^"]+"|vault:v\d:[\w+/=]+|"(?:random_bytes|plaintext)":"[^"]+"|"server_time_utc":\d+|\r\nDate: [^\r]+/gi,
      '',
    )
    .replace(/content-length: \d+/gi, '');
  return same.split(/(?=HTTP\/1\.1 \d)/);
}
