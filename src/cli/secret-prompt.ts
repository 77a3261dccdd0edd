/** Asks for a secret on the terminal without echoing it. It stays bytes, which the caller wipes. */
import { SidekeyError } from '../errors.ts';

const SECRET_MAX_BYTES = 255;
const ENTER = new Set([0x0a, 0x0d, 0x04]);
const INTERRUPT = 0x03;
const ERASE = new Set([0x08, 0x7f]);

/** Removes a whole UTF-8 character, continuation bytes included. */
function erase(bytes: Buffer, length: number): number {
  let left = length;
  do left -= 1;
  while (left > 0 && ((bytes[left] ?? 0) & 0xc0) === 0x80);
  return Math.max(left, 0);
}

export async function askSecret(question: string): Promise<Buffer> {
  const { stdin, stderr } = process;
  if (!stdin.isTTY) throw new SidekeyError('init_refused', `${question}: no terminal available`);
  stderr.write(`${question}: `);
  stdin.setRawMode(true);
  const typed = Buffer.alloc(SECRET_MAX_BYTES);
  let length = 0;
  try {
    for await (const chunk of stdin.iterator({ destroyOnReturn: false })) {
      for (const byte of chunk as Buffer) {
        if (ENTER.has(byte)) return Buffer.from(typed.subarray(0, length));
        if (byte === INTERRUPT) throw new SidekeyError('init_refused', 'interrupted');
        if (ERASE.has(byte)) length = erase(typed, length);
        else if (length < SECRET_MAX_BYTES) typed[length++] = byte;
      }
    }
    throw new SidekeyError('init_refused', 'the terminal was closed');
  } finally {
    typed.fill(0);
    stdin.setRawMode(false);
    stdin.pause();
    stderr.write('\n');
  }
}

/** Asks twice, as typing is not visible. */
export async function askNewSecret(question: string): Promise<Buffer> {
  const first = await askSecret(question);
  const second = await askSecret(`${question}, again`);
  const isSame = first.equals(second);
  second.fill(0);
  if (isSame) return first;
  first.fill(0);
  throw new SidekeyError('init_refused', 'the two entries differ');
}
