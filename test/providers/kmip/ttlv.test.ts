import assert from 'node:assert/strict';
import t from 'tap';
import { decodeTtlv, encodeTtlv, messageLength, type TtlvItem } from '../../../src/providers/kmip/ttlv.ts';
import { parseMessages, type NumberTables } from './oasis-xml.ts';
import { listShared, readShared } from './shared.ts';

const hex = (text: string): Buffer => Buffer.from(text.replace(/[| ]/g, ''), 'hex');

// The examples of KMIP 1.4, 9.1.2.
const EXAMPLES: [string, TtlvItem, string][] = [
  [
    'an integer',
    { tag: 0x420020, type: 'integer', value: 8 },
    '42 00 20 | 02 | 00 00 00 04 | 00 00 00 08 00 00 00 00',
  ],
  [
    'a long integer',
    { tag: 0x420020, type: 'longInteger', value: 123456789000000000n },
    '42 00 20 | 03 | 00 00 00 08 | 01 B6 9B 4B A5 74 92 00',
  ],
  [
    'a big integer',
    { tag: 0x420020, type: 'bigInteger', value: hex('00 00 00 00 03 FD 35 EB 6B C2 DF 46 18 08 00 00') },
    '42 00 20 | 04 | 00 00 00 10 | 00 00 00 00 03 FD 35 EB 6B C2 DF 46 18 08 00 00',
  ],
  [
    'an enumeration',
    { tag: 0x420020, type: 'enumeration', value: 255 },
    '42 00 20 | 05 | 00 00 00 04 | 00 00 00 FF 00 00 00 00',
  ],
  [
    'a boolean',
    { tag: 0x420020, type: 'boolean', value: true },
    '42 00 20 | 06 | 00 00 00 08 | 00 00 00 00 00 00 00 01',
  ],
  [
    'a text',
    { tag: 0x420020, type: 'text', value: 'Hello World' },
    '42 00 20 | 07 | 00 00 00 0B | 48 65 6C 6C 6F 20 57 6F 72 6C 64 00 00 00 00 00',
  ],
  [
    'bytes',
    { tag: 0x420020, type: 'bytes', value: hex('01 02 03') },
    '42 00 20 | 08 | 00 00 00 03 | 01 02 03 00 00 00 00 00',
  ],
  [
    'a date and time',
    { tag: 0x420020, type: 'dateTime', value: 1205495800n },
    '42 00 20 | 09 | 00 00 00 08 | 00 00 00 00 47 DA 67 F8',
  ],
  [
    'an interval',
    { tag: 0x420020, type: 'interval', value: 864000 },
    '42 00 20 | 0A | 00 00 00 04 | 00 0D 2F 00 00 00 00 00',
  ],
  [
    'a structure',
    {
      tag: 0x420020,
      type: 'structure',
      value: [
        { tag: 0x420004, type: 'enumeration', value: 254 },
        { tag: 0x420005, type: 'integer', value: 255 },
      ],
    },
    `42 00 20 | 01 | 00 00 00 20 | 42 00 04 | 05 | 00 00 00 04 | 00 00 00 FE 00 00 00 00 | 42 00 05 | 02 | 00 00 00 04 |
     00 00 00 FF 00 00 00 00`.replace(/\n/g, ''),
  ],
];

for (const [what, item, text] of EXAMPLES)
  t.test(`${what} as the specification encodes it`, async (t) => {
    t.equal(encodeTtlv(item).toString('hex'), hex(text).toString('hex'));
    t.strictSame(decodeTtlv(hex(text)), item);
  });

function nested(depth: number): Buffer {
  let bytes = hex('420020 02 00000004 00000001 00000000');
  for (let i = 0; i < depth; i++) {
    const head = hex('420021 01 00000000');
    head.writeUInt32BE(bytes.length, 4);
    bytes = Buffer.concat([head, bytes]);
  }
  return bytes;
}

