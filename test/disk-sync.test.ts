/** Who waits for the disk: one sync for all that wait at once, and everybody told when it failed. */
import t from 'tap';
import { DiskSync } from '../src/disk-sync.ts';

interface Begun {
  readonly end: () => void;
  readonly fail: () => void;
}

function scripted(): { disk: DiskSync; begun: Begun[] } {
  const begun: Begun[] = [];
  const disk = new DiskSync(
    () => new Promise((done, fail) => void begun.push({ end: done, fail: () => fail(new Error('EIO')) })),
  );
  return { disk, begun };
}

/** What has resolved, after everything that can has. */
async function resolved(waits: readonly Promise<void>[]): Promise<boolean[]> {
  const marks = waits.map(() => false);
  waits.forEach((wait, i) => void wait.then(() => (marks[i] = true)).catch(() => undefined));
  await new Promise((done) => setImmediate(done));
  return marks;
}

t.test('who wrote before a sync began shares it, who wrote later waits for the next', async (t) => {
  const { disk, begun } = scripted();
  const waits: Promise<void>[] = [];
  const write = (): void => {
    disk.wrote();
    waits.push(disk.durable());
  };
  write();
  waits.push(disk.durable());
  write();
  write();
  t.equal(begun.length, 1, 'the second sync waits for the first');
  begun[0]?.end();
  t.same(await resolved(waits), [true, true, false, false]);
  t.equal(begun.length, 2, 'one sync for both');
  begun[1]?.end();
  t.same(await resolved(waits), [true, true, true, true]);
});

t.test('nothing written, nothing to wait for', async (t) => {
  const { disk, begun } = scripted();
  await disk.durable();
  disk.wrote();
  const wait = disk.durable();
  begun[0]?.end();
  await wait;
  await disk.durable();
  t.equal(begun.length, 1);
});

t.test('a sync that fails is told to those who waited for it, and to nobody else', async (t) => {
  const { disk, begun } = scripted();
  disk.wrote();
  const first = disk.durable();
  disk.wrote();
  const second = disk.durable();
  begun[0]?.fail();
  await t.rejects(first, { message: 'EIO' });
  begun[1]?.end();
  await second;
  disk.wrote();
  const third = disk.durable();
  begun[2]?.end();
  await third;
});

t.test(
  'who wrote before a sync that failed, and asks after it, is not told that it is on the disk',
  async (t) => {
    const { disk, begun } = scripted();
    disk.wrote();
    const first = disk.durable();
    begun[0]?.fail();
    await t.rejects(first);
    const late = disk.durable();
    t.equal(begun.length, 2, 'the disk is asked again');
    begun[1]?.fail();
    await t.rejects(late, 'and what it says is told');
    const last = disk.durable();
    begun[2]?.end();
    await last;
    await disk.durable();
    t.equal(begun.length, 3, 'until it says yes');
  },
);
