/** Looks for bytes in a core file and in a living process, and knows what an AES key schedule looks like. */
import { closeSync, openSync, readFileSync, readSync } from 'node:fs';

const CHUNK = 1 << 22;

/** How many times each needle stands in the file descriptor between two offsets. Unreadable pages end the range. */
function countIn(fd: number, from: number, to: number, needles: readonly Buffer[], counts: number[]): void {
  const overlap = Math.max(...needles.map((needle) => needle.length)) - 1;
  let carried: Buffer = Buffer.alloc(0);
  for (let at = from; at < to;) {
    const chunk = Buffer.alloc(Math.min(CHUNK, to - at));
    const got = readQuietly(fd, chunk, at);
    if (got === 0) return;
    const bytes = Buffer.concat([carried, chunk.subarray(0, got)]);
    needles.forEach(
      (needle, i) => (counts[i] = (counts[i] ?? 0) + occurrences(bytes, needle, carried.length)),
    );
    carried = Buffer.from(bytes.subarray(Math.max(0, bytes.length - overlap)));
    at += got;
  }
}

/** Matches that end after the carried bytes: those within them were counted before. */
function occurrences(bytes: Buffer, needle: Buffer, carried: number): number {
  let count = 0;
  for (let at = bytes.indexOf(needle); at >= 0; at = bytes.indexOf(needle, at + 1)) {
    if (at + needle.length > carried) count++;
  }
  return count;
}

function readQuietly(fd: number, into: Buffer, at: number): number {
  try {
    return readSync(fd, into, 0, into.length, at);
  } catch {
    return 0; // EIO or EFAULT: memory that even root may not read
  }
}

export function countInFile(path: string, needles: readonly Buffer[]): number[] {
  const fd = openSync(path, 'r');
  const counts = needles.map(() => 0);
  countIn(fd, 0, Number.MAX_SAFE_INTEGER, needles, counts);
  closeSync(fd);
  return counts;
}

/** All readable memory of a process, by /proc/PID/mem as root. */
export function countInProcess(pid: number, needles: readonly Buffer[]): number[] {
  const fd = openSync(`/proc/${pid}/mem`, 'r');
  const counts = needles.map(() => 0);
  for (const line of readFileSync(`/proc/${pid}/maps`, 'utf8').trim().split('\n')) {
    const match = /^([0-9a-f]+)-([0-9a-f]+) (\S+)/.exec(line);
    if (!match || line.includes('[vsyscall]') || line.includes('[vvar')) continue;
    countIn(fd, Number.parseInt(match[1] ?? '', 16), Number.parseInt(match[2] ?? '', 16), needles, counts);
  }
  closeSync(fd);
  return counts;
}

/** The S-box by its definition (FIPS 197, 5.1.1): inverse in GF(2^8), then the affine map. */
function makeSbox(): Uint8Array {
  const sbox = new Uint8Array(256);
  let p = 1;
  let q = 1;
  do {
    p = (p ^ (p << 1) ^ (p & 0x80 ? 0x11b : 0)) & 0xff;
    q ^= q << 1;
    q ^= q << 2;
    q ^= q << 4;
    q &= 0xff;
    if (q & 0x80) q ^= 0x09;
    const rotate = (bits: number): number => ((q << bits) | (q >> (8 - bits))) & 0xff;
    sbox[p] = q ^ rotate(1) ^ rotate(2) ^ rotate(3) ^ rotate(4) ^ 0x63;
  } while (p !== 1);
  sbox[0] = 0x63;
  return sbox;
}

/** The expanded key of AES-256 without its first 32 bytes, which are the key itself (FIPS 197, 5.2). */
export function aes256Schedule(key: Buffer): Buffer {
  const sbox = makeSbox();
  const words = Buffer.alloc(240);
  key.copy(words);
  let rcon = 1;
  for (let i = 8; i < 60; i++) {
    let word = [...words.subarray(4 * i - 4, 4 * i)];
    if (i % 8 === 0) word = [...word.slice(1), word[0] ?? 0];
    if (i % 4 === 0) word = word.map((byte) => sbox[byte] ?? 0);
    if (i % 8 === 0) {
      word[0] = (word[0] ?? 0) ^ rcon;
      rcon <<= 1;
    }
    word.forEach((byte, j) => (words[4 * i + j] = (words[4 * (i - 8) + j] ?? 0) ^ byte));
  }
  return words.subarray(32);
}

/** The same words as a little-endian host may hold them. */
export function swapWords(bytes: Buffer): Buffer {
  return Buffer.from(bytes).swap32();
}
