import { execFile } from 'node:child_process';
import { resolve } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';

const run = promisify(execFile);
const module = resolve(import.meta.dirname, '../../native-shim/build/sidekey-pkcs11.so');

async function lines(command: string, ...args: string[]): Promise<string[]> {
  const { stdout } = await run(command, args);
  return stdout.split('\n').filter((line) => line !== '');
}

t.test('the module needs libc and nothing else', async (t) => {
  const needed = (await lines('readelf', '-dW', module)).filter((line) => line.includes('(NEEDED)'));
  t.equal(needed.length, 1);
  t.match(needed[0], /\[libc\.so\.6\]/);
});

t.test('it loads in programs of glibc 2.17, and so of every distribution since 2013', async (t) => {
  const symbols = (await lines('objdump', '-T', module)).join('\n');
  const versions = [...symbols.matchAll(/GLIBC_2\.(\d+)/g)].map(([, minor]) => Number(minor));
  t.ok(versions.length > 0);
  t.ok(Math.max(...versions) <= 17, `the newest is 2.${Math.max(...versions)}`);
});

t.test('it exports three functions and nothing else', async (t) => {
  const names = (await lines('nm', '-D', '--defined-only', module)).map((line) => line.split(' ').at(-1));
  t.same(names.sort(), ['C_GetFunctionList', 'C_GetInterface', 'C_GetInterfaceList']);
});

t.test('it has no constructor, no destructor and no thread-local variable', async (t) => {
  const dynamic = (await lines('readelf', '-dW', module)).join('\n');
  t.notMatch(dynamic, /\((INIT|FINI|INIT_ARRAY|FINI_ARRAY)\)/);
  t.notMatch((await lines('readelf', '-lW', module)).join('\n'), /\bTLS\b/);
});

t.test('it starts no thread, prints nothing, sets no handler and changes no environment', async (t) => {
  const imported = (await lines('nm', '-D', '--undefined-only', module)).map((line) =>
    line.split(' ').at(-1)?.replace(/@.*/, ''),
  );
  const forbidden =
    /^(pthread_create|clone|fork|vfork|exec.*|system|popen|exit|_exit|abort|printf|puts|f?printf|__f?printf_chk|perror|syslog|sigaction|signal|setenv|putenv|getenv|setlocale|umask|atexit|__cxa_atexit|pthread_atfork)$/;
  t.same(
    imported.filter((name) => forbidden.test(name ?? '')),
    [],
  );
});
