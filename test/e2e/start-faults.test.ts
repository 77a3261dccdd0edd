/** What an operator's disk does to a start: one line of the closed list, and a cure from `sidekey doctor`. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { initInstance, PIN, type Instance } from './instance.ts';

function mount(t: Test, ...args: string[]): void {
  const { status, stderr } = spawnSync('mount', args);
  if (status !== 0) throw new Error(stderr.toString());
  const target = args.at(-1) ?? '';
  t.teardown(() => spawnSync('umount', ['--lazy', target]));
}

function edit({ config }: Instance, from: string, to: string): void {
  writeFileSync(config, readFileSync(config, 'utf8').replace(from, to));
}

/** The store on a file system of its own, with everything that `init` put there. */
function moveStore(t: Test, sidekey: Instance, options: string): string {
  const store = join(sidekey.dir, 'store');
  renameSync(store, `${store}.old`);
  mkdirSync(store, { mode: 0o700 });
  mount(t, '-t', 'tmpfs', '-o', `mode=0700,${options}`, 'tmpfs', store);
  spawnSync('sh', ['-c', `cp -a ${store}.old/* ${store}`]);
  return store;
}

interface Fault {
  readonly what: string;
  readonly make: (t: Test, sidekey: Instance) => void;
  readonly says: RegExp;
  readonly doctor: RegExp;
}

const FAULTS: readonly Fault[] = [
  {
    what: 'a read-only file system',
    make: (t, sidekey) => {
      const store = moveStore(t, sidekey, 'size=8m');
      mount(t, '-o', 'remount,ro', store);
    },
    says: /^sidekey: store_failed: cannot lock .*: Read-only file system$/m,
    doctor: /^bad +disk of the store: .* is on a read-only file system\. To fix it: mount it read-write/m,
  },
  {
    what: 'no inodes',
    make: (t, sidekey) => {
      const store = moveStore(t, sidekey, 'size=8m,nr_inodes=16');
      for (const name of readdirSync(store))
        if (/-(wal|shm)$|lock$/.test(name)) rmSync(join(store, name), { force: true });
      const made = spawnSync('sh', ['-c', `for i in $(seq 20); do : >${store}/filler-$i || exit; done`]);
      if (made.status === 0) throw new Error('there are inodes left');
    },
    says: /^sidekey: store_failed: cannot lock .*: No space left on device$/m,
    doctor: /^bad +disk of the store: 0 inodes free at .*\. To fix it: delete files there/m,
  },
  {
    what: 'a full disk',
    make: (t, sidekey) => {
      const store = moveStore(t, sidekey, 'size=2m');
      spawnSync('dd', ['if=/dev/zero', `of=${store}/filler`, 'bs=4k']);
    },
    says: /^sidekey: (store|audit)_failed: .*(full|I\/O error|ENOSPC|cannot write)/m,
    doctor: /^bad +disk of the store: the disk is full: 0 MiB free at .*\. To fix it: make room/m,
  },
  {
    what: 'a store that is no database',
    make: (_t, sidekey) => {
      for (const name of ['sidekey.db-wal', 'sidekey.db-shm'])
        rmSync(join(sidekey.dir, 'store', name), { force: true });
      writeFileSync(join(sidekey.dir, 'store/sidekey.db'), 'garbage');
    },
    says: /^sidekey: store_failed: the store could not open .*: file is not a database$/m,
    doctor: /^bad +store: .*: file is not a database/m,
  },
  {
    what: 'no directory for the audit log',
    make: (_t, sidekey) => edit(sidekey, 'path: store/audit.log', 'path: none/audit.log'),
    says: /^sidekey: audit_failed: cannot open .*ENOENT/m,
    doctor: /^bad +disk of the audit log: \S+none does not exist\. To fix it: create it/m,
  },
];

for (const { what, make, says, doctor } of FAULTS)
  t.test(what, { timeout: 60_000 }, async (t) => {
    const sidekey = initInstance(t);
    make(t, sidekey);
    const { status, stderr } = sidekey.sidekey('agent');
    t.equal(status, 1);
    t.match(stderr, says);
    t.notMatch(stderr, /^ +at /m, 'no stack');
    const found = sidekey.sidekey('doctor');
    t.match(found.stdout, doctor);
    t.equal(found.status, 1);
  });

t.test('usage counters that cannot be opened do not stop the service', { timeout: 60_000 }, async (t) => {
  const sidekey = initInstance(t);
  const path = join(sidekey.dir, 'store/usage.db');
  writeFileSync(path, 'garbage');
  await sidekey.start();
  t.match(sidekey.log, /cannot open the usage counters/);
  t.match(
    sidekey.sidekey('doctor').stdout,
    /^warn +usage counters: .*not a database\. To fix it: move it away/m,
  );
  t.equal(sidekey.pkcs11Tool('--login', '--pin', PIN, '--keygen', '--key-type', 'AES:32').status, 0);
  t.equal(await sidekey.stopAgent(), 0);
  t.equal(readFileSync(path, 'utf8'), 'garbage', 'what is there is left as it is');
});
