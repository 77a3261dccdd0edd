import { chmodSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { SidekeyError } from '../../src/errors.ts';
import { createLogger } from '../../src/log/logger.ts';
import { createEmbeddedProvider, readKek } from '../../src/providers/embedded/embedded-provider.ts';
import { openKeyFile, protectKey } from '../../src/providers/embedded/key-file.ts';
import type { CellSeen, Keeper, MadeKey } from '../../src/tokens/ports.ts';

const KEK = Buffer.alloc(32, 5);
const ownUid = process.geteuid?.() ?? 0;
const made = (cell: bigint, blob: Buffer | null = null): MadeKey => ({ cell, components: [], blob });

function files(t: Test, content: Buffer = KEK, mode = 0o600) {
  const keyFile = join(t.testdir(), 'kek');
  writeFileSync(keyFile, content, { mode });
  chmodSync(keyFile, mode);
  return { keyFile, passphraseFile: null, systemdCredential: null, ownUid };
}

/** The part of a keeper that the provider uses; records the requests. */
class KeeperDouble {
  pid = 1;
  readonly imported: Buffer[] = [];
  readonly buffers: Buffer[] = [];
  readonly aads: string[] = [];
  readonly dropped: bigint[] = [];
  seen: CellSeen[] = [];
  fail: SidekeyError | null = null;

  async cells(): Promise<CellSeen[]> {
    return this.seen;
  }

  async drop(cell: bigint): Promise<void> {
    this.dropped.push(cell);
  }

  importComponents: Keeper['importComponents'] = async (_key, [component]) => {
    const value = component?.value ?? Buffer.alloc(0);
    this.imported.push(Buffer.from(value));
    this.buffers.push(value);
    return made(BigInt(this.imported.length));
  };

  generate: Keeper['generate'] = async ({ seal }) => {
    this.aads.push(seal?.aad.toString() ?? '');
    return made(100n, Buffer.from(`sealed by ${seal?.by}`));
  };

  open: Keeper['open'] = async (_key, by, aad) => {
    this.aads.push(aad.toString());
    const fault = this.fail;
    this.fail = null;
    if (fault) throw fault;
    return made(200n + by);
  };
}

function scene(t: Test) {
  const double = new KeeperDouble();
  const keeper = double as unknown as Keeper;
  const provider = createEmbeddedProvider({
    name: 'local',
    ...files(t),
    keeper,
    log: createLogger('silent'),
  });
  return { double, provider };
}

for (const mode of [0o640, 0o604, 0o660, 0o666]) {
  t.test(`a key file of mode ${mode.toString(8)} is refused`, async (t) => {
    await t.rejects(readKek(files(t, KEK, mode)), { code: 'provider_refused', message: /chmod 600/ });
  });
}

t.test('a key file that is not there, is a link, or has another length is refused', async (t) => {
  const good = files(t);
  await t.rejects(readKek({ ...good, keyFile: `${good.keyFile}x` }), { code: 'provider_unreachable' });
  symlinkSync(good.keyFile, `${good.keyFile}-link`);
  await t.rejects(readKek({ ...good, keyFile: `${good.keyFile}-link` }), { code: 'provider_unreachable' });
  writeFileSync(good.keyFile, 'short');
  await t.rejects(readKek(good), { code: 'provider_refused' });
});

t.test('a credential that systemd did not give is unreachable', async (t) => {
  await t.rejects(readKek({ ...files(t), systemdCredential: 'kek' }), { code: 'provider_unreachable' });
});

t.test('a protected key opens by its passphrase alone', async (t) => {
  const file = await protectKey(KEK, Buffer.from('right'), 12);
  t.notOk(file.includes(KEK));
  t.ok((await openKeyFile(file, Buffer.from('right'))).equals(KEK));
  await t.rejects(openKeyFile(file, Buffer.from('wrong')), { code: 'provider_refused' });
  await t.rejects(openKeyFile(file, null), { code: 'provider_refused' });
  await t.rejects(openKeyFile(KEK, Buffer.from('right')), { code: 'provider_refused' });
  for (const at of [6, 7, 10, 30, 40, file.length - 1]) {
    const bytes = Buffer.from(file);
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    await t.rejects(openKeyFile(bytes, Buffer.from('right')), { code: 'provider_refused' }, `byte ${at}`);
  }
});

t.test('a passphrase file ends at its newline', async (t) => {
  const all = files(t, await protectKey(KEK, Buffer.from('right'), 12));
  const passphraseFile = `${all.keyFile}.pass`;
  writeFileSync(passphraseFile, 'right\n', { mode: 0o600 });
  t.ok((await readKek({ ...all, passphraseFile })).equals(KEK));
  chmodSync(passphraseFile, 0o644);
  await t.rejects(readKek({ ...all, passphraseFile }), { code: 'provider_refused' });
});

t.test('the key goes to the keeper once, and is wiped here', async (t) => {
  const { double, provider } = scene(t);
  const [first, second] = await Promise.all([provider.createDataKey('one'), provider.createDataKey('two')]);
  t.equal(first.wrapped.toString(), 'sealed by 1');
  t.equal(second.cell, 100n);
  t.strictSame(double.imported, [KEK]);
  t.ok(double.buffers.every((buffer) => buffer.equals(Buffer.alloc(32))));
  t.strictSame(double.aads, ['sidekey token key v1one', 'sidekey token key v1two']);
});

t.test('a new keeper gets the key again, and so does one that forgot it', async (t) => {
  const { double, provider } = scene(t);
  t.equal(await provider.openDataKey(Buffer.alloc(1), 'p', 1000), 201n);
  double.pid = 2;
  t.equal(await provider.openDataKey(Buffer.alloc(1), 'p', 1000), 202n);
  double.fail = new SidekeyError('cell_unknown', 'gone');
  t.equal(await provider.openDataKey(Buffer.alloc(1), 'p', 1000), 203n);
});

t.test('what an agent before left in the keeper is dropped', async (t) => {
  const { double, provider } = scene(t);
  const cell = { owner: null, leftMs: null };
  double.seen = [
    { ...cell, cell: 7n, note: Buffer.from('kek local') },
    { ...cell, cell: 8n, note: Buffer.from('object 1') },
  ];
  await provider.createDataKey('p');
  t.strictSame(double.dropped, [7n]);
});

t.test('a token key of another KEK is refused', async (t) => {
  const { double, provider } = scene(t);
  double.fail = new SidekeyError('seal_broken', 'no');
  await t.rejects(provider.openDataKey(Buffer.alloc(1), 'p', 1000), { code: 'provider_refused' });
  t.match(await provider.health(), { ok: true });
});
