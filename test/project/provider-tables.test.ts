/** The tables of docs/providers.md that say which provider can do what: every cell names tests, which are there; every capability has a row. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import t from 'tap';
import { KINDS } from '../providers/faults/matrix.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const REFERENCE = /\[([^\]]+)\]\[([a-z]+)\]/g;
const HEAD = /^\| \| pkcs11-hsm \|.*\|$/m;

const page = readFileSync(resolve(ROOT, 'docs/providers.md'), 'utf8');

/** What stands in a file that a cell names by such a word. */
const WORDS: Readonly<Record<string, RegExp>> = {
  contract: /test(Contract|ResidentKeys|Version)\(/,
  program: /runResident\(|resident-program/,
  openbao: /testContract\(/,
  OpenBao: /testResidentKeys\(/,
  ministack: /testResidentKeys\(/,
  moto: /resident keys of moto are made, listed, read, used and destroyed/,
  'pkcs11-tool': /pkcs11-tool makes, uses and destroys/,
  fake: /testResidentKeys\(t, `a KMIP server of/,
  events: /t\.test\(/,
  'as processes': /the data key comes wrapped: no process but the keeper ever has it/,
  kept: /a public key that the server keeps: it verifies by itself/,
  replaced: /a replaced key keeps its name/,
  KEK: /the KEK is (no resident key|none)/,
  doubles: /of two keys of one name and id none is/,
  versions: /each (enabled )?version/,
  pages: /aliases come by pages/,
  deletion: /a destroyed key is deleted after thirty days/,
  codes: /codes are made by HMAC and by CMAC/,
  'every way to sign': /every way to sign/,
  AES: /AES: CBC with the IV of the caller both ways/,
};

/** The row of each thing that a provider may be able to do. */
const ROWS_OF_KEKS: Readonly<Record<string, string>> = {
  generateDataKey: 'data keys',
  unwrapDataKey: 'data keys',
  health: 'state of the KEK',
  credentialSecondsLeft: 'how long the credentials last',
  bare: 'envelopes',
  watch: 'events',
  carried: 'data keys that come wrapped',
  random: 'random bytes',
};
const ROWS_OF_RESIDENT: Readonly<Record<string, string>> = {
  list: 'list by prefix',
  publicKey: 'list by prefix',
  create: 'make a key',
  rotate: 'rotate',
  destroy: 'destroy',
  sign: 'sign with a private key',
  encrypt: 'encrypt and decrypt with a secret key',
  decrypt: 'decrypt with a private key',
  agree: 'derive by ECDH',
  verifies: 'verify where the public key is kept',
  verify: 'verify where the public key is kept',
};
/** No capabilities: what an adapter is made of. */
const APART = ['resident', 'close', 'creates', 'keepsIds'];

function tablesOf(text: string): string[][] {
  return text
    .split('\n\n')
    .filter((paragraph) => HEAD.test(paragraph))
    .map((paragraph) => paragraph.trim().split('\n'));
}

function cellsOf(row: string): string[] {
  return row
    .split('|')
    .slice(1, -1)
    .map((cell) => cell.trim());
}

/** Names of the members of an interface, as its source has them. */
function membersOf(file: string, name: string): string[] {
  const source = readFileSync(resolve(ROOT, file), 'utf8');
  const body = new RegExp(`^export interface ${name} \\{\\n([^]*?)^\\}`, 'm').exec(source)?.[1] ?? '';
  return [...body.matchAll(/^  (?:readonly )?(\w+)\??[:(]/gm)].map((match) => match[1] ?? '');
}

function fileOf(key: string): string {
  return new RegExp(`^\\[${key}\\]: \\.\\./(\\S+)$`, 'm').exec(page)?.[1] ?? '';
}

const tables = tablesOf(page);

t.test('there are two tables, of the same six providers', async (t) => {
  t.equal(tables.length, 2);
  for (const [head = ''] of tables) t.strictSame(cellsOf(head).slice(1).sort(), [...KINDS].sort());
});

t.test('every cell that is not empty names tests that are there', async (t) => {
  let seen = 0;
  for (const row of tables.flatMap((table) => table.slice(2)))
    for (const cell of cellsOf(row)
      .slice(1)
      .filter((each) => each !== '')) {
      const references = [...cell.matchAll(REFERENCE)];
      t.ok(references.length > 0, cell);
      for (const [, words = '', key = ''] of references)
        for (const word of words.split(', ')) {
          const expected = WORDS[word];
          if (expected === undefined) t.fail(`"${word}" is no word for a test`);
          else if (!expected.test(readFileSync(resolve(ROOT, fileOf(key)), 'utf8')))
            t.fail(`${fileOf(key)} has nothing that "${word}" stands for`);
          seen++;
        }
    }
  t.ok(seen > 100, `${seen} references`);
});

t.test('every capability of a provider has a row', async (t) => {
  const [ofKeks = [], ofResident = []] = tables.map((table) => table.slice(2).map((row) => cellsOf(row)[0]));
  for (const [rows, names, members] of [
    [ofKeks, ROWS_OF_KEKS, membersOf('src/providers/key-service.ts', 'KeyService')],
    [ofResident, ROWS_OF_RESIDENT, membersOf('src/tokens/resident-port.ts', 'ResidentKeys')],
  ] as const) {
    t.ok(members.length > 8, members.join());
    for (const member of members.filter((each) => !APART.includes(each))) {
      const begin = names[member] ?? `(no row is named for ${member})`;
      t.ok(
        rows.some((row) => row?.startsWith(begin)),
        `${member}: ${begin}`,
      );
    }
  }
});
