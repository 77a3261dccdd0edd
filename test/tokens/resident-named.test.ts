// Resident keys by name, as the HTTP API uses them: the same keys, rules and refusals as in PKCS#11.
import { constants, createHash, createPublicKey, randomBytes, verify } from 'node:crypto';
import { test } from 'tap';
import { SidekeyError } from '../../src/errors.ts';
import { gcmMechanism, oaepMechanism, plainMechanism, pssMechanism } from '../../src/api/mechanism.ts';
import { findHash } from '../../src/api/transit/hash-algorithm.ts';
import type { AccessOperation } from '../../src/access/operations.ts';
import type { NamedKeyUse, NewNamedKeyKind } from '../../src/tokens/service.ts';
import type { ResidentOptions } from '../../src/tokens/token-catalogue.ts';
import { CKA, CKO } from '../../src/tokens/cryptoki.ts';
import { MemoryKeys } from '../fakes/memory-keys.ts';
import { AES_TOKEN, makeRig, peerOf, Program, type Rig } from './rig.ts';

const PEER = peerOf(1, 1000);
const OPTIONS: ResidentOptions = { prefix: 'app-', refreshMs: 1000, create: true, destroy: true };
const MESSAGE = randomBytes(100_000);
const SHA256 = findHash('sha2-256');

async function scene(options: Partial<ResidentOptions> = {}) {
  const keys = new MemoryKeys();
  const rig = await makeRig(':memory:', 'none', 1000, { keys, options: { ...OPTIONS, ...options } });
  return { keys, rig, by: new Door(rig) };
}

/** Requests of the HTTP API, from uid 1000. */
class Door {
  readonly #rig: Rig;
  constructor(rig: Rig) {
    this.#rig = rig;
  }
  make(name: string, kind: NewNamedKeyKind, more = {}) {
    const wanted = { kind, exportable: false, derived: false, ...more };
    return this.#rig.service.createNamedKey(PEER, 'alpha', name, wanted);
  }
  async find(name: string) {
    await this.#rig.service.settleNamedKeys(PEER, 'alpha', name);
    return this.#rig.service.findNamedKey(PEER, 'alpha', name);
  }
  async names() {
    await this.#rig.service.settleNamedKeys(PEER, 'alpha', null);
    return this.#rig.service.listNamedKeys(PEER, 'alpha').sort();
  }
  use(name: string, use: Omit<NamedKeyUse, 'version'> & { version?: number }, data: Buffer, code?: Buffer) {
    return this.#rig.service.operateNamedKey(PEER, 'alpha', name, { version: 1, ...use }, data, code);
  }
}

function permitOnly(rig: Rig, ...operations: AccessOperation[]): void {
  rig.deps.access.permits = (_peer, _token, _key, operation) => operations.includes(operation);
}

const EC = { kind: 'ec', sizeBits: 256 } as const;
const RSA = { kind: 'rsa', sizeBits: 2048 } as const;
const AES = { kind: 'aes', sizeBits: 256 } as const;
const HMAC = { kind: 'generic', sizeBits: 256 } as const;

test('a key that is made by name is made in the service, and is the object that PKCS#11 shows', async (t) => {
  const { keys, rig, by } = await scene();
  const made = await by.make('pair', EC);
  t.match(made, { name: 'pair', kind: 'ec', sizeBits: 256, latestVersion: 1, extractable: false });
  t.same(made.operations.slice().sort(), ['sign', 'verify']);
  t.same(made.resident, { salts: 'any' });
  t.same(
    (await keys.list('app-')).map(({ name }) => name),
    ['app-pair'],
  );
  const app = await Program.start(rig, 1n);
  const [handle = 0] = await app.find({ [CKA.CLASS]: CKO.PRIVATE_KEY, [CKA.LABEL]: 'pair' });
  const { values } = await app.read(handle, CKA.PUBLIC_KEY_INFO);
  t.same(values[0], made.versions[0]?.publicKeyInfo);
  t.match(
    rig.records.find(({ event }) => event === 'key-generated'),
    {
      fields: { label: 'pair', service: /^key-/, uid: 1000 },
    },
  );
});

