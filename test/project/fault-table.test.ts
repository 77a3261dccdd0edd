/** The tests that docs/providers.md names for each fault are there, by these names. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import t from 'tap';

const DOCS = resolve(import.meta.dirname, '../../docs');
const REFERENCE = /\[[^\]]+\]\(([^)]+)\): \*([^*]+)\*/g;

const page = readFileSync(resolve(DOCS, 'providers.md'), 'utf8');
const rows = (/^## Faults\n([^]*?)^## /m.exec(page)?.[1] ?? '')
  .split('\n')
  .filter((line) => line.startsWith('| '));

t.test('each fault names tests that exist', (t) => {
  t.ok(rows.length > 15, `${rows.length} rows`);
  for (const row of rows.slice(2)) {
    const references = [...row.matchAll(REFERENCE)];
    t.ok(references.length > 0, row.split('|')[1]?.trim() ?? row);
    for (const [, file = '', name = ''] of references) {
      const source = readFileSync(resolve(DOCS, file), 'utf8');
      if (!source.includes(name)) t.fail(`${file} has no test "${name}"`);
    }
  }
  t.end();
});
