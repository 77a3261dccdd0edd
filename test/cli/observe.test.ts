/** cache, events, usage: what an administrator sees of a running instance. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import t from 'tap';
import { PIN, ROOT, startInstance } from '../e2e/instance.ts';

const sidekey = await startInstance(t, {
  edit: (yaml) => `${yaml}\nusage:\n  currency: EUR\n  prices:\n    local: 0.5\n`,
});

function must(...args: string[]): string {
  const { status, stdout, stderr } = sidekey.sidekey(...args);
  if (status !== 0) throw new Error(`sidekey ${args.join(' ')}: ${stderr}`);
  return stdout;
}

t.test('a lease is listed and wiped, and the key works on', async (t) => {
  must('keys', 'create', 'orders');
  must('encrypt', 'orders', '--in', '/etc/hostname');
  t.match(must('cache', 'ls'), /LEASE +KIND +TOKEN[^]*orders/);
  const leases = JSON.parse(must('cache', 'ls', '--json')) as { id: string; label: string | null }[];
  const id = leases.find(({ label }) => label === 'orders')?.id ?? '';
  t.match(must('cache', 'wipe', id), '1 wiped');
  t.notMatch(must('cache', 'ls'), 'orders');
  t.match(sidekey.sidekey('cache', 'wipe', id).stderr, /request_refused: there is no lease object-/);
  t.ok(JSON.parse(must('cache', 'wipe', '--all', '--json')).wiped >= 1);
  t.match(sidekey.sidekey('cache', 'wipe').stderr, /either LEASE or --all/);
  must('encrypt', 'orders', '--in', '/etc/hostname');
});

t.test('events arrive as they happen, and are resumed without a loss', async (t) => {
  const child = spawn(join(ROOT, 'bin/sidekey'), ['events', '--json', '--config', sidekey.config]);
  t.teardown(() => child.kill('SIGKILL'));
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const wait = async (type: string): Promise<{ id: string }> => {
    for (;;) {
      const event = JSON.parse((await lines.next()).value ?? 'null');
      if (event.type === type) return event;
    }
  };
  // Nobody says when the stream is open: keys are made until one is told of.
  let made = 0;
  const timer = setInterval(() => must('keys', 'create', `watched-${made++}`), 500);
  const { id } = await wait('key-created');
  clearInterval(timer);
  must('keys', 'create', 'missed');
  const exit = once(child, 'exit');
  child.kill('SIGINT');
  t.same(await exit, [0, null], 'Ctrl-C is its end');
  const past = must('events', '--past', '--after', id, '--json').trim().split('\n');
  t.ok(past.map((line) => JSON.parse(line)).some(({ fields }) => fields?.label === 'missed'));
  t.match(must('events', '--past'), /key-created .*label=missed/);
});

t.test('usage is told by tables, JSON and CSV, with what the cache saved', async (t) => {
  const login = ['--login', '--pin', PIN, '--keygen', '--key-type', 'AES:32'];
  t.equal(sidekey.pkcs11Tool(...login, '--label', 'counted, twice').status, 0);
  for (let i = 0; i < 2; i++) must('encrypt', 'counted, twice', '--in', '/etc/hostname');
  t.equal(sidekey.pkcs11Tool(...login, '--label', '=1+1').status, 0);
  must('encrypt', '=1+1', '--in', '/etc/hostname');
  t.match(must('usage', '--month'), /http +\d+ +test +counted, twice +encrypt +2 /);
  t.match(must('usage', '--month'), /PROVIDER +USES[^]*local +\d+ +\d+ +\d+ +\d+\.\d\d EUR/);
  t.match(
    must('usage', '--csv'),
    /^day,peer,uid,token,key,operation,times,bytes\n[^]*"counted, twice",encrypt,2,/,
  );
  t.match(must('usage', '--csv'), /,'=1\+1,encrypt,1,/, 'no formula for a spreadsheet');
  const report = JSON.parse(must('usage', '--json', '--from', '2026-01-01'));
  t.match(report, { from: '2026-01-01', currency: 'EUR', providers: [{ provider: 'local' }] });
  t.match(sidekey.sidekey('usage', '--from', 'today').stderr, /--from takes a day/);
  t.match(sidekey.sidekey('usage', '--month', '--to', '2026-01-01').stderr, /either --month/);
});
