// A search by index finds the same as a full scan, without scanning everything.
import { test } from 'tap';
import { decodeAttributes, encodeAttributes } from '../../src/tokens/objects/attribute-value.ts';
import { CKA, CKO } from '../../src/tokens/cryptoki.ts';
import { collect, matches } from '../../src/tokens/objects/object-template.ts';
import { makeRig, Program, template } from './rig.ts';

function pick<T>(values: readonly T[]): T {
  return values[Math.floor(Math.random() * values.length)] as T;
}

test('find by any attributes equals a scan of all objects', async (t) => {
  const rig = await makeRig();
  const app = await Program.start(rig, 1n);
  const labels = ['', 'a', 'b', 'ab'];
  const ids = [Buffer.alloc(0), Buffer.of(0), Buffer.of(1, 2)];
  for (let i = 0; i < 150; i++) {
    const common = { [CKA.TOKEN]: i % 3 > 0, [CKA.LABEL]: pick(labels) };
    const certificate = { [CKA.CERTIFICATE_TYPE]: 0, [CKA.SUBJECT]: pick(labels), [CKA.VALUE]: pick(labels) };
    if (i % 2 === 0) await app.create({ ...common, [CKA.CLASS]: CKO.DATA, [CKA.APPLICATION]: pick(labels) });
    else await app.create({ ...common, ...certificate, [CKA.CLASS]: CKO.CERTIFICATE, [CKA.ID]: pick(ids) });
  }
  const everything = await app.find({});
  t.equal(everything.length, 150);
  t.same(
    everything,
    [...everything].sort((a, b) => a - b),
    'ascending',
  );
  const all = await Promise.all(
    everything.map(async (handle) => [handle, await attributesOf(app, handle)] as const),
  );
  for (let i = 0; i < 300; i++) {
    const asked: Record<number, Buffer | number | boolean | string> = {};
    if (Math.random() < 0.5) asked[CKA.LABEL] = pick(labels);
    if (Math.random() < 0.3) asked[CKA.ID] = pick(ids);
    if (Math.random() < 0.5) asked[CKA.CLASS] = pick([0, 1, 2]);
    if (Math.random() < 0.3) asked[CKA.TOKEN] = pick([true, false]);
    if (Math.random() < 0.3) asked[CKA.SUBJECT] = pick(labels);
    if (Math.random() < 0.2) asked[CKA.APPLICATION] = pick(labels);
    const wanted = collect(template(asked));
    const expected = all.filter(([, attributes]) => matches(attributes, wanted)).map(([handle]) => handle);
    t.same(await app.find(asked), expected, JSON.stringify(asked));
  }
  t.same(await app.find({ [CKA.CLASS]: Buffer.of(1) }), [], 'a class of another size is no class');
  t.same(await app.find({ 0xce534353: true }), [], 'a vendor attribute is a quick no');
});

/** The full scan: asks the service about each object separately. */
async function attributesOf(app: Program, handle: number): Promise<Map<number, Buffer>> {
  const types = [CKA.CLASS, CKA.TOKEN, CKA.LABEL, CKA.ID, CKA.SUBJECT, CKA.APPLICATION];
  const { states, values } = await app.read(handle, ...types);
  return new Map(types.flatMap((type, i) => (states[i] === 0 ? [[type, values[i] ?? Buffer.alloc(0)]] : [])));
}

test('find by label among 20,000 objects costs what it costs among 200', async (t) => {
  const rig = await makeRig();
  const app = await Program.start(rig, 1n);
  await app.create({ [CKA.CLASS]: CKO.DATA, [CKA.TOKEN]: true, [CKA.LABEL]: 'sample' });
  const sample = rig.store.object(1);
  if (sample === null) throw new Error('no sample');
  const fill = (from: number, to: number): void => {
    const rows = Array.from({ length: to - from }, (_, i) => {
      const label = Buffer.from(`object ${from + i}`);
      const index = { objectClass: 0, keyType: null, label, id: Buffer.alloc(0), private: false };
      const attributes = new Map([...decodeAttributes(sample.attributes), [CKA.LABEL, label] as const]);
      return { ...sample, uniqueId: `u${from + i}`, index, attributes: encodeAttributes(attributes) };
    });
    rig.store.addObjects(rows);
  };
  const time = async (label: string): Promise<number> => {
    const started = performance.now();
    let found = 0;
    for (let i = 0; i < 300; i++) found += (await app.find({ [CKA.LABEL]: label, [CKA.CLASS]: 0 })).length;
    t.equal(found, 300);
    return performance.now() - started;
  };
  fill(0, 200);
  await time('object 7');
  const few = await time('object 100');
  const started = performance.now();
  fill(200, 20_000);
  t.ok(performance.now() - started < 10_000, 'loading is quick');
  const many = await time('object 15000');
  t.ok(many < few * 3, `${many} ms against ${few} ms`);
  t.equal((await app.find({ [CKA.CLASS]: 0 })).length, 20_001, 'all of them, page by page');
});
