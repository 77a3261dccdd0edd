// An unchanged program on a token whose key-encryption key stays in a KMIP server: PyKMIP, also while it is away.
import t from 'tap';
import { PyKmip } from '../providers/kmip/pykmip.ts';
import { makePair, outlives, startUnder } from './token-under.ts';

t.test(
  'pkcs11-tool makes keys and signs on a token under KMIP, whose server goes and comes back',
  async (t) => {
    const server = await PyKmip.start(t);
    const id = await server.makeKey('aes');
    const options = server.options(id, { timeout: '3s', 'try-timeout': '1s' });
    const yaml = Object.entries(options).map(([key, value]) => `    ${key}: ${JSON.stringify(value)}\n`);
    const instance = await startUnder(t, yaml.join(''));
    const made = makePair(instance);
    t.equal(made.status, 0, made.stdout + made.stderr);
    await outlives(t, instance, 'stopped', { break: () => server.stop(), mend: () => server.start() });
    await outlives(t, instance, 'hanging', {
      break: () => server.signal('SIGSTOP'),
      mend: () => server.signal('SIGCONT'),
    });
    await outlives(t, instance, 'refusing', {
      break: () => server.setState(id, 'deactivated'),
      mend: () => server.setState(id, 'active'),
    });
  },
);
