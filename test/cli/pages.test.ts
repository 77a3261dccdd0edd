/** What is made from the command table is what the table says (UPDATE_DOCS=1 writes it). */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import t from 'tap';
import { renderCliPage } from '../../src/cli/pages/cli-page.ts';
import { COMMANDS } from '../../src/cli/command-table.ts';
import { EXIT_CODES, helpOf } from '../../src/cli/pages/command-text.ts';
import { renderManPages } from '../../src/cli/pages/man-pages.ts';
import { ERRORS, exitCodeOf, type ErrorCode } from '../../src/errors.ts';

const ROOT = resolve(import.meta.dirname, '../..');

t.test('docs/cli.md is generated', async (t) => {
  const path = join(ROOT, 'docs/cli.md');
  if (process.env['UPDATE_DOCS']) writeFileSync(path, renderCliPage(COMMANDS));
  t.equal(readFileSync(path, 'utf8'), renderCliPage(COMMANDS));
});

t.test('docs/man is generated, a page for each command, and groff has nothing to say', async (t) => {
  const folder = join(ROOT, 'docs/man');
  const pages = renderManPages(COMMANDS);
  if (process.env['UPDATE_DOCS']) {
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder);
    for (const [name, text] of pages) writeFileSync(join(folder, name), text);
  }
  t.same(readdirSync(folder).sort(), [...pages.keys()].sort());
  for (const [name, text] of pages) t.equal(readFileSync(join(folder, name), 'utf8'), text, name);
  const files = [...pages.keys()].map((name) => join(folder, name));
  const groff = spawnSync('groff', ['-man', '-ww', '-z', '-Tascii', ...files], { encoding: 'utf8' });
  t.equal(groff.status, 0);
  t.equal(groff.stderr, '');
});

t.test('every exit code of an error is documented', async (t) => {
  const documented = new Set(EXIT_CODES.map(([code]) => code));
  for (const code of Object.keys(ERRORS) as ErrorCode[]) t.ok(documented.has(exitCodeOf(code)), code);
});

t.test('every command has a summary, an example of itself, and help for each argument', async (t) => {
  for (const command of COMMANDS) {
    t.match(command.name, /^[a-z-]+( [a-z0-9-]+)?$/);
    t.not(command.examples.length, 0, command.name);
    for (const line of command.examples) t.match(line, `sidekey ${command.name}`);
    for (const row of [...Object.values(command.options), ...command.positionals])
      t.not(row.help, '', command.name);
    const strings = Object.entries(command.options).filter(([, { type }]) => type === 'string');
    for (const [name, row] of strings)
      t.ok(row.value ?? row.choices, `${command.name} --${name} says what its value is`);
    t.match(helpOf(command), 'Exit codes: 0');
  }
  const names = COMMANDS.map(({ name }) => name);
  t.equal(new Set(names).size, names.length, 'no name twice');
});
