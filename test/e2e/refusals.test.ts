/** What wrong calls get: the standard's own code, and the next call is served. Through pkcs11js, which hands codes on. */
import pkcs11js from 'pkcs11js';
import t from 'tap';
import { SO_PIN, startInstance } from './instance.ts';
import { codeOf, loadModule, openToken, type Token } from './token.ts';

const {
  CKA_CLASS,
  CKA_DECRYPT,
  CKA_ENCRYPT,
  CKA_EXTRACTABLE,
  CKA_KEY_TYPE,
  CKA_LABEL,
  CKA_SENSITIVE,
  CKA_SIGN,
  CKA_TOKEN,
  CKA_VALUE,
  CKA_VALUE_LEN,
  CKF_RW_SESSION,
  CKF_SERIAL_SESSION,
} = pkcs11js;
const CKR_ATTRIBUTE_READ_ONLY = 0x10;
const CKR_ATTRIBUTE_SENSITIVE = 0x11;
const CKR_ATTRIBUTE_TYPE_INVALID = 0x12;
const CKR_ATTRIBUTE_VALUE_INVALID = 0x13;
const CKR_DATA_LEN_RANGE = 0x21;
const CKR_ENCRYPTED_DATA_INVALID = 0x40;
const CKR_ENCRYPTED_DATA_LEN_RANGE = 0x41;
const CKR_KEY_HANDLE_INVALID = 0x60;
const CKR_KEY_TYPE_INCONSISTENT = 0x63;
const CKR_KEY_FUNCTION_NOT_PERMITTED = 0x68;
const CKR_KEY_UNEXTRACTABLE = 0x6a;
const CKR_MECHANISM_INVALID = 0x70;
const CKR_MECHANISM_PARAM_INVALID = 0x71;
const CKR_OBJECT_HANDLE_INVALID = 0x82;
const CKR_OPERATION_ACTIVE = 0x90;
const CKR_OPERATION_NOT_INITIALIZED = 0x91;
const CKR_PIN_INCORRECT = 0xa0;
const CKR_SESSION_HANDLE_INVALID = 0xb3;
const CKR_SESSION_READ_ONLY = 0xb5;
const CKR_SIGNATURE_INVALID = 0xc0;
const CKR_SIGNATURE_LEN_RANGE = 0xc1;
const CKR_SLOT_ID_INVALID = 0x03;
const CKR_TEMPLATE_INCOMPLETE = 0xd0;
const CKR_TEMPLATE_INCONSISTENT = 0xd1;
const CKR_USER_ALREADY_LOGGED_IN = 0x100;
const CKR_USER_NOT_LOGGED_IN = 0x101;
const CKR_BUFFER_TOO_SMALL = 0x150;
const CKR_CRYPTOKI_ALREADY_INITIALIZED = 0x191;

const CBC = { mechanism: pkcs11js.CKM_AES_CBC, parameter: Buffer.alloc(16) };
const GCM = {
  mechanism: pkcs11js.CKM_AES_GCM,
  parameter: {
    type: pkcs11js.CK_PARAMS_AES_GCM_v240,
    iv: Buffer.alloc(12),
    ivBits: 96,
    tagBits: 128,
  } as pkcs11js.AesGCM,
};
const HANDLE_NONE = Buffer.from('ffffff0000000000', 'hex');

type Row = readonly [what: string, code: number, call: (token: Token) => unknown];

function aes({ p11, session }: Token, more: pkcs11js.Template = []): pkcs11js.Handle {
  return p11.C_GenerateKey(session, { mechanism: pkcs11js.CKM_AES_KEY_GEN }, [
    { type: CKA_TOKEN, value: false },
    { type: CKA_VALUE_LEN, value: 32 },
    { type: CKA_ENCRYPT, value: true },
    { type: CKA_DECRYPT, value: true },
    ...more,
  ]);
}

function ec({ p11, session }: Token): pkcs11js.KeyPair {
  const params = Buffer.from('06082a8648ce3d030107', 'hex');
  const pub = [{ type: pkcs11js.CKA_EC_PARAMS, value: params }];
  return p11.C_GenerateKeyPair(session, { mechanism: pkcs11js.CKM_EC_KEY_PAIR_GEN }, pub, [
    { type: CKA_SIGN, value: true },
  ]);
}

