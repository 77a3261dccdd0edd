// docs/pkcs11.md says which test shows what: each is there, and no test of an application is left out.
import { existsSync, globSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import t from 'tap';

const ROOT = resolve(import.meta.dirname, '../..');
const page = readFileSync(join(ROOT, 'docs/pkcs11.md'), 'utf8');
const named = new Set(page.match(/\btest\/[\w/.-]+\.(ts|py|c)\b/g));

t.test('every test that docs/pkcs11.md names is there', (t) => {
  t.ok(named.size > 30);
  for (const path of named) t.ok(existsSync(join(ROOT, path)), path);
  t.end();
});

t.test('docs/pkcs11.md names every test of an application', (t) => {
  for (const path of globSync('test/apps/*.test.ts', { cwd: ROOT })) t.ok(named.has(path), path);
  t.end();
});
