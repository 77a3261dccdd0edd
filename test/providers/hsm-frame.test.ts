import { randomBytes, randomInt } from 'node:crypto';
import t from 'tap';
import { encodeFrame, FRAME_MAX, HsmFrameDecoder } from '../../src/providers/hsm/frame.ts';

const FRAME = { number: 7, code: 2, fields: [Buffer.from('one'), Buffer.alloc(0), Buffer.from('three')] };

t.test('frames survive any cutting, and what was read is wiped', async (t) => {
  const bytes = Buffer.concat([encodeFrame(FRAME), encodeFrame({ ...FRAME, number: 8 })]);
  t.equal(bytes.toString('hex', 0, 13), '19000000070000000203000000');
  for (const step of [1, 3, 7, bytes.length]) {
    const decoder = new HsmFrameDecoder();
    const copy = Buffer.from(bytes);
    const frames = [];
    for (let at = 0; at < copy.length; at += step) frames.push(...decoder.push(copy.subarray(at, at + step)));
    t.strictSame(frames, [FRAME, { ...FRAME, number: 8 }], `in pieces of ${step}`);
    t.ok(copy.equals(Buffer.alloc(copy.length)));
  }
});

const BROKEN: [string, string][] = [
  ['too short to be one', '04000000 01000000'],
  ['longer than allowed', 'ffffffff 01000000'],
  ['a field longer than its frame', '0a000000 01000000 02 ff000000 00'],
  ['half a length', '07000000 01000000 02 0100'],
  ['nine fields', `29000000 01000000 02 ${'00000000'.repeat(9)}`],
];

for (const [what, hex] of BROKEN)
  t.test(`${what}: refused`, async (t) => {
    t.throws(() => new HsmFrameDecoder().push(Buffer.from(hex.replaceAll(' ', ''), 'hex')));
  });

t.test('random and mutated bytes give frames or an error', async (t) => {
  const seed = encodeFrame(FRAME);
  for (let i = 0; i < 20_000; i++) {
    const bytes = randomInt(4) === 0 ? randomBytes(randomInt(64)) : Buffer.from(seed);
    for (let k = randomInt(4); k > 0 && bytes.length > 0; k--)
      bytes[randomInt(bytes.length)] = randomInt(256);
    try {
      const frames = new HsmFrameDecoder().push(bytes);
      if (frames.some(({ fields }) => fields.some(({ length }) => length > FRAME_MAX))) t.fail('too much');
    } catch (error) {
      if (!/frame|field/.test(String(error))) t.fail(String(error));
    }
  }
  t.pass();
});
