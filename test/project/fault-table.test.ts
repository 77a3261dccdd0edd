/** docs/providers.md says of every fault what each provider makes of it, as the tests have it; and the tests that it names are there, by these names. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import t, { type Test } from 'tap';
import { FAULTS, KINDS, printMatrix, type FaultRow } from '../providers/faults/matrix.ts';

const TEST = resolve(import.meta.dirname, '..');
const DOCS = resolve(TEST, '../docs');
const REFERENCE = /\[[^\]]+\]\(([^)]+)\): \*([^*]+)\*/g;

const page = readFileSync(resolve(DOCS, 'providers.md'), 'utf8');
const section = /^## Faults\n([^]*?)^## /m.exec(page)?.[1] ?? '';
const [, further = ''] = section.split('| further |');

function checkTest(t: Test, file: string, name: string): void {
  if (!readFileSync(file, 'utf8').includes(name)) t.fail(`${file} has no test "${name}"`);
}

t.test('the matrix of faults and providers is that of the tests', async (t) => {
  t.ok(section.includes(printMatrix()), 'node test/providers/faults/matrix.ts prints it');
  t.equal(FAULTS.length * KINDS.length, 19 * 6);
});

t.test('what another file tests is there', async (t) => {
  const cells = (FAULTS as readonly FaultRow[]).flatMap(({ cells }) => Object.values(cells));
  for (const cell of cells)
    if ('ends' in cell && cell.test) checkTest(t, resolve(TEST, cell.test[0]), cell.test[1]);
});

const credentials = /^## Credentials\n([^]*?)^## /m.exec(page)?.[1] ?? '';

for (const [what, text, most] of [
  ['further fault', further, 4],
  ['source of credentials', credentials, 20],
] as const)
  t.test(`each ${what} names tests that exist`, async (t) => {
    const rows = text.split('\n').filter((line) => line.startsWith('| '));
    t.ok(rows.length > most, `${rows.length} rows`);
    for (const row of rows.slice(text === further ? 1 : 2)) {
      const references = [...row.matchAll(REFERENCE)];
      t.ok(references.length > 0, row.split('|')[1]?.trim() ?? row);
      for (const [, file = '', name = ''] of references) checkTest(t, resolve(DOCS, file), name);
    }
  });
