/**
 * A disk that refuses writes (quota, read-only), one that loses them (EIO on sync), and kill -9 at each write and sync of making a
 * key, on a disk that is sound and on one that is full. SIDEKEY_WRITES: how many of these points are tried, 0 for all.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readSync, writeFileSync, writeSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { compile, initInstance, MODULE, PIN, ROOT, temporaryDirectory, type Instance } from './instance.ts';

const { EDQUOT, EIO, EROFS, ENOSPC } = constants.errno;
const POINTS = Number(process.env['SIDEKEY_WRITES'] ?? 2);
/** More than making a key has. */
const POINTS_MAX = 60;

interface Faults {
  readonly write?: number;
  readonly sync?: number;
  readonly killAt?: number;
  readonly half?: boolean;
}

/** An agent whose writes below its store's directory fail as `set` says. */
class FaultyDisk {
  readonly sidekey: Instance;
  readonly #control: string;
  readonly #by: readonly string[];

  constructor(t: Test) {
    this.sidekey = initInstance(t);
    this.#control = join(temporaryDirectory(t), 'control');
    const library = compile(t, 'write-faults.c', '-shared', '-fPIC');
    const store = join(this.sidekey.dir, 'store/');
    const environment = {
      LD_PRELOAD: library,
      WRITE_FAULTS_CONTROL: this.#control,
      WRITE_FAULTS_BELOW: store,
    };
    this.#by = ['env', ...Object.entries(environment).map(([name, value]) => `${name}=${value}`)];
    writeFileSync(this.#control, Buffer.alloc(20));
  }

  set({ write = 0, sync = 0, killAt = 0, half = false }: Faults): void {
    const words = Buffer.from(Int32Array.of(write, sync, killAt, half ? 1 : 0, 0).buffer);
    const fd = openSync(this.#control, 'r+');
    writeSync(fd, words, 0, words.length, 0);
    closeSync(fd);
  }

  /** Writes and syncs since `set`. */
  get count(): number {
    const fd = openSync(this.#control, 'r');
    const words = Buffer.alloc(20);
    readSync(fd, words, 0, 20, 0);
    closeSync(fd);
    return words.readInt32LE(16);
  }

  async start(): Promise<void> {
    this.set({});
    this.sidekey.startAgent(this.#by);
    await this.sidekey.ready();
  }
}

function make(sidekey: Instance, label: string) {
  return sidekey.pkcs11Tool('--login', '--pin', PIN, '--keygen', '--key-type', 'AES:32', '--label', label);
}

/** The exit code. It waits for the next agent, up to its deadline, and may get the key from that one. */
async function makeLater(sidekey: Instance, label: string): Promise<number | null> {
  const args = [
    '--module',
    MODULE,
    '--login',
    '--pin',
    PIN,
    '--keygen',
    '--key-type',
    'AES:32',
    '--label',
    label,
  ];
  const env = { ...process.env, ...sidekey.environment };
  const [code] = await once(spawn('pkcs11-tool', args, { env, stdio: 'ignore' }), 'exit');
  return code;
}

/** The agent has come to that point, which ends it. */
async function reached(disk: FaultyDisk, point: number): Promise<undefined> {
  for (let i = 0; i < 1000 && disk.count < point; i++) await sleep(20);
}

function labels(sidekey: Instance): string[] {
  const { stdout } = sidekey.pkcs11Tool('--login', '--pin', PIN, '--list-objects', '--type', 'secrkey');
  const all = [...stdout.matchAll(/label:\s+(\S+)/g)].map(([, label = '']) => label);
  return all.filter((label) => !label.startsWith('http')).sort();
}

function isSound(t: Test, sidekey: Instance): void {
  const { status, stdout, stderr } = sidekey.sidekey('audit', 'verify');
  t.equal(status, 0, `the chain of the log is whole: ${stdout}${stderr}`);
  t.notMatch(sidekey.sidekey('doctor').stdout, /^bad/m);
}

t.test('writes or syncs that fail', { timeout: 180_000 }, async (t) => {
  const disk = new FaultyDisk(t);
  const { sidekey } = disk;
  await disk.start();
  t.equal(make(sidekey, 'before').status, 0);
  t.equal(sidekey.sidekey('keys', 'create', 'http').status, 0);
  const faults = { EDQUOT: { write: EDQUOT }, EROFS: { write: EROFS }, EIO: { sync: EIO } };
  const made = ['before'];
  for (const [name, fault] of Object.entries(faults)) {
    disk.set(fault);
    const refused = make(sidekey, `refused-${name}`);
    t.match(refused.stdout + refused.stderr, /CKR_DEVICE_ERROR/, `${name} refuses a new key`);
    const encrypted = spawnSync('sh', [
      '-c',
      `echo x | ${ROOT}/bin/sidekey encrypt http --config ${sidekey.config}`,
    ]);
    t.match(encrypted.stdout.toString(), /^vault:v1:/, 'a key that is there encrypts');
    disk.set({});
    t.equal(make(sidekey, `after-${name}`).status, 0, 'and as soon as the disk works, keys are made again');
    made.push(`after-${name}`);
  }
  t.strictSame(labels(sidekey), made.sort());
  await sidekey.stopAgent('SIGKILL');
  await disk.start();
  t.strictSame(labels(sidekey), made.sort(), 'nothing else after a kill');
  isSound(t, sidekey);
});

/** All, or some that are spread over all of them. */
function chosen(count: number): number[] {
  const all = Array.from({ length: count }, (_, i) => i + 1);
  return POINTS === 0 ? all : all.filter((_, i) => i % Math.ceil(count / POINTS) === 0);
}

for (const [what, faults] of [
  ['before a write or sync', {}],
  ['in the middle of a write', { half: true }],
  ['on a full disk', { write: ENOSPC, half: true }],
] as const)
  t.test(`kill -9 ${what}`, { timeout: 900_000 }, async (t) => {
    const disk = new FaultyDisk(t);
    const { sidekey } = disk;
    await disk.start();
    t.equal(make(sidekey, 'whole').status, 0);
    const made = ['whole'];
    disk.set({ killAt: POINTS_MAX });
    make(sidekey, 'counted');
    made.push('counted');
    const { count } = disk;
    t.ok(count >= 5 && count < POINTS_MAX, `making a key writes and syncs ${count} times`);
    for (const point of chosen(count)) {
      const label = `at-${point}`;
      disk.set({ ...faults, killAt: point });
      const asked = makeLater(sidekey, label);
      const ended = await Promise.race([asked, reached(disk, point)]);
      await sidekey.stopAgent('SIGKILL');
      await disk.start();
      if ((ended ?? (await asked)) === 0) made.push(label);
      const found = labels(sidekey);
      t.strictSame(
        made.filter((each) => !found.includes(each)),
        [],
        `what was acknowledged is there (${point})`,
      );
      t.strictSame(
        found.filter((each) => each !== label && !made.includes(each)),
        [],
        'and nothing that was not asked for',
      );
      if (found.includes(label) && !made.includes(label)) made.push(label);
    }
    isSound(t, sidekey);
  });
