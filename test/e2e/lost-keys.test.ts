/** Session objects that the keeper alone held are gone with it: what their programs are told, and that the next key works. */
import pkcs11js from 'pkcs11js';
import t from 'tap';
import { startInstance } from './instance.ts';
import { codeOf, openToken } from './token.ts';

const CKR_DEVICE_REMOVED = 0x32;
const CKR_KEY_HANDLE_INVALID = 0x60;
const CKR_OBJECT_HANDLE_INVALID = 0x82;
const CKR_OPERATION_NOT_INITIALIZED = 0x91;

t.test('a session key that went with its keeper', async (t) => {
  const sidekey = await startInstance(t);
  const { p11, session } = openToken(t, sidekey);
  const make = () =>
    p11.C_GenerateKey(session, { mechanism: pkcs11js.CKM_AES_KEY_GEN }, [
      { type: pkcs11js.CKA_VALUE_LEN, value: 32 },
      { type: pkcs11js.CKA_ENCRYPT, value: true },
      { type: pkcs11js.CKA_DECRYPT, value: true },
    ]);
  const begin = (key: pkcs11js.Handle) =>
    p11.C_EncryptInit(session, { mechanism: pkcs11js.CKM_AES_CBC_PAD, parameter: Buffer.alloc(16) }, key);
  const encrypt = () => p11.C_Encrypt(session, Buffer.alloc(20), Buffer.alloc(32));
  const lost = make();
  begin(lost);
  encrypt();
  begin(lost);

  process.kill(sidekey.keeperPid() ?? 0, 'SIGKILL');
  await sidekey.ready();
  t.equal(codeOf(encrypt), CKR_DEVICE_REMOVED, 'the operation that was begun');
  t.equal(codeOf(encrypt), CKR_OPERATION_NOT_INITIALIZED, 'which has ended');
  t.equal(
    codeOf(() => begin(lost)),
    CKR_KEY_HANDLE_INVALID,
  );
  const asked = () => p11.C_GetAttributeValue(session, lost, [{ type: pkcs11js.CKA_CLASS }]);
  t.equal(codeOf(asked), CKR_OBJECT_HANDLE_INVALID);
  begin(make());
  t.equal(encrypt().length, 32, 'the session goes on');
});

t.test('a key that is destroyed after Init, by a keeper that is still there', async (t) => {
  const { p11, session } = openToken(t, await startInstance(t));
  const key = p11.C_GenerateKey(session, { mechanism: pkcs11js.CKM_AES_KEY_GEN }, [
    { type: pkcs11js.CKA_VALUE_LEN, value: 32 },
    { type: pkcs11js.CKA_ENCRYPT, value: true },
  ]);
  p11.C_EncryptInit(session, { mechanism: pkcs11js.CKM_AES_CBC_PAD, parameter: Buffer.alloc(16) }, key);
  p11.C_DestroyObject(session, key);
  t.equal(
    codeOf(() => p11.C_Encrypt(session, Buffer.alloc(20), Buffer.alloc(32))),
    CKR_OPERATION_NOT_INITIALIZED,
  );
});

t.test('a copy of a token’s key outlives its keeper, and not the key that it is a copy of', async (t) => {
  const sidekey = await startInstance(t);
  const { p11, session } = openToken(t, sidekey);
  const kept = p11.C_GenerateKey(session, { mechanism: pkcs11js.CKM_AES_KEY_GEN }, [
    { type: pkcs11js.CKA_TOKEN, value: true },
    { type: pkcs11js.CKA_VALUE_LEN, value: 32 },
    { type: pkcs11js.CKA_ENCRYPT, value: true },
  ]);
  const inSession = [
    { type: pkcs11js.CKA_TOKEN, value: false },
    { type: pkcs11js.CKA_LABEL, value: 'copy' },
  ];
  const copy = p11.C_CopyObject(session, kept, inSession);
  const copyOfCopy = p11.C_CopyObject(session, copy, inSession);
  const encrypt = (key: pkcs11js.Handle) => {
    p11.C_EncryptInit(session, { mechanism: pkcs11js.CKM_AES_CBC_PAD, parameter: Buffer.alloc(16) }, key);
    return p11.C_Encrypt(session, Buffer.alloc(20), Buffer.alloc(32)).toString('hex');
  };
  const killKeeper = async () => {
    process.kill(sidekey.keeperPid() ?? 0, 'SIGKILL');
    await sidekey.ready();
  };
  const before = encrypt(kept);
  for (const key of [copy, copyOfCopy]) t.equal(encrypt(key), before);
  await killKeeper();
  for (const key of [copy, copyOfCopy, copy]) t.equal(encrypt(key), before, 'the same key');
  const [label] = p11.C_GetAttributeValue(session, copy, [{ type: pkcs11js.CKA_LABEL }]);
  t.equal(String(label?.value), 'copy', 'with its own attributes');
  await sidekey.stopAgent('SIGKILL');
  await sidekey.start();
  await killKeeper();
  t.equal(encrypt(copy), before, 'an agent that came later knows it too');

  await killKeeper();
  p11.C_DestroyObject(session, kept);
  t.equal(
    codeOf(() => encrypt(copy)),
    CKR_KEY_HANDLE_INVALID,
  );
  p11.C_DestroyObject(session, copy);
  t.equal(
    encrypt(
      p11.C_GenerateKey(session, { mechanism: pkcs11js.CKM_AES_KEY_GEN }, [
        { type: pkcs11js.CKA_VALUE_LEN, value: 32 },
        { type: pkcs11js.CKA_ENCRYPT, value: true },
      ]),
    ).length,
    64,
    'the session goes on',
  );
});
