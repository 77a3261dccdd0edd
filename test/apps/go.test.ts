/** Go's miekg/pkcs11 and crypto11 as Debian has them, built by Debian's Go. test/interop/go-bindings.interop.ts has their newest releases. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { ROOT, startInstance, temporaryDirectory } from '../e2e/instance.ts';
import { BINDINGS, checkAll, checkSignatures, report } from './binding.ts';

const GO = '/usr/bin/go';
const DEBIAN = '/usr/share/gocode';
const SOURCES = ['main.go', 'miekg.go', 'crypto11.go'];

/** crypto11 changed its owner's name since; the program says the later one. */
function workspace(dir: string): string {
  const owners = join(dir, 'go/src/github.com');
  mkdirSync(owners, { recursive: true });
  symlinkSync(join(DEBIAN, 'src/github.com/ThalesIgnite'), join(owners, 'ThalesGroup'));
  return `${join(dir, 'go')}:${DEBIAN}`;
}

function build(t: Test): string {
  const dir = temporaryDirectory(t);
  const program = join(dir, 'bindings');
  const env = {
    ...{ PATH: '/usr/bin:/bin', GO111MODULE: 'off', CGO_ENABLED: '1' },
    ...{ GOPATH: workspace(dir), GOCACHE: join(ROOT, 'node_modules/.cache/debian-go') },
  };
  const options = { cwd: join(BINDINGS, 'go'), env, encoding: 'utf8', timeout: 250_000 } as const;
  const { status, stderr, error } = spawnSync(GO, ['build', '-o', program, ...SOURCES], options);
  if (status !== 0) throw new Error(`${error?.message ?? ''}${stderr}`);
  return program;
}

t.setTimeout(300_000);
const program = build(t);

t.test('miekg/pkcs11 makes and uses keys', async (t) => {
  const said = report(t, await startInstance(t), program, 'miekg/pkcs11');
  checkAll(t, said);
  t.equal(said['threads'], 8, 'each goroutine signed as the first');
});

t.test('crypto11 makes and uses keys, and serves TLS with them', async (t) => {
  const said = report(t, await startInstance(t), program, 'crypto11');
  t.match(said, { refused: /CKR_PIN_INCORRECT/, opened: said.data, tls: 'TLS 1.3', sealed: true });
  checkSignatures(t, said);
});
