/** PyKCS11 of Debian, a binding that many scripts use: what it makes and signs is checked by Node, which has no token. */
import { spawnSync } from 'node:child_process';
import { createDecipheriv, createHmac, createPublicKey, verify } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { MODULE, PIN, startInstance } from '../e2e/instance.ts';
import { openDirectory } from './application.ts';

/** The system's own Python, for which Debian's package is. */
const PYTHON = '/usr/bin/python3';

const PROGRAM = `
import json, sys
from PyKCS11 import *
lib = PyKCS11Lib()
lib.load(sys.argv[1])
slot = lib.getSlotList(tokenPresent=True)[0]
session = lib.openSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION)
try:
    session.login('wrong')
    refused = None
except PyKCS11Error as error:
    refused = error.value
session.login(sys.argv[2])
data = b'signed by a token'
out = {'refused': refused, 'label': lib.getTokenInfo(slot).label.strip(), 'data': data.hex()}

public, private = session.generateKeyPair(
    [(CKA_CLASS, CKO_PUBLIC_KEY), (CKA_TOKEN, CK_FALSE), (CKA_MODULUS_BITS, 2048), (CKA_PUBLIC_EXPONENT, (1, 0, 1)), (CKA_VERIFY, CK_TRUE)],
    [(CKA_CLASS, CKO_PRIVATE_KEY), (CKA_TOKEN, CK_FALSE), (CKA_SIGN, CK_TRUE), (CKA_SENSITIVE, CK_TRUE)])
out['modulus'], out['exponent'] = (bytes(each).hex() for each in session.getAttributeValue(public, [CKA_MODULUS, CKA_PUBLIC_EXPONENT]))
out['rsa'] = bytes(session.sign(private, data, Mechanism(CKM_SHA256_RSA_PKCS, None))).hex()
out['secret'] = session.getAttributeValue(private, [CKA_PRIVATE_EXPONENT])[0]
out['verified'] = session.verify(public, data, bytes.fromhex(out['rsa']), Mechanism(CKM_SHA256_RSA_PKCS, None))
out['forged'] = session.verify(public, b'else', bytes.fromhex(out['rsa']), Mechanism(CKM_SHA256_RSA_PKCS, None))

key = session.createObject([(CKA_CLASS, CKO_SECRET_KEY), (CKA_KEY_TYPE, CKK_AES), (CKA_TOKEN, CK_FALSE), (CKA_VALUE, bytes(range(32))),
                            (CKA_ENCRYPT, CK_TRUE), (CKA_DECRYPT, CK_TRUE)])
gcm = AES_GCM_Mechanism(bytes(range(12)), b'aad', 128)
out['gcm'] = bytes(session.encrypt(key, data, gcm)).hex()
out['back'] = bytes(session.decrypt(key, bytes.fromhex(out['gcm']), gcm)).hex()
mac = session.createObject([(CKA_CLASS, CKO_SECRET_KEY), (CKA_KEY_TYPE, CKK_GENERIC_SECRET), (CKA_TOKEN, CK_FALSE), (CKA_SIGN, CK_TRUE),
                            (CKA_VALUE, b'a key for a code')])
out['hmac'] = bytes(session.sign(mac, data, Mechanism(CKM_SHA256_HMAC, None))).hex()
kept = session.createObject([(CKA_CLASS, CKO_DATA), (CKA_TOKEN, CK_TRUE), (CKA_LABEL, 'kept'), (CKA_VALUE, b'data')])
out['found'] = len(session.findObjects([(CKA_LABEL, 'kept')]))
session.destroyObject(kept)
out['left'] = len(session.findObjects([(CKA_LABEL, 'kept')]))
session.logout()
session.closeSession()
print(json.dumps(out))
`;

t.test('PyKCS11 makes, finds and uses keys', { timeout: 60_000 }, async (t) => {
  const sidekey = await startInstance(t);
  const program = join(openDirectory(t), 'program.py');
  writeFileSync(program, PROGRAM);
  const { stdout, stderr, status } = spawnSync(PYTHON, [program, MODULE, PIN], {
    env: { ...process.env, SIDEKEY_SOCKET: sidekey.socket },
    encoding: 'utf8',
    timeout: 50_000,
  });
  t.equal(status, 0, stderr);
  const out = JSON.parse(stdout) as Record<string, string | number | boolean | null>;
  const bytes = (name: string): Buffer => Buffer.from(String(out[name]), 'hex');
  const data = bytes('data');
  t.match(out, { label: 'test', refused: 0xa0, verified: true, forged: false, found: 1, left: 0 });
  t.equal(out['secret'], null, 'no private exponent comes out');
  const [n, e] = ['modulus', 'exponent'].map((name) => bytes(name).toString('base64url'));
  const key = createPublicKey({ key: { kty: 'RSA', n: n ?? '', e: e ?? '' }, format: 'jwk' });
  t.ok(verify('sha256', data, key, bytes('rsa')));
  const raw = Buffer.from(Array.from({ length: 32 }, (_, i) => i));
  const open = createDecipheriv('aes-256-gcm', raw, raw.subarray(0, 12)).setAAD(Buffer.from('aad'));
  open.setAuthTag(bytes('gcm').subarray(-16));
  t.ok(Buffer.concat([open.update(bytes('gcm').subarray(0, -16)), open.final()]).equals(data));
  t.ok(bytes('back').equals(data));
  t.ok(createHmac('sha256', 'a key for a code').update(data).digest().equals(bytes('hmac')));
});
