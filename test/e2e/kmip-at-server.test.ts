// A token whose key is an object of a KMIP server and comes wrapped: real processes, and a search of the agent's memory for the key.
import { execFile } from 'node:child_process';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import type { KmipVersion } from '../../src/providers/kmip/message.ts';
import { OPERATION } from '../../src/providers/kmip/tables.ts';
import { FakeKmip } from '../fakes/fake-kmip.ts';
import { FakeKmipKeys } from '../fakes/fake-kmip-keys.ts';
import { startUnder } from '../interop/token-under.ts';
import { MODULE, temporaryDirectory, type Instance } from './instance.ts';
import { aes256Schedule, countInProcess } from './memory-search.ts';

const LEASE_MS = 1100;

interface Scene {
  readonly held: FakeKmipKeys;
  readonly server: FakeKmip;
  readonly kek: string;
  readonly instance: Instance;
}

async function start(t: Test, version: KmipVersion): Promise<Scene> {
  const held = new FakeKmipKeys(version);
  const server = await FakeKmip.start(temporaryDirectory(t), held.script);
  t.teardown(() => server.close());
  const kek = held.addActive('kek');
  const { ca, client } = server.certificates;
  chmodSync(client.key, 0o600);
  const options = {
    ...{ kind: 'kmip', host: '127.0.0.1', port: server.port, 'key-id': kek, 'data-keys': 'at-server' },
    ...{ 'ca-file': ca, 'certificate-file': client.certificate, 'key-file': client.key },
    ...{ timeout: '3s', 'try-timeout': '1s' },
  };
  const configuration = Object.entries(options).map(
    ([key, value]) => `    ${key}: ${JSON.stringify(value)}\n`,
  );
  return { held, server, kek, instance: await startUnder(t, configuration.join('')) };
}

/** Not to be waited for as a whole: the server is in this process. Everything that it said when it failed, else nothing. */
function tool({ environment }: Instance, ...args: string[]): Promise<string> {
  const all = ['--module', MODULE, '--token-label', 'remote', ...args];
  const env = { ...process.env, ...environment };
  return new Promise((resolve) => {
    execFile('pkcs11-tool', all, { env, timeout: 60_000 }, (error, stdout, stderr) =>
      resolve(error === null ? '' : `${stdout}${stderr}`),
    );
  });
}

const directory = temporaryDirectory(t);
writeFileSync(join(directory, 'data'), 'to be signed');

function sign(instance: Instance): Promise<string> {
  const files = ['--input-file', join(directory, 'data'), '--output-file', join(directory, 'signature')];
  return tool(instance, '--sign', '--mechanism', 'ECDSA-SHA256', '--label', 'pair', ...files);
}

/** The agent knows within a second, a busy machine later. */
async function signSoon(instance: Instance): Promise<string> {
  let said = await sign(instance);
  for (let tries = 0; tries < 10 && said !== ''; tries++) {
    await sleep(500);
    said = await sign(instance);
  }
  return said;
}

/** Makes a pair and uses it for some leases; nobody but the keeper has the data key meanwhile. */
async function useUnseen(t: Test, { held, instance }: Scene): Promise<void> {
  t.equal(
    await tool(instance, '--keypairgen', '--key-type', 'EC:prime256v1', '--label', 'pair', '--id', '01'),
    '',
  );
  for (let i = 0; i < 3; i++) {
    await sleep(LEASE_MS);
    t.equal(await sign(instance), '');
  }
  const [id = ''] = held.idsNamed('sidekey-data-key-');
  const key = held.secretOf(id);
  t.equal(key.length, 32);
  t.ok(held.asked.filter((each) => each === OPERATION.Get).length >= 3, 'it was fetched for each lease');
  t.notOk(held.asked.includes(OPERATION.Encrypt) || held.asked.includes(OPERATION.Decrypt));
  const needles = [key, aes256Schedule(key).subarray(0, 64), Buffer.from(id)];
  const [bytes, schedule, name = 0] = countInProcess(instance.agentPid, needles);
  t.ok(name > 0, 'the search finds what is there');
  t.same([bytes, schedule], [0, 0], 'and nothing of the key');
}

const recent = await start(t, { major: 2, minor: 1 });

t.test('the data key comes wrapped: no process but the keeper ever has it', (t) => useUnseen(t, recent));

// Without Discover Versions, Encrypt and Encoding Option: what is wrapped is a Key Value.
t.test('a server of KMIP 1.0 holds data keys as well, seen by nobody either', async (t) => {
  await useUnseen(t, await start(t, { major: 1, minor: 0 }));
});

t.test('it ends with its lease when the server is gone or the KEK deactivated, and comes back', async (t) => {
  const { held, server, kek, instance } = recent;
  for (const { name, take, give } of [
    { name: 'gone', take: () => server.close(), give: () => server.open() },
    {
      name: 'deactivated',
      take: () => held.setState(kek, 'Deactivated'),
      give: () => held.setState(kek, 'Active'),
    },
  ]) {
    t.equal(await sign(instance), '');
    await take();
    await sleep(LEASE_MS);
    t.match(await sign(instance), /CKR_DEVICE_ERROR/, name);
    await give();
    t.equal(await signSoon(instance), '', `no more ${name}`);
  }
});

t.test('another keeper has another transport key, and another agent goes on with it', async (t) => {
  const { held, instance } = recent;
  const [before] = held.idsNamed('sidekey-transport-');
  const keeper = instance.keeperPid();
  t.ok(keeper);
  process.kill(keeper ?? 0, 'SIGKILL');
  t.equal(await signSoon(instance), '', 'with another keeper');
  const [after, ...more] = held.idsNamed('sidekey-transport-');
  t.not(after, before);
  t.same(more, [], 'the former one is gone');
  await instance.stopAgent('SIGKILL');
  await instance.start();
  t.equal(await signSoon(instance), '', 'with another agent');
  t.same(held.idsNamed('sidekey-transport-'), [after]);
});
