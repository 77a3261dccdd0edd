// What strangers named does not act on the terminal of whoever looks.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'tap';
import { isForTerminal } from '../../src/cli/message-io.ts';
import { forTerminal } from '../../src/cli/table.ts';
import { ROOT } from '../e2e/instance.ts';

const CSI = '\u009b';
const SIDEKEY = join(ROOT, 'bin/sidekey');
const ON_A_TERMINAL = ['-c', 'import pty, sys; pty.spawn(sys.argv[1:])'];

test('JSON on a terminal has no control characters, in a pipe every byte', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'sidekey-terminal-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const log = join(folder, 'audit.log');
  const line = JSON.stringify({ label: `${CSI}2J\u202e`, plain: 'grün' });
  writeFileSync(log, `${line}\n`);
  const args = ['audit', 'tail', log, '--json'];
  const options = { input: '', encoding: 'utf8', timeout: 60_000 } as const;
  t.equal(spawnSync(SIDEKEY, args, options).stdout, `${line}\n`);
  const shown = spawnSync('python3', [...ON_A_TERMINAL, SIDEKEY, ...args], options).stdout;
  t.match(shown, 'grün');
  t.notMatch(shown, /[\u0080-\u009f\u202e]/);
  t.end();
});

test('so have messages of errors', (t) => {
  const file = `/nowhere/\u001b]0;title\u0007${CSI}2J`;
  const args = [...ON_A_TERMINAL, SIDEKEY, 'audit', 'verify', file];
  const { stdout } = spawnSync('python3', args, { encoding: 'utf8', timeout: 60_000 });
  t.match(stdout, /audit_failed/);
  t.notMatch(stdout, /[\u0007\u001b\u0080-\u009f]/);
  t.end();
});

test('colours are ours, and lines and tabs stay', (t) => {
  t.equal(forTerminal('\u001b[31mbad\u001b[0m\ta\nb'), '\u001b[31mbad\u001b[0m\ta\nb');
  t.equal(forTerminal('\u001b[2J\r\u001b]0;x'), '\uFFFD[2J\uFFFD\uFFFD]0;x');
  t.end();
});

test('a decrypted message is for a terminal when it is text', (t) => {
  for (const text of ['', 'text\r\n\ttext', 'grün', '\u00a0', '\u4e9b'])
    t.ok(isForTerminal(Buffer.from(text)), text);
  for (const text of ['\u001b[2J', CSI, 'a\u0085b', '\0', '\u007f'])
    t.notOk(isForTerminal(Buffer.from(text)), text);
  t.end();
});
