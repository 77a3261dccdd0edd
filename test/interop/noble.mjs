// The other side of pq_other.py: @noble/post-quantum, which shares no code with OpenSSL. `make FILE` writes keys, encapsulations and
// signatures; `check FILE` tells of what came back.
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const [, , folder, verb, path] = process.argv;
const require = createRequire(`${folder}/`);
const load = (name) => import(pathToFileURL(require.resolve(name)).href);
const kem = await load('@noble/post-quantum/ml-kem.js');
const dsa = await load('@noble/post-quantum/ml-dsa.js');
const slh = await load('@noble/post-quantum/slh-dsa.js');
const { sha256, sha512 } = await load('@noble/hashes/sha2.js');
const { shake256_64 } = await load('@noble/hashes/sha3.js');

const KEMS = { ml_kem512: 1, ml_kem768: 2, ml_kem1024: 3 };
/** Name, where, family, CKP_, index of the hash among CKM_HASH_..., the hash. */
const SIGNATURES = [
  ...[['ml_dsa44', 1], ['ml_dsa65', 2], ['ml_dsa87', 3]].map(([name, set]) => [name, dsa, 'ml_dsa', set, null, null]),
  ['ml_dsa65', dsa, 'ml_dsa', 2, 3, sha512],
  ['ml_dsa87', dsa, 'ml_dsa', 3, 9, shake256_64],
  ...[['slh_dsa_sha2_128f', 3], ['slh_dsa_shake_128f', 4], ['slh_dsa_sha2_192f', 7], ['slh_dsa_sha2_256f', 11]].map(
    ([name, set]) => [name, slh, 'slh_dsa', set, null, null],
  ),
  ['slh_dsa_sha2_128f', slh, 'slh_dsa', 3, 1, sha256],
];
const hex = (bytes) => Buffer.from(bytes).toString('hex');
const raw = (text) => new Uint8Array(Buffer.from(text, 'hex'));
const scheme = ([name, where, , , , hash]) => (hash ? where[name].prehash(hash) : where[name]);

function make() {
  const kems = Object.entries(KEMS).map(([name, set]) => {
    const { publicKey, secretKey } = kem[name].keygen();
    const { cipherText, sharedSecret } = kem[name].encapsulate(publicKey);
    return { name, set, public: hex(publicKey), private: hex(secretKey), ciphertext: hex(cipherText), secret: hex(sharedSecret) };
  });
  const signatures = SIGNATURES.map((row) => {
    const [name, , family, set, index] = row;
    const { publicKey, secretKey } = row[1][name].keygen();
    const [message, context] = [Buffer.from('seventeen camels'), Buffer.from('a context')];
    const signature = scheme(row).sign(message, secretKey, { context });
    return { name, family, set, hash: index, public: hex(publicKey), private: hex(secretKey), message: hex(message), context: hex(context), signature: hex(signature) };
  });
  writeFileSync(path, JSON.stringify({ kem: kems, signatures }));
}

function check() {
  const made = JSON.parse(readFileSync(path, 'utf8'));
  const said = {};
  for (const row of made.kem) {
    const theirs = kem[row.name];
    const opened = hex(theirs.decapsulate(raw(row.ciphertext), raw(row.private))) === row.secret;
    // a pair that the token made
    const { cipherText, sharedSecret } = theirs.encapsulate(raw(row.ownPublic));
    said[row.name] = opened && hex(theirs.decapsulate(cipherText, raw(row.own))) === hex(sharedSecret);
  }
  made.signatures.forEach((row, i) => {
    const context = raw(row.context);
    const good = scheme(SIGNATURES[i]).verify(raw(row.signature), raw(row.message), raw(row.public), { context });
    said[`${row.name} ${row.hash ?? 'pure'}`] = good;
  });
  process.stdout.write(JSON.stringify(said));
}

({ make, check })[verb]();