const REFUSED: [string, Buffer][] = [
  ['nothing', Buffer.alloc(0)],
  ['half a head', hex('420020 02')],
  ['a value cut short', hex('420020 02 00000004 00000008')],
  ['a length beyond the end', hex('420020 08 ffffffff 0000000000000000')],
  ['a child beyond its structure', hex('420020 01 00000008 420004 08 00000008 0000000000000000')],
  [
    'a child beyond its structure, into what follows it',
    hex('420020 01 00000020 420021 01 00000008 420004 08 00000010 420020 02 00000004 00000001 00000000'),
  ],
  ['an integer of eight bytes', hex('420020 02 00000008 0000000000000008')],
  ['a boolean of 2', hex('420020 06 00000008 0000000000000002')],
  ['a big integer of four bytes', hex('420020 04 00000004 0000000100000000')],
  ['padding that is not zero', hex('420020 02 00000004 00000008 00000001')],
  ['an unknown type', hex('420020 0c 00000008 0000000000000008')],
  ['a text that is not UTF-8', hex('420020 07 00000002 c328000000000000')],
  ['bytes after the end', hex('420020 02 00000004 00000008 00000000 00')],
  ['deep nesting', nested(17)],
  [
    'ten thousand items',
    Buffer.concat([
      hex('420021 01 00027100'),
      Buffer.concat(Array(10_000).fill(hex('420020 02 00000004 00000001 00000000')) as Buffer[]),
    ]),
  ],
];

for (const [what, bytes] of REFUSED)
  t.test(`${what}: refused`, async (t) => {
    t.throws(() => decodeTtlv(bytes), { name: 'TtlvError' });
  });

t.test('sixteen structures deep is deep enough', async (t) => {
  t.ok(decodeTtlv(nested(16)));
});

t.test('a message tells its length before it is read', async (t) => {
  t.equal(messageLength(hex('42007b 01 000000')), null);
  t.equal(messageLength(hex('42007b 01 00000170')), 0x178);
  for (const bad of ['42007b 01 00100000', '42007b 01 ffffffff', '42007b 02 00000004', '42007b 01 00000004'])
    t.throws(() => messageLength(hex(bad)), { name: 'TtlvError' }, bad);
});

t.test('what PyKMIP and its clients said decodes, and encodes to the same bytes', async (t) => {
  const text = readShared('pykmip-transcripts.json');
  if (text === null) return;
  const { pairs } = JSON.parse(text.toString('utf8')) as { pairs: { request: string; response: string }[] };
  t.ok(pairs.length >= 168);
  for (const message of pairs.flatMap(({ request, response }) => [request, response])) {
    const again = encodeTtlv(decodeTtlv(Buffer.from(message, 'hex'))).toString('hex');
    if (again !== message) t.equal(again, message);
  }
});

function numberTables(version: string): NumberTables | null {
  const text = readShared('tags-enums.json');
  if (text === null) return null;
  const shared = JSON.parse(text.toString('utf8')) as Record<
    string,
    { tags: Record<string, number>; enums: Record<string, Record<string, number>> }
  >;
  const plain = (table: Record<string, number>) =>
    new Map(Object.entries(table).map(([name, number]) => [name.replace(/[^A-Za-z0-9]/g, ''), number]));
  const { tags = {}, enums = {} } = shared[version] ?? {};
  const all = new Map([
    ...plain(shared['kmip_1.4']?.tags ?? {}),
    ...plain(shared['kmip_2.1']?.tags ?? {}),
    ...plain(tags),
  ]);
  return {
    tags: all,
    enums: new Map(
      Object.entries(enums).map(([name, table]) => [name.replace(/[^A-Za-z0-9]/g, ''), plain(table)]),
    ),
  };
}

for (const [folder, version] of [
  ['testcases/v1.4', 'kmip_1.4'],
  ['testcases/v2.1', 'kmip_2.1'],
] as const)
  t.test(`the OASIS test cases of ${folder} survive the codec`, async (t) => {
    const tables = numberTables(version);
    if (!tables) return;
    const files = listShared(folder, '.xml');
    let count = 0;
    for (const file of files) {
      const messages = parseMessages(readShared(file)?.toString('utf8') ?? '', tables);
      count += messages.length;
      for (const message of messages) {
        const encoded = encodeTtlv(message);
        const decoded = decodeTtlv(encoded);
        if (!encodeTtlv(decoded).equals(encoded)) t.fail(file);
        assert.deepStrictEqual(decoded, message, file);
      }
    }
    t.ok(files.length > 50, `${files.length} cases`);
    t.ok(count > 200, `${count} messages`);
  });
