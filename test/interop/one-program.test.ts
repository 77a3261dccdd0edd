// One program, unchanged, and one configuration with all seven providers in it. From run to run one line of it differs: the token's `provider`.
import t from 'tap';
import { compile, initInstance, MODULE } from '../e2e/instance.ts';
import { SERVICES, startService } from './services.ts';
import { PAIRS_OK } from './token-under.ts';

const PROVIDERS = ['local', ...SERVICES];

t.test('one program runs under each of the seven providers, one line of configuration apart', async (t) => {
  const program = compile(t, '../interop/resident.c');
  const services: string[] = [];
  for (const kind of SERVICES) services.push(await startService(t, kind));
  const configurations = new Set<string>();
  for (const provider of PROVIDERS) {
    const instance = initInstance(t, {
      edit: (yaml) => {
        const all = yaml
          .replace(/label: "test"\n    provider: local\n/, 'label: "one"\n    provider: @\n    login: none\n')
          .replace(/^providers:\n/m, `providers:\n${services.join('')}`);
        configurations.add(all.replaceAll(/\/tmp\/sidekey-\w+/g, ''));
        return all.replace('provider: @', `provider: ${provider}`);
      },
    });
    await instance.start();
    const { status, stdout, stderr } = instance.run(program, [MODULE, 'one']);
    t.equal(status, 0, stderr);
    const lines = stdout.trim().split('\n');
    const said = Object.fromEntries(lines.map((line) => /^(.*?): (.*)$/.exec(line)?.slice(1) ?? ['', line]));
    const secrets = { 'generic secret': 'ok', SHA256_HMAC: 'ok', 'AES-256': 'ok', AES_GCM: 'ok' };
    const more = { ECDH1_DERIVE: 'ok', 'keys wrapped by AES_GCM': 'ok', 'keys wrapped by AES_CBC_PAD': 'ok' };
    t.same(said, { ...PAIRS_OK, ...secrets, ...more }, `under ${provider}`);
    await instance.stopAgent();
  }
  t.equal(configurations.size, 1, 'but for that line and the folder it is the same configuration');
});
