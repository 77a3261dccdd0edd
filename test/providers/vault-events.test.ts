// How an adapter follows Vault's event stream: over TLS, with its token; it reconnects when the stream is lost, and backs off if there is none.
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { SYSTEM_CLOCK } from '../../src/clock.ts';
import { createLogger } from '../../src/log/logger.ts';
import { vaultKind } from '../../src/providers/vault/vault-key-service.ts';
import { makeCertificates, serverTls } from '../fakes/certificates.ts';
import { FakeService } from '../fakes/fake-service.ts';
import { FakeVault } from '../fakes/fake-vault.ts';
import { FakeVaultEvents } from '../fakes/fake-vault-events.ts';

const TYPE = 'kv-v2/data-write';

/** Generous, for slow machines: an event that never arrives ends the test by its own timeout. */
async function until(holds: () => boolean): Promise<boolean> {
  while (!holds()) await sleep(25);
  return true;
}

async function scene(t: Test) {
  const dir = t.testdir();
  const certificates = makeCertificates(dir);
  const vault = new FakeVault();
  const events = new FakeVaultEvents(vault, TYPE);
  const server = new FakeService(vault.handle, serverTls(certificates));
  server.onUpgrade = events.upgrade;
  await server.start();
  const token = join(dir, 'token');
  writeFileSync(token, vault.issue(), { mode: 0o600 });
  const parsed = vaultKind.schema.parse({
    ...{ kind: 'vault', address: server.url, key: 'kek', 'ca-file': certificates.ca },
    ...{ auth: { method: 'token', 'token-file': token }, events: { type: TYPE } },
  });
  const service = vaultKind.create(parsed, {
    ...{ name: 'v', log: createLogger('silent'), clock: SYSTEM_CLOCK, random: randomBytes },
    resolvePath: (path) => path,
  });
  t.teardown(async () => {
    await service.close();
    await server.stop();
  });
  const hints = { count: 0 };
  service.watch?.(() => (hints.count += 1));
  return { vault, events, server, service, hints, token };
}

t.test('an event is a hint, and many at once are two', async (t) => {
  const { events, hints } = await scene(t);
  t.ok(await until(() => events.subscribers === 1));
  t.equal(hints.count, 0);
  const begin = performance.now();
  for (let i = 0; i < 50; i++) events.publish('secret/data/sidekey');
  t.ok(await until(() => hints.count >= 2));
  await sleep(700);
  // One at once, and one for each half second with further events: two, unless the machine is slow.
  const most = 2 + Math.floor((performance.now() - begin - 700) / 500);
  t.ok(hints.count <= most, `${hints.count} hints, at most ${most}`);
});

t.test('a stream that was lost is followed again, and what it may have missed is a hint', async (t) => {
  const { events, hints } = await scene(t);
  t.ok(await until(() => events.subscribers === 1));
  events.drop();
  t.ok(await until(() => hints.count >= 1 && events.subscribers === 1));
});

t.test('a server without such a stream is not asked again soon, and the KEK works', async (t) => {
  const { events, service, hints } = await scene(t);
  events.refusal = 404;
  events.drop();
  t.ok(await until(() => events.seen.includes('404')));
  const asked = events.seen.length;
  await sleep(1500);
  t.equal(events.seen.length, asked);
  t.equal((await service.generateDataKey('token 1')).plaintext.length, 32);
  t.equal(hints.count, 0);
});

t.test('a token that is not good any more is replaced, and the stream followed by the new one', async (t) => {
  const { vault, events, token, service, hints } = await scene(t);
  t.ok(await until(() => events.subscribers === 1));
  vault.tokens.clear();
  events.drop();
  t.ok(await until(() => events.seen.includes('403')));
  writeFileSync(token, vault.issue(), { mode: 0o600 });
  t.ok(await until(() => events.subscribers === 1 && hints.count >= 1));
  t.equal((await service.generateDataKey('token 1')).plaintext.length, 32);
});

t.test('closing ends it', async (t) => {
  const { events, service } = await scene(t);
  t.ok(await until(() => events.subscribers === 1));
  await service.close();
  t.ok(await until(() => events.subscribers === 0));
});
