/** The store's disk is full: what needs it fails clearly and whole, everything else goes on, and it heals by itself. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { compile, initInstance, MODULE, PIN, temporaryDirectory, type Instance } from './instance.ts';

const KEY_OF_LOAD = 'e2e';

function smallDisk(t: Test): string {
  const dir = join(temporaryDirectory(t), 'disk');
  mkdirSync(dir, { mode: 0o700 });
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=2m,mode=0700', 'tmpfs', dir]);
  if (mounted.status !== 0) throw new Error(mounted.stderr.toString());
  t.teardown(() => spawnSync('umount', ['--lazy', dir]));
  return dir;
}

/** Gives how to make room again. */
function fill(disk: string): () => void {
  const path = join(disk, 'filling');
  const fd = openSync(path, 'w');
  try {
    for (;;) writeSync(fd, Buffer.alloc(4096));
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOSPC')) throw error;
  } finally {
    closeSync(fd);
  }
  return () => rmSync(path);
}

function spawnLoad(t: Test, sidekey: Instance) {
  const env = { ...process.env, ...sidekey.environment };
  const child = spawn(compile(t, 'program.c'), [MODULE, PIN, 'load', '2'], { env });
  t.teardown(() => child.kill('SIGKILL'));
  let output = '';
  const { promise: started, resolve } = Promise.withResolvers<void>();
  child.stdout.on('data', (chunk) => {
    output += chunk;
    if (output.includes('started')) resolve();
  });
  const end = async (): Promise<string> => {
    child.stdin.end();
    await once(child, 'close');
    return output;
  };
  return { started, end };
}

function labels(sidekey: Instance): string[] {
  const { stdout } = sidekey.pkcs11Tool('--login', '--pin', PIN, '--list-objects', '--type', 'secrkey');
  const all = [...stdout.matchAll(/label:\s+(\S+)/g)].map(([, label = '']) => label);
  return all.filter((label) => label !== KEY_OF_LOAD).sort();
}

function make(sidekey: Instance, label: string) {
  return sidekey.pkcs11Tool('--login', '--pin', PIN, '--keygen', '--key-type', 'AES:32', '--label', label);
}

/** Until one fails: the last pages of a disk may be free. */
function makeUntilRefused(sidekey: Instance): { made: string[]; refusal: string } {
  const made: string[] = [];
  for (let i = 0; i < 50; i++) {
    const { status, stdout, stderr } = make(sidekey, `full-${i}`);
    if (status !== 0) return { made, refusal: stdout + stderr };
    made.push(`full-${i}`);
  }
  throw new Error('no key was refused');
}

for (const [what, from, to, code, why] of [
  ['store', 'path: store/sidekey.db', 'DISK/sidekey.db', /CKR_(DEVICE|GENERAL)_ERROR/, /store_failed/],
  ['audit log', 'path: store/audit.log', 'DISK/audit.log', /CKR_DEVICE_ERROR/, /audit_failed/],
] as const) {
  t.test(`the disk of the ${what} is full`, { timeout: 120_000 }, async (t) => {
    const disk = smallDisk(t);
    const sidekey = initInstance(t);
    spawnSync('mv', [join(sidekey.dir, from.slice('path: '.length)), disk]);
    const yaml = readFileSync(sidekey.config, 'utf8');
    writeFileSync(sidekey.config, yaml.replace(from, `path: ${to.replace('DISK', disk)}`));
    await sidekey.start();
    t.equal(make(sidekey, 'before').status, 0);

    const load = spawnLoad(t, sidekey);
    await load.started;
    const makeRoom = fill(disk);
    const { made, refusal } = makeUntilRefused(sidekey);
    t.match(refusal, code);
    t.equal(sidekey.sidekey('status').status, 0, 'the agent serves on');
    makeRoom();
    t.match(await load.end(), /failed 0 /, 'keys that are open were used all the while');
    t.match(sidekey.log, why, 'the log says why');

    t.strictSame(labels(sidekey), ['before', ...made].sort(), 'what was refused is not there');
    t.equal(make(sidekey, 'after').status, 0, 'it heals by itself');
    await sidekey.stopAgent('SIGKILL');
    await sidekey.start();
    t.strictSame(labels(sidekey), ['after', 'before', ...made].sort(), 'nor after a kill');
    const { status, stdout } = sidekey.sidekey('audit', 'verify');
    t.equal(status, 0, `the chain of the log is whole: ${stdout}`);
  });
}
