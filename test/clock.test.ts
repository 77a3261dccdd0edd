import { spawnSync } from 'node:child_process';
import { resolve } from 'node:path';
import t from 'tap';

const HOUR_S = 3600;
const CLOCK = resolve(import.meta.dirname, '../src/clock.ts');

/** The clock in a time namespace whose CLOCK_BOOTTIME is that much ahead, as it is after a suspension: CLOCK_MONOTONIC is not. */
function readAfter(suspendedS: number): number {
  const print = `import { SYSTEM_CLOCK } from '${CLOCK}'; console.log(SYSTEM_CLOCK.monotonic());`;
  const node = [process.execPath, '--input-type=module', '--eval', print];
  const { stdout, stderr } = spawnSync('unshare', ['-T', '--boottime', `${suspendedS}`, '--fork', ...node]);
  const ms = Number(stdout.toString());
  if (!(ms > 0)) throw new Error(stderr.toString());
  return ms;
}

t.test('time that the machine was suspended counts', async (t) => {
  const ahead = (readAfter(HOUR_S) - readAfter(0)) / 1000;
  t.ok(ahead > HOUR_S - 60 && ahead <= HOUR_S, `${ahead} seconds`);
});
