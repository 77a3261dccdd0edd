/** `node serve.ts KIND PORT [ARGUMENT]`: a fake service as a process of its own, for tests that block while a program runs. Says its port, then what it has served, and obeys lines. */
import { readFileSync } from 'node:fs';
import { FakeAwsKms } from './fake-aws-kms.ts';
import { FakeAzure } from './fake-azure.ts';
import { FakeGcpKms } from './fake-gcp-kms.ts';
import { createInterface } from 'node:readline';
import { FakeService, type FakeServer } from './fake-service.ts';
import { FakeVault } from './fake-vault.ts';
import { FakeVaultEvents } from './fake-vault-events.ts';

/** What a line on standard input has done. */
type Orders = Readonly<Record<string, () => void>>;

function vault(): FakeServer & { orders: Orders } {
  const fake = new FakeVault();
  const events = new FakeVaultEvents(fake, 'kv-v2/data-write');
  fake.issue('hvs.operator');
  const orders = {
    deny: () => void (fake.behaviour.allows = false),
    allow: () => void (fake.behaviour.allows = true),
    event: () => events.publish('secret/data/sidekey'),
  };
  return { handle: fake.handle, upgrade: events.upgrade, orders };
}

/** The key is disabled at the service, and enabled again. */
function revocable<Fake extends FakeServer>(
  fake: Fake,
  set: (fake: Fake, isGood: boolean) => void,
): FakeServer & { orders: Orders } {
  const orders = { deny: () => set(fake, false), allow: () => set(fake, true) };
  return { handle: fake.handle, orders };
}

/** The argument: a file with the service account's public key, or with the KEK itself. */
function readArgument(): string {
  return readFileSync(process.argv[4] ?? '', 'utf8');
}

const KINDS: Readonly<Record<string, () => FakeServer & { orders?: Orders }>> = {
  vault,
  'aws-kms': () =>
    revocable(new FakeAwsKms(), ({ behaviour }, isGood) => {
      behaviour.keyState = isGood ? 'Enabled' : 'Disabled';
    }),
  'gcp-kms': () =>
    revocable(new FakeGcpKms(readArgument()), ({ behaviour }, isGood) => {
      behaviour.state = isGood ? 'ENABLED' : 'DISABLED';
    }),
  'azure-key-vault': () =>
    revocable(new FakeAzure(readArgument()), ({ behaviour }, isGood) => {
      behaviour.enabled = isGood;
    }),
};

const [kind = '', port = '0'] = process.argv.slice(2);
const make = KINDS[kind];
if (!make) throw new Error(`no fake "${kind}"`);
const fake = make();
const service = new FakeService(fake.handle);
service.onUpgrade = fake.upgrade ?? null;
const orders: Orders = { slow: () => service.fail({ is: 'delay', ms: 500 }), ...fake.orders };
if (!process.stdin.closed) createInterface(process.stdin).on('line', (line) => orders[line]?.());
await service.start(Number(port));
process.stdout.write(`${service.port}\n`);
service.onServed = (path, from, to) => void process.stdout.write(`${path} ${from} ${to}\n`);
