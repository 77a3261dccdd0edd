// pkcs11js as programs use it. Arguments: the package's folder, module, token, PIN.
const [, , folder, path, label, pin] = process.argv;
const pkcs11js = require(folder);
const data = Buffer.from('signed by a token');
const bytes = (length) => Buffer.from(Array.from({ length }, (_, i) => i));
const hex = (buffer) => buffer.toString('hex');

const p11 = new pkcs11js.PKCS11();
p11.load(path);
p11.C_Initialize();
const slot = p11.C_GetSlotList(true).find((each) => p11.C_GetTokenInfo(each).label.trim() === label);
const session = p11.C_OpenSession(slot, pkcs11js.CKF_SERIAL_SESSION | pkcs11js.CKF_RW_SESSION);
const out = { data: hex(data) };
try {
  p11.C_Login(session, pkcs11js.CKU_USER, 'wrong');
} catch (error) {
  out.refused = error.message;
}
p11.C_Login(session, pkcs11js.CKU_USER, pin);
const template = (entries) => Object.entries(entries).map(([type, value]) => ({ type: pkcs11js[type], value }));
const read = (object, ...names) =>
  p11.C_GetAttributeValue(session, object, names.map((name) => ({ type: pkcs11js[name] }))).map(({ value }) => value);
const sign = (mechanism, key, size) => {
  p11.C_SignInit(session, { mechanism: pkcs11js[mechanism] }, key);
  return hex(p11.C_Sign(session, data, Buffer.alloc(size)));
};

const makePair = (mechanism, more) =>
  p11.C_GenerateKeyPair(
    session,
    { mechanism: pkcs11js[mechanism] },
    template({ CKA_TOKEN: false, CKA_VERIFY: true, ...more }),
    template({ CKA_TOKEN: false, CKA_SIGN: true, CKA_SENSITIVE: true }),
  );
const rsa = makePair('CKM_RSA_PKCS_KEY_PAIR_GEN', { CKA_MODULUS_BITS: 2048, CKA_PUBLIC_EXPONENT: Buffer.from([1, 0, 1]) });
const [n, e] = read(rsa.publicKey, 'CKA_MODULUS', 'CKA_PUBLIC_EXPONENT').map(hex);
out.rsa = { n, e, signature: sign('CKM_SHA256_RSA_PKCS', rsa.privateKey, 256) };
const ec = makePair('CKM_EC_KEY_PAIR_GEN', { CKA_EC_PARAMS: Buffer.from('06082a8648ce3d030107', 'hex') });
const [point] = read(ec.publicKey, 'CKA_EC_POINT').map(hex);
out.ec = { point, signature: sign('CKM_ECDSA_SHA256', ec.privateKey, 64) };

const keep = (type, value, more) => {
  const entries = { CKA_CLASS: pkcs11js.CKO_SECRET_KEY, CKA_KEY_TYPE: pkcs11js[type], CKA_TOKEN: false, CKA_VALUE: value, ...more };
  return p11.C_CreateObject(session, template(entries));
};
const aes = keep('CKK_AES', bytes(32), { CKA_ENCRYPT: true, CKA_DECRYPT: true });
const parameter = { type: pkcs11js.CK_PARAMS_AES_GCM, iv: bytes(12), aad: Buffer.from('aad'), ivBits: 96, tagBits: 128 };
const gcm = { mechanism: pkcs11js.CKM_AES_GCM, parameter };
p11.C_EncryptInit(session, gcm, aes);
const sealed = p11.C_Encrypt(session, data, Buffer.alloc(100));
out.gcm = hex(sealed);
p11.C_DecryptInit(session, gcm, aes);
out.opened = hex(p11.C_Decrypt(session, sealed, Buffer.alloc(100)));
out.hmac = sign('CKM_SHA256_HMAC', keep('CKK_GENERIC_SECRET', Buffer.from('a key for a code'), { CKA_SIGN: true }), 32);
p11.C_Logout(session);
p11.C_CloseSession(session);
p11.C_Finalize();
console.log(JSON.stringify(out));
