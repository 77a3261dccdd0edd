// Walks the attribute table: every row, in every class of object that has it.
import { test } from 'tap';
import { defaultValue, encodeBool, encodeUlong } from '../../../src/tokens/objects/attribute-value.ts';
import {
  ATTRIBUTES,
  findRow,
  rowsOf,
  type AttributeRow,
  type ObjectKind,
} from '../../../src/tokens/objects/attributes.ts';
import { CKA, CKK, CKO } from '../../../src/tokens/cryptoki.ts';
import {
  buildAttributes,
  changeAttributes,
  collect,
  identify,
} from '../../../src/tokens/objects/object-template.ts';
import type { TokenObject } from '../../../src/tokens/objects/token-object.ts';

const CASES: readonly { kind: ObjectKind; objectClass: number; keyType: number | null }[] = [
  { kind: 'data', objectClass: CKO.DATA, keyType: null },
  { kind: 'certificate', objectClass: CKO.CERTIFICATE, keyType: null },
  { kind: 'public', objectClass: CKO.PUBLIC_KEY, keyType: CKK.RSA },
  { kind: 'public', objectClass: CKO.PUBLIC_KEY, keyType: CKK.EC },
  { kind: 'private', objectClass: CKO.PRIVATE_KEY, keyType: CKK.RSA },
  { kind: 'private', objectClass: CKO.PRIVATE_KEY, keyType: CKK.EC_MONTGOMERY },
  { kind: 'secret', objectClass: CKO.SECRET_KEY, keyType: CKK.AES },
];
const SAMPLES = { bool: encodeBool(false), ulong: encodeUlong(0), bytes: Buffer.of(1, 2) };
const EMPTY = Buffer.alloc(0);

function sample(row: AttributeRow): Buffer {
  return row.kind === 'bool' || row.kind === 'ulong' || row.kind === 'bytes' ? SAMPLES[row.kind] : EMPTY;
}

/** The minimum that C_CreateObject needs. */
function complete(kind: ObjectKind, objectClass: number, keyType: number | null) {
  const template = new Map([[CKA.CLASS as number, encodeUlong(objectClass)]]);
  if (keyType !== null) template.set(CKA.KEY_TYPE, encodeUlong(keyType));
  const needed = rowsOf(kind, keyType).filter((row) => row.needed?.includes('create') === true);
  for (const row of needed)
    if (row.material !== true && !template.has(row.type)) template.set(row.type, sample(row));
  const material = needed.filter((row) => row.material === true).map(({ type }) => type);
  return { origin: 'create' as const, objectClass, keyType, template, material };
}

for (const { kind, objectClass, keyType } of CASES) {
  const wanted = complete(kind, objectClass, keyType);
  const name = `${kind} ${keyType ?? ''}`.trim();

  test(`${name}: what is silent gets its default, what is needed is needed`, async (t) => {
    const attributes = buildAttributes(wanted);
    for (const row of rowsOf(kind, keyType)) {
      const value = row.material === true ? null : defaultValue(row);
      if (!wanted.template.has(row.type) && value !== null) t.same(attributes.get(row.type), value, row.name);
      if (row.material === true) t.notOk(attributes.has(row.type), `${row.name} stays with the keeper`);
    }
    for (const type of wanted.template.keys()) {
      const template = new Map(wanted.template);
      template.delete(type);
      if (type === CKA.CLASS || type === CKA.KEY_TYPE)
        t.throws(() => identify(template), { code: 'template_incomplete' });
      else t.throws(() => buildAttributes({ ...wanted, template }), { code: 'template_incomplete' });
    }
    for (const type of wanted.material) {
      const material = wanted.material.filter((other) => other !== type);
      t.throws(() => buildAttributes({ ...wanted, material }), { code: 'template_incomplete' });
    }
  });

  test(`${name}: a wrong size, a wrong class and a token's own attribute are refused`, async (t) => {
    for (const row of ATTRIBUTES) {
      const own = findRow(row.type, kind, keyType);
      const give = (value: Buffer) => () =>
        buildAttributes({ ...wanted, template: new Map([...wanted.template, [row.type, value]]) });
      if (own === null) t.throws(give(sample(row)), { code: 'attribute_type_invalid' }, row.name);
      else if (!own.set.includes('create'))
        t.throws(give(sample(own)), { code: 'attribute_read_only' }, row.name);
      else if (own.material === true)
        t.throws(give(sample(own)), { code: 'template_inconsistent' }, row.name);
      else if (own.kind !== 'bytes')
        t.throws(give(Buffer.alloc(3, 9)), { code: 'attribute_value_invalid' }, row.name);
      else t.doesNotThrow(give(Buffer.alloc(3)), row.name);
    }
    const unknown = new Map([...wanted.template, [0x80001234, EMPTY]]);
    t.throws(() => buildAttributes({ ...wanted, template: unknown }), { code: 'attribute_type_invalid' });
  });

  test(`${name}: what is trusted comes from the security officer alone`, async (t) => {
    const row = findRow(CKA.TRUSTED, kind, keyType);
    if (row === null) return;
    const trusted = { ...wanted, template: new Map([...wanted.template, [row.type, encodeBool(true)]]) };
    t.throws(() => buildAttributes(trusted), { code: 'attribute_read_only' });
    t.same(buildAttributes({ ...trusted, byOfficer: true }).get(row.type), encodeBool(true));
  });

  test(`${name}: changes go the way that the row says`, async (t) => {
    const base = buildAttributes(wanted);
    const by = { isOfficer: false, isCopy: false };
    const change = (row: AttributeRow, from: boolean, to: boolean, who = by) => {
      const attributes = new Map([...base, [row.type, encodeBool(from)]]);
      return () =>
        changeAttributes(
          { attributes } as unknown as TokenObject,
          new Map([[row.type, encodeBool(to)]]),
          who,
        );
    };
    const refused = { code: 'attribute_read_only' };
    for (const row of rowsOf(kind, keyType).filter((one) => one.kind === 'bool')) {
      const { change: way } = row;
      if (way === 'free') t.doesNotThrow(change(row, true, false), row.name);
      if (way === 'no' || way === 'copy') t.throws(change(row, false, true), refused, row.name);
      if (way === 'copy') t.doesNotThrow(change(row, false, true, { ...by, isCopy: true }), row.name);
      if (way === 'raise') t.throws(change(row, true, false), refused, row.name);
      if (way === 'raise') t.doesNotThrow(change(row, false, true), row.name);
      if (way === 'lower') t.throws(change(row, false, true), refused, row.name);
      if (way === 'lower') t.doesNotThrow(change(row, true, false), row.name);
      if (way === 'so') t.throws(change(row, false, true), refused, row.name);
      if (way === 'so') t.doesNotThrow(change(row, false, true, { ...by, isOfficer: true }), row.name);
    }
  });
}

test('one attribute with two values, and a class that does not go with its key type, are inconsistent', async (t) => {
  const twice = [encodeBool(true), encodeBool(false)].map((value) => ({ type: CKA.TOKEN, value }));
  t.throws(() => collect(twice), { code: 'template_inconsistent' });
  t.equal(collect([...twice.slice(0, 1), ...twice.slice(0, 1)]).size, 1, 'the same value twice is harmless');
  const mismatch = new Map([
    [CKA.CLASS as number, encodeUlong(CKO.SECRET_KEY)],
    [CKA.KEY_TYPE as number, encodeUlong(CKK.RSA)],
  ]);
  t.throws(() => identify(mismatch), { code: 'template_inconsistent' });
});