function encrypt(
  { p11, session }: Token,
  m: pkcs11js.Mechanism,
  key: pkcs11js.Handle,
  size: number,
  room = 4096,
): Buffer {
  p11.C_EncryptInit(session, m, key);
  return p11.C_Encrypt(session, Buffer.alloc(size), Buffer.alloc(room));
}

function decrypt({ p11, session }: Token, m: pkcs11js.Mechanism, key: pkcs11js.Handle, data: Buffer): Buffer {
  p11.C_DecryptInit(session, m, key);
  return p11.C_Decrypt(session, data, Buffer.alloc(4096));
}

function verify(token: Token, signature: Buffer): void {
  const { publicKey } = ec(token);
  token.p11.C_VerifyInit(token.session, { mechanism: pkcs11js.CKM_ECDSA }, publicKey);
  token.p11.C_Verify(token.session, Buffer.alloc(32), signature);
}

const OPERATIONS: readonly Row[] = [
  [
    'a mechanism that does not exist',
    CKR_MECHANISM_INVALID,
    (k) => k.p11.C_EncryptInit(k.session, { mechanism: 0x7fff_ffff }, aes(k)),
  ],
  [
    'a key that does not exist',
    CKR_KEY_HANDLE_INVALID,
    (k) => k.p11.C_EncryptInit(k.session, CBC, HANDLE_NONE),
  ],
  [
    'a short initial value',
    CKR_MECHANISM_PARAM_INVALID,
    (k) => k.p11.C_EncryptInit(k.session, { ...CBC, parameter: Buffer.alloc(8) }, aes(k)),
  ],
  [
    'a mechanism of another key type',
    CKR_KEY_TYPE_INCONSISTENT,
    (k) => k.p11.C_SignInit(k.session, { mechanism: pkcs11js.CKM_RSA_PKCS }, ec(k).privateKey),
  ],
  [
    'a key that may not',
    CKR_KEY_FUNCTION_NOT_PERMITTED,
    (k) =>
      k.p11.C_SignInit(
        k.session,
        { mechanism: pkcs11js.CKM_AES_CMAC },
        aes(k, [{ type: CKA_SIGN, value: false }]),
      ),
  ],
  [
    'an operation that was not begun',
    CKR_OPERATION_NOT_INITIALIZED,
    (k) => k.p11.C_EncryptUpdate(k.session, Buffer.alloc(16), Buffer.alloc(64)),
  ],
  ['half a block', CKR_DATA_LEN_RANGE, (k) => encrypt(k, CBC, aes(k), 15)],
  ['half a block to decrypt', CKR_ENCRYPTED_DATA_LEN_RANGE, (k) => decrypt(k, CBC, aes(k), Buffer.alloc(15))],
  ['a tag that is wrong', CKR_ENCRYPTED_DATA_INVALID, (k) => decrypt(k, GCM, aes(k), Buffer.alloc(48))],
  ['a signature that is wrong', CKR_SIGNATURE_INVALID, (k) => verify(k, Buffer.alloc(64, 1))],
  ['a signature of a wrong length', CKR_SIGNATURE_LEN_RANGE, (k) => verify(k, Buffer.alloc(63, 1))],
  ['a session that does not exist', CKR_SESSION_HANDLE_INVALID, (k) => k.p11.C_GetSessionInfo(HANDLE_NONE)],
  ['a slot that does not exist', CKR_SLOT_ID_INVALID, (k) => k.p11.C_GetTokenInfo(HANDLE_NONE)],
  ['C_Initialize again', CKR_CRYPTOKI_ALREADY_INITIALIZED, (k) => k.p11.C_Initialize()],
  ['C_Login again', CKR_USER_ALREADY_LOGGED_IN, (k) => k.p11.C_Login(k.session, pkcs11js.CKU_USER, '123456')],
];

const SECRET = [
  { type: CKA_CLASS, value: pkcs11js.CKO_SECRET_KEY },
  { type: CKA_KEY_TYPE, value: pkcs11js.CKK_AES },
];
const value = (bytes: number): pkcs11js.Attribute => ({ type: CKA_VALUE, value: Buffer.alloc(bytes, 7) });

