import { randomBytes } from 'node:crypto';
import t from 'tap';
import { encodeFrame, FrameDecoder, type Frame } from '../../src/keeper/frame-decoder.ts';
import { LIMITS } from '../../src/wire/tables.ts';

const find = encodeFrame({ message: 'find', id: 7n, client: 3n, body: Buffer.from('some body') });
const refusal = encodeFrame({ message: 'state', id: 8n, isReply: true, status: 4 });

function header(change: (bytes: Buffer) => void): Buffer {
  const bytes = Buffer.from(refusal);
  change(bytes);
  return bytes;
}

for (const [name, bytes] of [
  ['a length over the bound', header((bytes) => bytes.writeUInt32LE(LIMITS.bodyMax + 1, 0))],
  ['the largest length there is', header((bytes) => bytes.writeUInt32LE(0xffffffff, 0))],
  ['a message that is not in the table', header((bytes) => bytes.writeUInt16LE(0x7777, 4))],
  ['a request with a status', header((bytes) => bytes.writeUInt16LE(0x0020, 4))],
  ['a refusal with a body', header((bytes) => bytes.writeUInt32LE(1, 0))],
] as const) {
  t.test(`${name} is refused, and so is whatever follows`, async (t) => {
    const decoder = new FrameDecoder();
    t.throws(() => decoder.push(bytes), { code: 'wire_malformed' });
    t.throws(() => decoder.push(find), { code: 'wire_malformed' });
  });
}

t.test('a short frame is not a frame yet', async (t) => {
  const decoder = new FrameDecoder();
  t.same(decoder.push(find.subarray(0, find.length - 1)), []);
  t.equal(decoder.isIdle, false);
});

t.test('frames are the same however the stream is split', async (t) => {
  const stream = Buffer.concat([find, refusal, find]);
  const whole = new FrameDecoder().push(stream);
  t.match(whole, [
    { message: 'find', id: 7n, client: 3n, isReply: false, body: Buffer.from('some body') },
    { message: 'state', id: 8n, isReply: true, status: 4 },
    { message: 'find' },
  ]);
  for (const step of [1, 2, 31, 32, 33, 40]) {
    const decoder = new FrameDecoder();
    const frames: Frame[] = [];
    for (let at = 0; at < stream.length; at += step)
      frames.push(...decoder.push(stream.subarray(at, at + step)));
    t.strictSame(frames, whole, `in steps of ${step}`);
    t.equal(decoder.isIdle, true);
  }
});

t.test('a body is no view of the stream', async (t) => {
  const stream = Buffer.from(find);
  const [frame] = new FrameDecoder().push(stream);
  stream.fill(0);
  t.equal(frame?.body.toString(), 'some body');
});

t.test('the largest body passes', async (t) => {
  const body = randomBytes(LIMITS.bodyMax);
  const [frame] = new FrameDecoder().push(encodeFrame({ message: 'operate', id: 1n, body }));
  t.ok(frame?.body.equals(body));
  t.throws(() => encodeFrame({ message: 'operate', id: 1n, body: Buffer.alloc(LIMITS.bodyMax + 1) }), {
    code: 'data_len_range',
  });
});
