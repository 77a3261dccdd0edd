/** pkcs11js of npm, which is also what Sidekey itself loads other modules with. */
import { join } from 'node:path';
import t from 'tap';
import { ROOT, startInstance } from '../e2e/instance.ts';
import { BINDINGS, checkAll, report } from './binding.ts';

t.test('pkcs11js makes and uses keys', { timeout: 60_000 }, async (t) => {
  const script = join(BINDINGS, 'pkcs11js.cjs');
  const folder = join(ROOT, 'node_modules/pkcs11js');
  checkAll(t, report(t, await startInstance(t), process.execPath, script, folder));
});