const OBJECTS: readonly Row[] = [
  [
    'a template without a class',
    CKR_TEMPLATE_INCOMPLETE,
    (k) => k.p11.C_CreateObject(k.session, [{ type: CKA_LABEL, value: 'x' }]),
  ],
  ['a secret key without a value', CKR_TEMPLATE_INCOMPLETE, (k) => k.p11.C_CreateObject(k.session, SECRET)],
  [
    'an AES key of 17 bytes',
    CKR_ATTRIBUTE_VALUE_INVALID,
    (k) => k.p11.C_CreateObject(k.session, [...SECRET, value(17)]),
  ],
  [
    'a boolean of four bytes',
    CKR_ATTRIBUTE_VALUE_INVALID,
    (k) => aes(k, [{ type: CKA_SENSITIVE, value: Buffer.alloc(4) }]),
  ],
  [
    'an attribute that nobody knows',
    CKR_ATTRIBUTE_TYPE_INVALID,
    (k) => aes(k, [{ type: 0x7fff_0001, value: Buffer.alloc(1) }]),
  ],
  [
    'an attribute that is the token’s own',
    CKR_ATTRIBUTE_READ_ONLY,
    (k) => aes(k, [{ type: pkcs11js.CKA_LOCAL, value: true }]),
  ],
  [
    'two values for one attribute',
    CKR_TEMPLATE_INCONSISTENT,
    (k) => aes(k, [{ type: CKA_VALUE_LEN, value: 16 }]),
  ],
  [
    'SENSITIVE back to false',
    CKR_ATTRIBUTE_READ_ONLY,
    (k) => change(k, aes(k, [{ type: CKA_SENSITIVE, value: true }]), CKA_SENSITIVE, false),
  ],
  [
    'EXTRACTABLE back to true',
    CKR_ATTRIBUTE_READ_ONLY,
    (k) => change(k, aes(k, [{ type: CKA_EXTRACTABLE, value: false }]), CKA_EXTRACTABLE, true),
  ],
  [
    'the value of a sensitive key',
    CKR_ATTRIBUTE_SENSITIVE,
    (k) =>
      k.p11.C_GetAttributeValue(k.session, aes(k, [{ type: CKA_SENSITIVE, value: true }]), [
        { type: CKA_VALUE },
      ]),
  ],
  [
    'an object that does not exist',
    CKR_OBJECT_HANDLE_INVALID,
    (k) => k.p11.C_DestroyObject(k.session, HANDLE_NONE),
  ],
  [
    'wrapping what must not leave',
    CKR_KEY_UNEXTRACTABLE,
    (k) => wrap(k, aes(k, [{ type: CKA_EXTRACTABLE, value: false }])),
  ],
];

function change({ p11, session }: Token, object: pkcs11js.Handle, type: number, to: boolean): void {
  p11.C_SetAttributeValue(session, object, [{ type, value: to }]);
}

function wrap(token: Token, key: pkcs11js.Handle): Buffer {
  const by = aes(token, [{ type: pkcs11js.CKA_WRAP, value: true }]);
  return token.p11.C_WrapKey(
    token.session,
    { mechanism: pkcs11js.CKM_AES_KEY_WRAP },
    by,
    key,
    Buffer.alloc(256),
  );
}

t.test('wrong calls get the standard’s code, and the next call is served', async (t) => {
  const token = openToken(t, await startInstance(t));
  for (const [what, code, call] of [...OPERATIONS, ...OBJECTS]) {
    t.equal(codeOf(() => call(token)).toString(16), code.toString(16), what);
    t.equal(encrypt(token, GCM, aes(token), 100).length, 116, `after ${what}`);
  }
});

t.test('a second Init leaves the first alone, a short buffer does not end an operation', async (t) => {
  const token = openToken(t, await startInstance(t));
  const { p11, session } = token;
  const key = aes(token);
  p11.C_EncryptInit(session, GCM, key);
  t.equal(
    codeOf(() => p11.C_EncryptInit(session, GCM, key)),
    CKR_OPERATION_ACTIVE,
  );
  t.equal(
    codeOf(() => p11.C_Encrypt(session, Buffer.alloc(100), Buffer.alloc(99))),
    CKR_BUFFER_TOO_SMALL,
  );
  t.equal(p11.C_Encrypt(session, Buffer.alloc(100), Buffer.alloc(200)).length, 116);
  t.equal(
    codeOf(() => p11.C_Encrypt(session, Buffer.alloc(1), Buffer.alloc(99))),
    CKR_OPERATION_NOT_INITIALIZED,
  );
});

