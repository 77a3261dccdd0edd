// A key that a key of the service unwraps is a line of the audit log, which names that key; with `audit.each` each such use is one as well.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import pkcs11js from 'pkcs11js';
import t from 'tap';
import { initInstance } from '../e2e/instance.ts';
import { codeOf, loadModule } from '../e2e/token.ts';
import { SOFTHSM, SoftHsm } from '../providers/softhsm.ts';

const CKA_UNIQUE_ID = 4;
const CKR_WRAPPED_KEY_INVALID = 0x110;

interface Line {
  readonly event: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

t.test(
  'C_UnwrapKey by a key of the service stands in the audit log, with the key that unwrapped',
  async (t) => {
    const hsm = new SoftHsm(t);
    hsm.makeKey('kek-1');
    const options = { 'token-label': 'kek', 'key-label': 'kek-1', 'pin-file': hsm.pinFile };
    const provider = { kind: 'pkcs11-hsm', module: SOFTHSM, environment: hsm.environment, ...options };
    const token = [
      'label: "kept"',
      'provider: hsm',
      'login: none',
      'resident: { prefix: app-, create: true }',
    ];
    const audit = 'audit: { each: [opener] }';
    const sidekey = initInstance(t, {
      edit: (yaml) =>
        yaml
          .replace(/label: "test"\n    provider: local\n/, `${[...token, audit].join('\n    ')}\n`)
          .replace(/^providers:\n/m, `providers:\n  hsm: ${JSON.stringify(provider)}\n`),
    });
    await sidekey.start();
    const p11 = loadModule(t, sidekey);
    const slots = p11.C_GetSlotList(true);
    const slot = slots.find((each) => p11.C_GetTokenInfo(each).label.trim() === 'kept') ?? Buffer.alloc(8);
    const session = p11.C_OpenSession(slot, pkcs11js.CKF_SERIAL_SESSION | pkcs11js.CKF_RW_SESSION);
    const label = { type: pkcs11js.CKA_LABEL, value: 'opener' };
    const kept = { type: pkcs11js.CKA_TOKEN, value: true };
    const bits = { type: pkcs11js.CKA_MODULUS_BITS, value: 2048 };
    const opens = [pkcs11js.CKA_DECRYPT, pkcs11js.CKA_UNWRAP].map((type) => ({ type, value: true }));
    const pair = p11.C_GenerateKeyPair(
      session,
      { mechanism: pkcs11js.CKM_RSA_PKCS_KEY_PAIR_GEN },
      [label, kept, bits, { type: pkcs11js.CKA_WRAP, value: true }],
      [label, kept, ...opens],
    );
    const secret = [
      { type: pkcs11js.CKA_CLASS, value: pkcs11js.CKO_SECRET_KEY },
      { type: pkcs11js.CKA_KEY_TYPE, value: pkcs11js.CKK_AES },
      { type: pkcs11js.CKA_TOKEN, value: false },
      { type: pkcs11js.CKA_EXTRACTABLE, value: true },
    ];
    const key = p11.C_GenerateKey(session, { mechanism: pkcs11js.CKM_AES_KEY_GEN }, [
      ...secret.slice(2),
      { type: pkcs11js.CKA_VALUE_LEN, value: 32 },
    ]);
    const oaep = {
      mechanism: pkcs11js.CKM_RSA_PKCS_OAEP,
      parameter: { type: pkcs11js.CK_PARAMS_RSA_OAEP, hashAlg: pkcs11js.CKM_SHA_1, mgf: 1, source: 1 },
    };
    const wrapped = p11.C_WrapKey(session, oaep, pair.publicKey, key, Buffer.alloc(512));
    const again = p11.C_UnwrapKey(session, oaep, pair.privateKey, wrapped, secret);
    const broken = Buffer.from(wrapped);
    broken[9]! ^= 1; // a ciphertext of RSA-2048 has 256 bytes
    t.equal(
      codeOf(() => p11.C_UnwrapKey(session, oaep, pair.privateKey, broken, secret)),
      CKR_WRAPPED_KEY_INVALID,
    );
    const idOf = (object: pkcs11js.Handle): string =>
      String(p11.C_GetAttributeValue(session, object, [{ type: CKA_UNIQUE_ID }])[0]?.value);
    const lines = readFileSync(join(sidekey.dir, 'store/audit.log'), 'utf8').trim().split('\n');
    const seen = lines.map((line): Line => JSON.parse(line));
    const unwrapped = seen.filter(({ event }) => event === 'key-unwrapped');
    t.match(
      unwrapped,
      [{ fields: { uniqueId: idOf(again), by: idOf(pair.privateKey) } }],
      'the one that was made',
    );
    t.equal(unwrapped.length, 1, 'and none for what did not open');
    const uses = seen.filter(({ event, fields }) => event === 'each-use' && fields['use'] === 'unwrap');
    t.match(
      uses.map(({ fields }) => fields),
      [
        { label: 'opener', uniqueId: idOf(pair.privateKey), result: 'ok' },
        { label: 'opener', uniqueId: idOf(pair.privateKey), result: 'wrapped_key_invalid' },
      ],
      'each use is a line, whether it succeeds or not',
    );
    t.equal(sidekey.sidekey('audit', 'verify').status, 0);
  },
);
