// What `sidekey keys show` makes of attributes.
import { test } from 'tap';
import { attributeName, attributeText } from '../../src/cli/attribute-text.ts';
import { CKA, CKM } from '../../src/tokens/cryptoki.ts';
import { encodeBool, encodeUlong } from '../../src/tokens/objects/attribute-value.ts';

test('values read as their kind does', async (t) => {
  const cases: [number, Buffer, string][] = [
    [CKA.CLASS, encodeUlong(3), 'CKO_PRIVATE_KEY'],
    [CKA.KEY_TYPE, encodeUlong(3), 'CKK_EC'],
    [CKA.KEY_TYPE, encodeUlong(0x7777), '0x00007777'],
    [CKA.SENSITIVE, encodeBool(true), 'true'],
    [CKA.TOKEN, encodeBool(false), 'false'],
    [CKA.VALUE_LEN, encodeUlong(32), '32'],
    [CKA.KEY_GEN_MECHANISM, Buffer.alloc(8, 0xff), 'unavailable'],
    [CKA.LABEL, Buffer.from('Schlüssel 1'), 'Schlüssel 1'],
    [CKA.LABEL, Buffer.from('a\x1b[2J'), '611b5b324a'],
    [CKA.LABEL, Buffer.of(0xff, 0xfe), 'fffe'],
    [CKA.ID, Buffer.from('text'), '74657874'],
    [CKA.START_DATE, Buffer.from('20261127'), '2026-11-27'],
    [
      CKA.ALLOWED_MECHANISMS,
      Buffer.concat([encodeUlong(CKM.AES_GCM), encodeUlong(0x7777)]),
      'CKM_AES_GCM 0x00007777',
    ],
    [CKA.ID, Buffer.alloc(0), '(empty)'],
    [0x80001234, Buffer.of(7), '07'],
  ];
  for (const [type, value, text] of cases) t.equal(attributeText(type, value.toString('hex')), text, text);
  t.equal(attributeName(CKA.EC_POINT), 'CKA_EC_POINT');
  t.equal(attributeName(0x80001234), '0x80001234');
});