test('keys that were made elsewhere are found by their name, and listed beside enveloped ones', async (t) => {
  const { keys, rig, by } = await scene({ create: false });
  const rest = { uses: ['sign'] as const, sizeBits: 256, ckaId: Buffer.alloc(0) };
  await keys.create({ name: 'app-elsewhere', spec: 'ec-p256', ...rest });
  await keys.create({ name: 'other', spec: 'ec-p256', ...rest });
  t.equal((await by.find('elsewhere'))?.kind, 'ec');
  t.equal(await by.find('other'), null, 'without the prefix it is nobody’s here');
  t.equal((await by.make('here', AES)).resident, undefined, 'without `create` keys are made on this host');
  t.same(await by.names(), ['elsewhere', 'here']);
  const calls = keys.calls.filter((call) => call === 'list').length;
  for (let i = 0; i < 20; i++) await by.find('elsewhere');
  t.equal(keys.calls.filter((call) => call === 'list').length, calls, 'a young list is not asked for');
  rig.now += 5000;
  await by.find('elsewhere');
  t.equal(keys.calls.filter((call) => call === 'list').length, calls + 1, 'an old one is, beside the use');
});

test('a signature by name is of the service, with the digest alone sent there, and verified on this host', async (t) => {
  const { keys, by } = await scene();
  const { versions } = await by.make('pair', EC);
  const key = createPublicKey({ key: versions[0]?.publicKeyInfo ?? '', format: 'der', type: 'spki' });
  const digest = createHash('sha256').update(MESSAGE).digest();
  const mechanism = plainMechanism(0x1041);
  const signature = await by.use('pair', { operation: 'sign', mechanism }, digest);
  t.ok(verify('sha256', MESSAGE, { key, dsaEncoding: 'ieee-p1363' }, signature));
  t.same(
    keys.calls.filter((call) => call === 'sign'),
    ['sign'],
  );
});

test('RSA signs messages of any length by name, by PKCS #1 and by the service’s salts', async (t) => {
  const { by } = await scene();
  const { versions, resident } = await by.make('rsa', RSA);
  t.same(resident, { salts: 'digest' });
  const key = createPublicKey({ key: versions[0]?.publicKeyInfo ?? '', format: 'der', type: 'spki' });
  const pkcs1 = await by.use('rsa', { operation: 'sign', mechanism: plainMechanism(0x40) }, MESSAGE);
  t.ok(verify('sha256', MESSAGE, key, pkcs1));
  const pss = await by.use('rsa', { operation: 'sign', mechanism: pssMechanism(0x43, SHA256, 32) }, MESSAGE);
  t.ok(verify('sha256', MESSAGE, { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 }, pss));
  const longest = { operation: 'sign', mechanism: pssMechanism(0x43, SHA256, 222) } as const;
  await t.rejects(by.use('rsa', longest, MESSAGE), { code: 'mechanism_param_invalid' });
});

test('AES and HMAC keys of the service work by name, and what is changed does not open', async (t) => {
  const { by } = await scene();
  await by.make('aes', AES);
  const mechanism = gcmMechanism(randomBytes(12), Buffer.from('beside'));
  const ciphertext = await by.use('aes', { operation: 'encrypt', mechanism }, Buffer.from('plain'));
  t.equal((await by.use('aes', { operation: 'decrypt', mechanism }, ciphertext)).toString(), 'plain');
  ciphertext.writeUInt8(ciphertext.readUInt8(0) ^ 1);
  const no = { code: 'encrypted_data_invalid' };
  await t.rejects(by.use('aes', { operation: 'decrypt', mechanism }, ciphertext), no);
  await by.make('mac', HMAC);
  const code = { mechanism: plainMechanism(SHA256.mechanisms.hmac) };
  const mine = await by.use('mac', { operation: 'sign', ...code }, Buffer.from('text'));
  t.equal((await by.use('mac', { operation: 'verify', ...code }, Buffer.from('text'), mine)).length, 0);
  const verifying = { operation: 'verify', ...code } as const;
  await t.rejects(by.use('mac', verifying, Buffer.from('other'), mine), { code: 'signature_invalid' });
  await t.rejects(by.use('mac', verifying, Buffer.from('text'), mine.subarray(1)), {
    code: 'signature_len_range',
  });
  await t.rejects(by.use('mac', { operation: 'sign', ...code }, MESSAGE), { code: 'data_len_range' });
  const sha512 = plainMechanism(findHash('sha2-512').mechanisms.hmac);
  await t.rejects(by.use('mac', { operation: 'sign', mechanism: sha512 }, Buffer.from('text')), {
    code: 'mechanism_invalid',
  });
});

