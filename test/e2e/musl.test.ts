/** A program of musl's C library, as Alpine's are, loads the module that was built for glibc. On x86-64 alone: elsewhere the module names glibc's loader. */
import t from 'tap';
import { compileBy, MODULE, PIN, startInstance } from './instance.ts';

const COMMANDS = [['make'], ['use'], ['fork'], ['threads', '8']] as const;

t.test('a program of musl', { skip: process.arch === 'x64' ? false : 'x86-64 only' }, async (t) => {
  const sidekey = await startInstance(t);
  const program = compileBy('musl-gcc', t, 'program.c');
  for (const command of COMMANDS) {
    const { status, stdout, stderr } = sidekey.run(program, [MODULE, PIN, ...command]);
    t.equal(status, 0, `${command.join(' ')}: ${stdout}${stderr}`);
    t.match(stdout, /^done$/m);
  }
});
