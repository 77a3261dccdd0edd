import t from 'tap';
import * as tables from '../../../src/providers/kmip/tables.ts';
import { readShared } from './shared.ts';

interface Tables {
  readonly tags: Record<string, number>;
  readonly enums: Record<string, Record<string, number>>;
}

const plain = (name: string): string => name.replace(/[^A-Za-z0-9]/g, '');

function byPlainName(table: Record<string, number>): Map<string, number> {
  return new Map(Object.entries(table).map(([name, number]) => [plain(name), number]));
}

t.test('tags and enumerations are those of OASIS', async (t) => {
  const text = readShared('tags-enums.json');
  if (text === null) return;
  const shared = JSON.parse(text.toString('utf8')) as Record<'kmip_1.4' | 'kmip_2.1', Tables>;
  const { tags, enums } = shared['kmip_2.1'];
  const expected: [string, Readonly<Record<string, number>>, Record<string, number> | undefined][] = [
    ['tag', tables.TAG, tags],
    ['operation', tables.OPERATION, enums['Operation']],
    ['status', tables.RESULT_STATUS, enums['Result Status']],
    ['reason', tables.RESULT_REASON, enums['Result Reason']],
    ['state', tables.STATE, enums['State']],
    ['mode', tables.BLOCK_CIPHER_MODE, enums['Block Cipher Mode']],
    ['padding', tables.PADDING_METHOD, enums['Padding Method']],
    ['algorithm', tables.CRYPTOGRAPHIC_ALGORITHM, enums['Cryptographic Algorithm']],
    ['hash', tables.HASHING_ALGORITHM, enums['Hashing Algorithm']],
    ['curve', tables.RECOMMENDED_CURVE, enums['Recommended Curve']],
    ['object type', tables.OBJECT_TYPE, enums['Object Type']],
    ['format', tables.KEY_FORMAT_TYPE, enums['Key Format Type']],
    ['link', tables.LINK_TYPE, enums['Link Type']],
    ['wrapping', tables.WRAPPING_METHOD, enums['Wrapping Method']],
    ['encoding', tables.ENCODING_OPTION, enums['Encoding Option']],
    ['validity', tables.VALIDITY_INDICATOR, enums['Validity Indicator']],
    ['query', tables.QUERY_FUNCTION, enums['Query Function']],
    ['revocation', tables.REVOCATION_REASON_CODE, enums['Revocation Reason Code']],
    ['tag of 1.x', tables.OLD_TAG, shared['kmip_1.4'].tags],
  ];
  for (const [what, ours, theirs] of expected) {
    const wanted = byPlainName(theirs ?? {});
    for (const [name, number] of Object.entries(ours)) t.equal(number, wanted.get(name), `${what} ${name}`);
  }
});
