/** `node serve.ts KIND PORT`: a fake service as a process of its own, for tests that block while a program runs. Says its port. */
import { FakeAwsKms } from './fake-aws-kms.ts';
import { FakeService, type Handler } from './fake-service.ts';
import { FakeVault } from './fake-vault.ts';

function vault(): Handler {
  const fake = new FakeVault();
  fake.issue('hvs.operator');
  return fake.handle;
}

const KINDS: Readonly<Record<string, () => Handler>> = { vault, 'aws-kms': () => new FakeAwsKms().handle };

const [kind = '', port = '0'] = process.argv.slice(2);
const make = KINDS[kind];
if (!make) throw new Error(`no fake "${kind}"`);
const service = new FakeService(make());
await service.start(Number(port));
process.stdout.write(`${service.port}\n`);
