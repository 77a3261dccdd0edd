// Payloads of requests compared with those of OASIS's test cases, byte for byte. The names give the test case of each fragment.
import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import t from 'tap';
import { nameAttribute } from '../../../src/providers/kmip/attributes.ts';
import type { KmipCaller } from '../../../src/providers/kmip/client.ts';
import * as keys from '../../../src/providers/kmip/key-operations.ts';
import { getWrapped, register, wrappingSpecification } from '../../../src/providers/kmip/key-transport.ts';
import {
  enumeration,
  integer,
  structure,
  text,
  type KmipVersion,
  type Payload,
} from '../../../src/providers/kmip/message.ts';
import { retrieveRandom } from '../../../src/providers/kmip/operations.ts';
import { verifySignature } from '../../../src/providers/kmip/resident-operations.ts';
import * as tables from '../../../src/providers/kmip/tables.ts';
import { encodeTtlv } from '../../../src/providers/kmip/ttlv.ts';
import { parseMessages, type NumberTables } from './oasis-xml.ts';

const { TAG, OBJECT_TYPE, KEY_FORMAT_TYPE, CRYPTOGRAPHIC_ALGORITHM: ALGORITHM, USAGE } = tables;

/** tables.test.ts compares it with OASIS's. */
const NUMBERS: NumberTables = {
  tags: new Map(Object.entries({ ...tables.TAG, ...tables.OLD_TAG })),
  enums: new Map([
    ['ObjectType', new Map(Object.entries(OBJECT_TYPE))],
    ['WrappingMethod', new Map(Object.entries(tables.WRAPPING_METHOD))],
    ['EncodingOption', new Map(Object.entries(tables.ENCODING_OPTION))],
    ['PaddingMethod', new Map(Object.entries(tables.PADDING_METHOD))],
    ['BlockCipherMode', new Map(Object.entries(tables.BLOCK_CIPHER_MODE))],
    ['CryptographicAlgorithm', new Map(Object.entries(ALGORITHM))],
    ['HashingAlgorithm', new Map(Object.entries(tables.HASHING_ALGORITHM))],
    ['KeyFormatType', new Map([['PKCS1', KEY_FORMAT_TYPE.PKCS1]])],
    ['NameType', new Map([['UninterpretedTextString', 1]])],
    ['RevocationReasonCode', new Map([['CessationOfOperation', 6]])],
  ]),
};

/** The bytes that a call would send. */
async function payloadOf(work: (by: KmipCaller) => Promise<unknown>, version: KmipVersion): Promise<Payload> {
  let sent: Payload = [];
  const by: KmipCaller = {
    call: async (call) => {
      sent = call.request(version);
      throw new Error('nobody is asked');
    },
  };
  await work(by).catch(() => undefined);
  return sent;
}

function bytesOf(payload: Payload): string {
  return encodeTtlv(structure(TAG.RequestPayload, ...payload)).toString('hex');
}

function fragment(xml: string): string {
  const [message] = parseMessages(`<RequestPayload>${xml}</RequestPayload>`, NUMBERS);
  if (message?.type !== 'structure') throw new Error('no payload');
  return bytesOf(message.value);
}

const OLD = { major: 1, minor: 4 };
const NEW = { major: 2, minor: 1 };
const id = (value: string): string => `<UniqueIdentifier type="TextString" value="${value}"/>`;

t.test('Get with a Key Wrapping Specification, by NIST Key Wrap (AX-M-2)', async (t) => {
  const parameters = structure(
    TAG.CryptographicParameters,
    enumeration(TAG.BlockCipherMode, tables.BLOCK_CIPHER_MODE.NISTKeyWrap),
  );
  const expected = fragment(`${id('key-2')}<KeyWrappingSpecification>
    <WrappingMethod type="Enumeration" value="Encrypt"/>
    <EncryptionKeyInformation>${id('key-1')}<CryptographicParameters>
      <BlockCipherMode type="Enumeration" value="NISTKeyWrap"/>
    </CryptographicParameters></EncryptionKeyInformation>
    <EncodingOption type="Enumeration" value="NoEncoding"/>
  </KeyWrappingSpecification>`);
  const encoding = [enumeration(TAG.EncodingOption, tables.ENCODING_OPTION.NoEncoding)];
  const specification = wrappingSpecification('key-1', { parameters, encoding });
  t.equal(bytesOf([text(TAG.UniqueIdentifier, 'key-2'), specification]), expected);
});

