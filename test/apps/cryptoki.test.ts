/** cryptoki of crates.io, which Debian 12 has not, built by Debian's Rust. */
import { join } from 'node:path';
import t from 'tap';
import { startInstance } from '../e2e/instance.ts';
import { cargoBuild } from '../interop/debian-cargo.ts';
import { BINDINGS, checkAll, report } from './binding.ts';
import { ofRegistry } from './registry.ts';

t.setTimeout(600_000);

t.test('cryptoki makes and uses keys', async (t) => {
  const program = ofRegistry(t, 'cryptoki', () => cargoBuild(join(BINDINGS, 'rust'), 'bindings'));
  if (program === null) return;
  const said = report(t, await startInstance(t), program);
  checkAll(t, said);
  t.equal(said['threads'], 8, 'each thread signed as the first');
});
