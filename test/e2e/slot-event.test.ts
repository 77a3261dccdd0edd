/** C_WaitForSlotEvent: a token goes with the service that has it, and comes back with it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import t from 'tap';
import { MODULE, PIN, startInstance } from './instance.ts';

t.test('who waits for a slot is told once that its token went, and that it is back', async (t) => {
  const sidekey = await startInstance(t);
  const env = { ...process.env, ...sidekey.environment, MODULE, PIN, PYTHONDONTWRITEBYTECODE: '1' };
  const program = spawn('python3', [join(import.meta.dirname, 'slot_event.py')], {
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.teardown(() => program.kill('SIGKILL'));
  const exited = once(program, 'exit');
  const turns = [() => sidekey.stopAgent(), () => sidekey.start()];
  for await (const line of createInterface(program.stdout)) {
    if (line === '# waiting') await turns.shift()?.();
    const point = /^(not )?ok \d+ - (.*)/.exec(line);
    if (point !== null) t.ok(point[1] === undefined, point[2] ?? line);
    else t.comment(line);
  }
  t.strictSame(await exited, [0, null]);
  t.equal(turns.length, 0);
});