t.test('Get of a data key, wrapped as each version has it', async (t) => {
  const old = `<CryptographicParameters>
      <PaddingMethod type="Enumeration" value="OAEP"/>
      <HashingAlgorithm type="Enumeration" value="SHA1"/>
    </CryptographicParameters>`;
  const noEncoding = '<EncodingOption type="Enumeration" value="NoEncoding"/>';
  for (const [minor, parameters, encoding] of [
    [0, old, ''],
    [1, old, noEncoding],
    [3, old, noEncoding],
  ] as const) {
    const expected = fragment(`${id('key-2')}<KeyWrappingSpecification>
      <WrappingMethod type="Enumeration" value="Encrypt"/>
      <EncryptionKeyInformation>${id('key-1')}${parameters}</EncryptionKeyInformation>
      ${encoding}</KeyWrappingSpecification>`);
    const sent = await payloadOf((by) => getWrapped(by, 'key-2', 'key-1'), { major: 1, minor });
    t.equal(bytesOf(sent), expected, `KMIP 1.${minor}`);
  }
});

const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const material = createPublicKey(publicKey.export({ format: 'pem', type: 'spki' })).export({
  ...{ format: 'der', type: 'pkcs1' },
});
const BLOCK = `<PublicKey><KeyBlock>
    <KeyFormatType type="Enumeration" value="PKCS_1"/>
    <KeyValue><KeyMaterial type="ByteString" value="${material.toString('hex')}"/></KeyValue>
    <CryptographicAlgorithm type="Enumeration" value="RSA"/>
    <CryptographicLength type="Integer" value="2048"/>
  </KeyBlock></PublicKey>`;
const NAME = `<NameValue type="TextString" value="pair"/>
    <NameType type="Enumeration" value="UninterpretedTextString"/>`;

t.test('Register of a public key, with a template and with attributes (CS-AC-M-2)', async (t) => {
  const key = {
    ...{ objectType: OBJECT_TYPE.PublicKey, tag: TAG.PublicKey, format: KEY_FORMAT_TYPE.PKCS1 },
    ...{ material, algorithm: ALGORITHM.RSA, sizeBits: 2048 },
  };
  const attributes = [nameAttribute('pair'), integer(TAG.CryptographicUsageMask, USAGE.Verify)];
  const send = (version: KmipVersion) => payloadOf((by) => register(by, 'pair', key, attributes), version);
  const type = '<ObjectType type="Enumeration" value="PublicKey"/>';
  const old = `<TemplateAttribute>
    <Attribute><AttributeName type="TextString" value="Name"/><AttributeValue>${NAME}</AttributeValue></Attribute>
    <Attribute><AttributeName type="TextString" value="Cryptographic Usage Mask"/>
      <AttributeValue type="Integer" value="2"/></Attribute></TemplateAttribute>`;
  t.equal(bytesOf(await send(OLD)), fragment(`${type}${old}${BLOCK}`));
  const recent = `<Attributes><Name>${NAME}</Name>
    <CryptographicUsageMask type="Integer" value="2"/></Attributes>`;
  t.equal(bytesOf(await send(NEW)), fragment(`${type}${recent}${BLOCK}`));
});

t.test('Signature Verify of data by ECDSA (CS-AC-M-3, with the curve of SUITEB)', async (t) => {
  const [data, signature] = [Buffer.from('01020304', 'hex'), Buffer.from('0a0b', 'hex')];
  const algorithm = { scheme: 'ecdsa', hash: 'sha256', takesMessage: true } as const;
  const sent = await payloadOf((by) => verifySignature(by, 'key', algorithm, data, signature, 0), OLD);
  const expected = `${id('key')}<CryptographicParameters>
      <HashingAlgorithm type="Enumeration" value="SHA_256"/>
      <CryptographicAlgorithm type="Enumeration" value="ECDSA"/>
    </CryptographicParameters>
    <Data type="ByteString" value="01020304"/>
    <SignatureData type="ByteString" value="0a0b"/>`;
  t.equal(bytesOf(sent), fragment(expected));
});

const PLAIN: readonly [string, (by: KmipCaller) => Promise<unknown>, string][] = [
  ['Re-key', (by) => keys.rekey(by, 'key'), id('key')],
  [
    'Re-key Key Pair',
    (by) => keys.rekeyPair(by, 'key'),
    '<PrivateKeyUniqueIdentifier type="TextString" value="key"/>',
  ],
  ['Activate (SKLC-M-1)', (by) => keys.activate(by, 'key'), id('key')],
  ['Destroy (SKLC-M-1)', (by) => keys.destroy(by, 'key'), id('key')],
  [
    'Revoke (SKLC-M-1)',
    (by) => keys.revoke(by, 'key'),
    `${id('key')}<RevocationReason><RevocationReasonCode type="Enumeration" value="CessationOfOperation"/></RevocationReason>`,
  ],
  ['RNG Retrieve (CS-RNG-M-1)', (by) => retrieveRandom(by, 16), '<DataLength type="Integer" value="16"/>'],
];

for (const [name, work, expected] of PLAIN)
  t.test(name, async (t) => {
    for (const version of [OLD, NEW]) t.equal(bytesOf(await payloadOf(work, version)), fragment(expected));
  });
