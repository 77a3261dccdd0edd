/** graphene-pk11 of npm, by the pkcs11js that the set-up built. */
import { join } from 'node:path';
import t from 'tap';
import { ROOT, startInstance } from '../e2e/instance.ts';
import { BINDINGS, checkAll, report } from './binding.ts';

t.test('graphene-pk11 makes and uses keys', { timeout: 60_000 }, async (t) => {
  const script = join(BINDINGS, 'graphene.cjs');
  const folder = join(ROOT, 'node_modules/graphene-pk11');
  checkAll(t, report(t, await startInstance(t), process.execPath, script, folder));
});
