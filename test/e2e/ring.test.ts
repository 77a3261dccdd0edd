/** The memory that a process shares with the keeper: what a host may do to it, and what works the same without it. */
import t from 'tap';
import { compile, MODULE, PIN, startInstance } from './instance.ts';

t.test(
  'a fork has no region of its parent, and a host that closes every descriptor gets a new one',
  async (t) => {
    const sidekey = await startInstance(t);
    const { status, stdout } = sidekey.run(compile(t, 'ring.c'), [MODULE]);
    t.equal(stdout, 'done\n');
    t.equal(status, 0);
  },
);

t.test('without shared memory the same calls go by the socket', async (t) => {
  const sidekey = await startInstance(t);
  const env = { SIDEKEY_RING: '0' };
  for (const command of ['make', 'use']) {
    const { status, stdout } = sidekey.run(compile(t, 'program.c'), [MODULE, PIN, command], { env });
    t.equal(status, 0, stdout);
  }
  t.match(sidekey.run(compile(t, 'ring.c'), [MODULE], { env }).stdout, /wrong: there is one region\n/);
});
