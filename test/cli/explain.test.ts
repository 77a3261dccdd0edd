import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import t from 'tap';
import { explainCode, KNOWN_CODES } from '../../src/error-pages.ts';
import { ERRORS } from '../../src/errors.ts';
import { RETURN_CODES } from '../../src/return-codes.ts';

const ROOT = resolve(import.meta.dirname, '../..');

function explain(...args: string[]) {
  return spawnSync(join(ROOT, 'bin/sidekey'), ['explain', ...args], {
    encoding: 'utf8',
    timeout: 20_000,
    env: {},
  });
}

t.test('the numbers are those of the standard’s header', async (t) => {
  const header = [
    '/usr/include/p11-kit-1/p11-kit/pkcs11.h',
    join(ROOT, 'native-shim/wire/cryptoki31.h'),
    join(ROOT, 'native-shim/wire/cryptoki32.h'),
    join(ROOT, 'native-shim/module/cryptoki3.h'),
  ]
    .map((path) => readFileSync(path, 'utf8'))
    .join('\n');
  const defined = new Map<string, number>();
  for (const [, name = '', text] of header.matchAll(/#define\s+(CKR_\w+)\s+\(?(0x[\da-f]+|\d+)U?L?\)?/gi))
    defined.set(name, Number(text));
  t.ok(defined.size > 90);
  for (const [name, number] of defined) t.equal(RETURN_CODES[name as keyof typeof RETURN_CODES]?.[0], number);
});

t.test('every return value and every error is explained', async (t) => {
  for (const code of KNOWN_CODES) t.not(explainCode(code)?.length ?? 0, 0, code);
  for (const [code, { ckr }] of Object.entries(ERRORS)) {
    const meanings = ckr === null ? [code] : explainCode(ckr)?.map((each) => each.code);
    t.ok(meanings?.includes(code), `${code} stands among the meanings of ${ckr}`);
  }
});

for (const [code, said] of [
  ['CKR_PIN_LOCKED', /^pin_locked \(status 57/],
  ['pin_locked', /CKR_PIN_LOCKED/],
  ['PIN_LOCKED', /What to do: /],
  ['0xa4', /^pin_locked/],
  ['164', /^pin_locked/],
  ['57', /^pin_locked/],
  ['CKR_DEVICE_ERROR', /keeper_absent[^]*provider_refused[^]*seal_broken/],
  ['buffer_too_small', /^CKR_BUFFER_TOO_SMALL \(0x150\)/],
  ['not_running', /exit code 3/],
  ['0x80000001', /vendor/],
] as const) {
  t.test(`sidekey explain ${code}`, async (t) => {
    const { status, stdout, stderr } = explain(code);
    t.equal(status, 0, stderr);
    t.match(stdout, said);
  });
}

t.test('JSON has the same', async (t) => {
  const [found] = JSON.parse(explain('--json', 'CKR_PIN_INCORRECT').stdout);
  t.match(found, { code: 'pin_incorrect', what: /wrong/, why: String, cure: String });
});

t.test('what is not known is refused with the nearest', async (t) => {
  const { status, stderr } = explain('CKR_PIN_LOKED');
  t.equal(status, 2);
  t.match(stderr, /did you mean CKR_PIN_LOCKED\?/);
  t.equal(explain('0x7fff').status, 2);
});