test('a rotated key has a new newest version, and the former one goes on', async (t) => {
  const { rig, by } = await scene();
  await by.make('pair', EC);
  const next = await rig.service.rotateNamedKey(PEER, 'alpha', 'pair');
  t.same(
    next.versions.map(({ version }) => version),
    [1, 2],
  );
  t.equal(next.latestVersion, 2);
  const digest = createHash('sha256').update(MESSAGE).digest();
  for (const { version, publicKeyInfo } of next.versions) {
    const key = createPublicKey({ key: publicKeyInfo ?? '', format: 'der', type: 'spki' });
    const use = { operation: 'sign', mechanism: plainMechanism(0x1041), version } as const;
    const signature = await by.use('pair', use, digest);
    t.ok(verify('sha256', MESSAGE, { key, dsaEncoding: 'ieee-p1363' }, signature), `version ${version}`);
  }
  t.same(await by.names(), ['pair']);
});

test('deleting by name destroys every version in the service, where the token may', async (t) => {
  const { keys, rig, by } = await scene();
  await by.make('pair', EC);
  await rig.service.rotateNamedKey(PEER, 'alpha', 'pair');
  await rig.service.configureNamedKey(PEER, 'alpha', 'pair', { deletionAllowed: true });
  await rig.service.deleteNamedKey(PEER, 'alpha', 'pair');
  t.same(await keys.list('app-'), []);
  t.equal(await by.find('pair'), null);
  t.equal(rig.records.filter(({ event }) => event === 'object-destroyed').length, 2);
  const other = await scene({ destroy: false });
  await other.by.make('kept', EC);
  await t.rejects(other.rig.service.deleteNamedKey(PEER, 'alpha', 'kept'), { code: 'action_prohibited' });
  t.equal((await other.keys.list('app-')).length, 1);
});

test('what a service does not do with its keys is refused by name', async (t) => {
  const { keys, rig, by } = await scene();
  const { service } = rig;
  await by.make('aes', AES);
  await by.make('pair', EC);
  const no = { code: 'function_not_supported' };
  await t.rejects(service.configureNamedKey(PEER, 'alpha', 'aes', { minDecryptionVersion: 2 }), no);
  await t.rejects(service.makeStreamKey(PEER, 'alpha', 'aes', { version: 1, aad: Buffer.alloc(0) }), no);
  const hash = { hash: SHA256.mechanisms.hash, mgf: SHA256.mechanisms.mgf };
  const wrapped = { kind: AES, exportable: false, derived: false, wrapped: randomBytes(600), hash };
  await t.rejects(service.importNamedKey(PEER, 'alpha', 'aes', wrapped, true), no);
  const beside = { operation: 'sign', mechanism: plainMechanism(0x251), beside: 'hmac' } as const;
  await t.rejects(by.use('pair', beside, Buffer.from('text')), no);
  await t.rejects(service.exportNamedKey(PEER, 'alpha', 'aes', { version: 1 }), {
    code: 'key_unextractable',
  });
  await t.rejects(by.make('out', AES, { exportable: true }), { code: 'template_inconsistent' });
  await t.rejects(by.make('by-context', AES, { derived: true }), { code: 'template_inconsistent' });
  await t.rejects(by.make('big', { kind: 'rsa', sizeBits: 4096 }), { code: 'key_size_range' });
  await t.rejects(by.make('no name', EC), { code: 'attribute_value_invalid' });
  const oaep = { operation: 'decrypt', mechanism: oaepMechanism(SHA256) } as const;
  await t.rejects(by.use('pair', oaep, randomBytes(256)), { code: 'key_type_inconsistent' });
  const version = { operation: 'sign', mechanism: plainMechanism(0x1041), version: 7 } as const;
  await t.rejects(by.use('pair', version, randomBytes(32)), { code: 'key_handle_invalid' });
  t.same((await keys.list('app-')).map(({ name }) => name).sort(), ['app-aes', 'app-pair']);
});

