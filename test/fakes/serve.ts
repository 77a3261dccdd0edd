/** `node serve.ts KIND PORT [ARGUMENT]`: a fake service as a process of its own, for tests that block while a program runs. Says its port. */
import { readFileSync } from 'node:fs';
import { FakeAwsKms } from './fake-aws-kms.ts';
import { FakeAzure } from './fake-azure.ts';
import { FakeGcpKms } from './fake-gcp-kms.ts';
import { FakeService, type Handler } from './fake-service.ts';
import { FakeVault } from './fake-vault.ts';

function vault(): Handler {
  const fake = new FakeVault();
  fake.issue('hvs.operator');
  return fake.handle;
}

/** The argument: a file with the service account's public key, or with the KEK itself. */
function readArgument(): string {
  return readFileSync(process.argv[4] ?? '', 'utf8');
}

const KINDS: Readonly<Record<string, () => Handler>> = {
  vault,
  'aws-kms': () => new FakeAwsKms().handle,
  'gcp-kms': () => new FakeGcpKms(readArgument()).handle,
  'azure-key-vault': () => new FakeAzure(readArgument()).handle,
};

const [kind = '', port = '0'] = process.argv.slice(2);
const make = KINDS[kind];
if (!make) throw new Error(`no fake "${kind}"`);
const service = new FakeService(make());
await service.start(Number(port));
process.stdout.write(`${service.port}\n`);
