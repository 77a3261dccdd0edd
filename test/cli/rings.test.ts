/** status and doctor name the processes that have no shared memory with the keeper, and why. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import t, { type Test } from 'tap';
import {
  initInstance,
  KEEPER,
  MODULE,
  ROOT,
  startInstance,
  temporaryDirectory,
  type Instance,
} from '../e2e/instance.ts';

/** A program that uses the module once and stays; resolves when it has. */
async function stay(t: Test, instance: Instance, env: Record<string, string> = {}): Promise<number> {
  const code = `const { PKCS11 } = require('pkcs11js'); const m = new PKCS11(); m.load(${JSON.stringify(MODULE)});
    m.C_Initialize(); m.C_GetSlotList(true); console.log('there'); setInterval(() => 0, 1000);`;
  const child = spawn(process.execPath, ['-e', code], {
    cwd: ROOT,
    env: { ...instance.environment, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.teardown(() => child.kill('SIGKILL'));
  await once(child.stdout, 'data');
  if (child.pid === undefined) throw new Error('it did not start');
  return child.pid;
}

t.test('a process that asked for no ring is named, one that has its ring is not', async (t) => {
  const sidekey = await startInstance(t);
  t.match(sidekey.sidekey('doctor').stdout, /ok\s+shared memory: every connected process/);
  const [fast, slow] = [await stay(t, sidekey), await stay(t, sidekey, { SIDEKEY_RING: '0' })];
  t.match(sidekey.status(), { withoutRing: [{ pid: slow, uid: process.geteuid?.() }] });
  const said = sidekey.sidekey('status').stdout;
  t.match(said, new RegExp(`no ring  pid ${slow} .*SIDEKEY_RING=0`));
  t.notMatch(said, `no ring  pid ${fast} `);
  const { status, stdout } = sidekey.sidekey('doctor');
  t.match(stdout, new RegExp(`warn  shared memory: pid ${slow} .*sidekey explain ring_absent`));
  t.equal(status, 0, 'it is no failure');
});

t.test('where the keeper has no descriptors for rings, it says so', async (t) => {
  const wrapper = join(temporaryDirectory(t), basename(KEEPER));
  writeFileSync(wrapper, `#!/bin/sh\nulimit -n 1088\nexec ${KEEPER} "$@"\n`);
  chmodSync(wrapper, 0o755);
  const sidekey = initInstance(t, {
    edit: (yaml) => yaml.replace(/^keeper:\n(  path: .*\n)?/m, `keeper:\n  path: ${wrapper}\n`),
  });
  await sidekey.start();
  const pid = await stay(t, sidekey);
  t.match(sidekey.status(), { withoutRing: [{ pid, why: /LimitNOFILE/ }] });
});
