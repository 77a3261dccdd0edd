// graphene-pk11 as programs use it. Arguments: the package's folder, module, token, PIN.
const [, , folder, path, label, pin] = process.argv;
const graphene = require(folder);
const data = Buffer.from('signed by a token');
const bytes = (length) => Buffer.from(Array.from({ length }, (_, i) => i));
const hex = (buffer) => buffer.toString('hex');

const module_ = graphene.Module.load(path, 'Sidekey');
module_.initialize();
const slots = module_.getSlots(true);
const slot = Array.from({ length: slots.length }, (_, i) => slots.items(i)).find((each) => each.getToken().label.trim() === label);
const session = slot.open(graphene.SessionFlag.RW_SESSION | graphene.SessionFlag.SERIAL_SESSION);
const out = { data: hex(data) };
try {
  session.login('wrong');
} catch (error) {
  out.refused = error.message;
}
session.login(pin);
const sign = (mechanism, key) => hex(session.createSign(mechanism, key).once(data));
const makePair = (mechanism, keyType, more) =>
  session.generateKeyPair(mechanism, { keyType, token: false, verify: true, ...more }, { keyType, token: false, sign: true });

const rsa = makePair(graphene.KeyGenMechanism.RSA, graphene.KeyType.RSA, { modulusBits: 2048, publicExponent: Buffer.from([1, 0, 1]) });
const { modulus, publicExponent } = rsa.publicKey.getAttribute({ modulus: null, publicExponent: null });
out.rsa = { n: hex(modulus), e: hex(publicExponent), signature: sign('SHA256_RSA_PKCS', rsa.privateKey) };
const ec = makePair(graphene.KeyGenMechanism.EC, graphene.KeyType.EC, { paramsECDSA: graphene.NamedCurve.getByName('secp256r1').value });
const { pointEC } = ec.publicKey.getAttribute({ pointEC: null });
out.ec = { point: hex(pointEC), signature: sign('ECDSA_SHA256', ec.privateKey) };

const keep = (keyType, value, more) =>
  session.create({ class: graphene.ObjectClass.SECRET_KEY, keyType, token: false, value, ...more }).toType();
const aes = keep(graphene.KeyType.AES, bytes(32), { encrypt: true, decrypt: true });
const gcm = { name: 'AES_GCM', params: new graphene.AesGcm240Params(bytes(12), Buffer.from('aad'), 128) };
const sealed = session.createCipher(gcm, aes).once(data, Buffer.alloc(100));
out.gcm = hex(sealed);
out.opened = hex(session.createDecipher(gcm, aes).once(sealed, Buffer.alloc(100)));
out.hmac = sign('SHA256_HMAC', keep(graphene.KeyType.GENERIC_SECRET, Buffer.from('a key for a code'), { sign: true }));
session.logout();
session.close();
module_.finalize();
console.log(JSON.stringify(out));
