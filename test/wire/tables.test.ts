/** The tables of C and TypeScript are the same, and the pages are those of the table. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import t from 'tap';
import { renderErrorPages } from '../../src/error-pages.ts';
import { ERRORS } from '../../src/errors.ts';
import { LIMITS, MESSAGES, OPERATE, OPERATIONS, OUTPUT, RESIDENT_FROM } from '../../src/wire/tables.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const wire = (file: string) => readFileSync(join(ROOT, 'native-shim/wire', file), 'utf8');

t.test('messages.def is MESSAGES', (t) => {
  const rows = [...wire('messages.def').matchAll(/^MESSAGE\((\w+), (\w+), (\w+), (\w+), (\w+)\)/gm)];
  const found = Object.fromEntries(
    rows.map(([, number, name, from, to, material]) => [
      name,
      { number: Number(number), from, to, material },
    ]),
  );
  t.strictSame(found, MESSAGES);
  t.end();
});

t.test('errors.def is the part of ERRORS with a status', (t) => {
  const rows = [...wire('errors.def').matchAll(/^ERROR\((\d+), (\w+), (\w+)\)/gm)];
  const found = rows
    .map(([, status, code, ckr]) => [code, Number(status), ckr])
    .filter(([code]) => code !== 'ok');
  const mine = Object.entries(ERRORS).flatMap(([code, { wire, ckr }]) =>
    wire === null ? [] : [[code, wire, ckr]],
  );
  t.strictSame(found, mine);
  t.end();
});

t.test('limits.h is LIMITS', (t) => {
  const camel = (name: string) =>
    name.toLowerCase().replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
  const rows = [...wire('limits.h').matchAll(/^(?:#define|\s+) ?WIRE_(\w+) (?:= )?(\d+)/gm)];
  const found = Object.fromEntries(rows.map(([, name, value]) => [camel(name ?? ''), Number(value)]));
  t.strictSame(found, LIMITS);
  t.end();
});

t.test('the operations and flags of frame.h are OPERATIONS and OPERATE', (t) => {
  const text = wire('frame.h');
  for (const [name, value] of Object.entries({ ...OPERATIONS, ...OPERATE })) {
    t.match(text, new RegExp(`WIRE_${name.toUpperCase()} = ${value}\\b`));
  }
  t.end();
});

t.test('the output rules and the first resident handle of frame.h are OUTPUT and RESIDENT_FROM', (t) => {
  const text = wire('frame.h');
  const snake = (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase();
  for (const [name, value] of Object.entries(OUTPUT))
    t.match(text, new RegExp(`WIRE_OUTPUT_${snake(name)} = ${value}\\b`));
  const shift = /WIRE_RESIDENT_FROM \(\(uint64_t\)1 << (\d+)\)/.exec(text)?.[1];
  t.equal(RESIDENT_FROM, 2 ** Number(shift));
  t.end();
});

t.test('docs/errors.md is generated (UPDATE_DOCS=1 writes it)', (t) => {
  const path = join(ROOT, 'docs/errors.md');
  if (process.env['UPDATE_DOCS']) writeFileSync(path, renderErrorPages());
  t.equal(readFileSync(path, 'utf8'), renderErrorPages());
  t.end();
});
