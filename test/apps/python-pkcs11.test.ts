/** python-pkcs11, which PyPI has and Debian has not. */
import { join } from 'node:path';
import t from 'tap';
import { startInstance } from '../e2e/instance.ts';
import { installPython } from '../interop/python-venv.ts';
import { BINDINGS, checkAll, report } from './binding.ts';
import { ofRegistry } from './registry.ts';

t.setTimeout(300_000);

t.test('python-pkcs11 makes and uses keys', async (t) => {
  const bin = ofRegistry(t, 'python-pkcs11', () => installPython('python-pkcs11==0.10.1'));
  if (bin === null) return;
  const script = join(BINDINGS, 'python_pkcs11.py');
  checkAll(t, report(t, await startInstance(t), join(bin, 'python'), script));
});