test('the rules decide before the service is asked, and by the words of PKCS#11', async (t) => {
  const { keys, rig, by } = await scene();
  await by.make('mac', HMAC);
  await by.make('pair', EC);
  const before = keys.calls.length;
  permitOnly(rig, 'verify');
  const no = { code: 'action_prohibited' };
  const sign = { operation: 'sign', mechanism: plainMechanism(0x1041) } as const;
  await t.rejects(by.use('pair', sign, randomBytes(32)), no);
  await t.rejects(rig.service.rotateNamedKey(PEER, 'alpha', 'pair'), no);
  await t.rejects(rig.service.deleteNamedKey(PEER, 'alpha', 'pair'), no);
  await t.rejects(by.make('more', EC), no);
  permitOnly(rig, 'sign');
  const mac = { operation: 'sign', mechanism: plainMechanism(0x251) } as const;
  await t.rejects(by.use('mac', mac, Buffer.from('text')), no, 'a code is `mac`, not `sign`');
  t.throws(() => rig.service.settleNamedKeys(peerOf(2, 4000), 'alpha', 'pair'), {
    code: 'token_not_recognized',
  });
  rig.deps.access.sees = () => false;
  rig.now += 5000;
  t.equal(await by.find('pair'), null, 'a key that the peer may do nothing with is not there');
  t.equal(keys.calls.length, before, 'and nobody asked the service');
});

test('what the service says is told: away, then back, then no', async (t) => {
  const { keys, rig, by } = await scene();
  keys.fault = new SidekeyError('provider_unreachable', 'gone');
  await t.rejects(by.find('pair'), { code: 'provider_unreachable' }, 'no list was ever there');
  keys.fault = null;
  rig.now += 5000;
  await by.make('pair', EC);
  keys.fault = new SidekeyError('provider_unreachable', 'gone');
  rig.now += 5000;
  t.equal((await by.find('pair'))?.name, 'pair', 'the list that was there is shown');
  const sign = { operation: 'sign', mechanism: plainMechanism(0x1041) } as const;
  await t.rejects(by.use('pair', sign, randomBytes(32)), { code: 'provider_unreachable' });
  keys.fault = null;
  t.equal((await by.use('pair', sign, randomBytes(32))).length, 64);
  keys.fault = new SidekeyError('provider_refused', 'no');
  rig.now += 5000;
  await by.find('pair');
  await new Promise(setImmediate);
  await t.rejects(by.find('pair'), { code: 'provider_refused' }, 'once the list was asked for beside it');
});

test('an enveloped key hides one of the service, and two that nothing tells apart have no name', async (t) => {
  const { keys, rig, by } = await scene({ create: false });
  const rest = { uses: ['sign'] as const, sizeBits: 256, ckaId: Buffer.alloc(0) };
  await keys.create({ name: 'app-both', spec: 'ec-p256', ...rest });
  const app = await Program.start(rig, 1n);
  await app.generate({ ...AES_TOKEN, [CKA.LABEL]: 'both' });
  t.equal((await by.find('both'))?.kind, 'aes');
  const first = await keys.create({ name: 'app-twice', spec: 'ec-p256', ...rest });
  keys.list = async () => [first, { ...first, id: 'another' }];
  keys.publicKey = MemoryKeys.prototype.publicKey.bind(keys, first);
  rig.now += 5000;
  t.equal(await by.find('twice'), null);
  t.notOk((await by.names()).includes('twice'));
});

test('versions that are no numbers are numbered by when they were made', async (t) => {
  const { keys, by } = await scene();
  const rest = { uses: ['sign'] as const, sizeBits: 256, ckaId: Buffer.alloc(0) };
  const key = await keys.create({ name: 'app-hex', spec: 'ec-p256', ...rest });
  const at = (seconds: number): number => Date.UTC(2020, 0, 1) + seconds * 1000;
  keys.list = async () => [
    { ...key, id: 'b', version: 'beef', createdAt: at(200), isPrimary: true },
    { ...key, id: 'a', version: 'cafe', createdAt: at(100), isPrimary: false },
  ];
  keys.publicKey = MemoryKeys.prototype.publicKey.bind(keys, key);
  const found = await by.find('hex');
  t.same(
    found?.versions.map(({ version }) => version),
    [100, 200],
  );
  t.equal(found?.latestVersion, 200);
});