t.test('what needs a login or a read-write session says so', async (t) => {
  const p11 = loadModule(t, await startInstance(t));
  const slot = p11.C_GetSlotList(true)[0];
  if (!slot) throw new Error('no token');
  const readOnly = p11.C_OpenSession(slot, CKF_SERIAL_SESSION);
  const readWrite = p11.C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION);
  const key = (token: boolean): pkcs11js.Template => [
    { type: CKA_TOKEN, value: token },
    { type: CKA_VALUE_LEN, value: 32 },
  ];
  const generate = (session: pkcs11js.Handle, token: boolean): number =>
    codeOf(() => p11.C_GenerateKey(session, { mechanism: pkcs11js.CKM_AES_KEY_GEN }, key(token)));
  t.equal(generate(readWrite, false), CKR_USER_NOT_LOGGED_IN, 'secret keys are private');
  t.equal(
    codeOf(() => p11.C_Login(readOnly, pkcs11js.CKU_USER, 'nonsense')),
    CKR_PIN_INCORRECT,
  );
  p11.C_Login(readOnly, pkcs11js.CKU_USER, '123456');
  t.equal(generate(readOnly, true), CKR_SESSION_READ_ONLY);
  t.equal(generate(readOnly, false), 0, 'session objects may be made in a read-only session');
  t.equal(generate(readWrite, true), 0, 'the login holds for every session of the program');
  t.equal(p11.C_GetSessionInfo(readOnly).state, 1);
  p11.C_Logout(readWrite);
  t.equal(generate(readWrite, false), CKR_USER_NOT_LOGGED_IN);
});

t.test('the security officer who asks for what is the user’s is refused and stays logged in', async (t) => {
  const p11 = loadModule(t, await startInstance(t));
  const slot = p11.C_GetSlotList(true)[0];
  if (!slot) throw new Error('no token');
  const session = p11.C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION);
  p11.C_Login(session, pkcs11js.CKU_SO, SO_PIN);
  for (const isToken of [false, true])
    t.equal(
      codeOf(() =>
        p11.C_CreateObject(session, [
          { type: CKA_CLASS, value: pkcs11js.CKO_DATA },
          { type: CKA_TOKEN, value: isToken },
          { type: pkcs11js.CKA_PRIVATE, value: true },
        ]),
      ),
      CKR_USER_NOT_LOGGED_IN,
    );
  t.equal(p11.C_GetSessionInfo(session).state, 4, 'CKS_RW_SO_FUNCTIONS');
  p11.C_InitPIN(session, '123456');
  p11.C_Logout(session);
  t.equal(
    codeOf(() => p11.C_Logout(session)),
    CKR_USER_NOT_LOGGED_IN,
  );
});

t.test('large data goes through in one part and in many, the same bytes', async (t) => {
  const token = openToken(t, await startInstance(t));
  const { p11, session } = token;
  const key = aes(token);
  const plain = Buffer.alloc(3_000_017, 'sidekey');
  p11.C_EncryptInit(session, GCM, key);
  const whole = p11.C_Encrypt(session, plain, Buffer.alloc(plain.length + 16));
  p11.C_EncryptInit(session, GCM, key);
  const pieces: Buffer[] = [];
  for (let at = 0; at < plain.length; at += 99_991) {
    const piece = plain.subarray(at, at + 99_991);
    pieces.push(Buffer.from(p11.C_EncryptUpdate(session, piece, Buffer.alloc(piece.length + 32))));
  }
  pieces.push(Buffer.from(p11.C_EncryptFinal(session, Buffer.alloc(64))));
  t.ok(Buffer.concat(pieces).equals(whole));
  p11.C_DecryptInit(session, GCM, key);
  t.ok(p11.C_Decrypt(session, whole, Buffer.alloc(whole.length)).equals(plain));
  whole.writeUInt8(whole.readUInt8(5) ^ 1, 5);
  p11.C_DecryptInit(session, GCM, key);
  const room = Buffer.alloc(whole.length);
  t.equal(
    codeOf(() => p11.C_Decrypt(session, whole, room)),
    CKR_ENCRYPTED_DATA_INVALID,
  );
  t.ok(room.equals(Buffer.alloc(whole.length)), 'nothing was released before the tag');
});
