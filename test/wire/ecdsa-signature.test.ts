import { randomBytes, randomInt } from 'node:crypto';
import { test } from 'tap';
import { decodeDer, encodeDer } from '../../src/wire/ecdsa-signature.ts';

const CURVES = [256, 384, 521] as const;

test('the shortest form of each number is written, and read back to the size of the curve', async (t) => {
  const cases: [string, string][] = [
    ['0101', '3006020101020101'],
    ['0000', '3006020100020100'],
    ['80ff', '300802020080020200ff'],
    ['00010002', '3006020101020102'],
    ['7fff8000', '300902027fff0203008000'],
  ];
  for (const [raw, der] of cases) {
    t.equal(encodeDer(Buffer.from(raw, 'hex')).toString('hex'), der);
    const half = raw.length / 2;
    const padded = raw.slice(0, half).padStart(64, '0') + raw.slice(half).padStart(64, '0');
    t.equal(decodeDer(Buffer.from(der, 'hex'), 256)?.toString('hex'), padded);
  }
});

test('every signature comes back', async (t) => {
  for (const bits of CURVES) {
    for (let i = 0; i < 500; i++) {
      const raw = randomBytes(2 * Math.ceil(bits / 8));
      raw.fill(0, 0, randomInt(4));
      t.ok(decodeDer(encodeDer(raw), bits)?.equals(raw), raw.toString('hex'));
    }
  }
});

test('bytes that are not DER are refused and nothing else happens', async (t) => {
  let accepted = 0;
  for (let i = 0; i < 20_000; i++) {
    const bytes = encodeDer(randomBytes(64));
    const cut = randomInt(4) === 0 ? bytes.subarray(0, randomInt(bytes.length)) : bytes;
    if (cut.length > 0) cut.writeUInt8(randomInt(256), randomInt(Math.min(cut.length, 40)));
    const raw = decodeDer(cut, 256);
    if (raw === null) continue;
    accepted++;
    if (!encodeDer(raw).equals(cut)) t.fail(`two forms of one signature: ${cut.toString('hex')}`);
  }
  t.ok(accepted > 0, 'a changed digit is another signature');
});
