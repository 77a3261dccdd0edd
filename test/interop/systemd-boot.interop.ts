/**
 * A real boot: systemd as PID 1 of a container (systemd-nspawn) on this host's files under an overlay, with Sidekey installed by
 * scripts/install. systemd-boot.sh runs inside, as a unit, and leaves one file for each thing that it saw. Wants root and
 * systemd-container; without either it fails and says so.
 */
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { compile, PIN, ROOT, SO_PIN, temporaryDirectory } from '../e2e/instance.ts';

function run(program: string, args: readonly string[], env: Record<string, string> = {}): void {
  const options = {
    cwd: ROOT,
    env: { ...process.env, ...env },
    encoding: 'utf8',
    timeout: 300_000,
  } as const;
  const { status, stdout, stderr, error } = spawnSync(program, args, options);
  if (status !== 0)
    throw new Error(`${program} ${args.join(' ')}: ${error?.message ?? ''}${stdout}${stderr}`);
}

/** This host's files, with a layer on a tmpfs above them that takes every change. */
function overlay(t: Test): string {
  const folder = temporaryDirectory(t);
  run('mount', ['-t', 'tmpfs', '-o', 'size=900m,mode=0755', 'tmpfs', folder]);
  t.teardown(() => spawnSync('umount', ['--lazy', folder]));
  for (const name of ['upper', 'work', 'root', 'results']) mkdirSync(join(folder, name));
  const layers = `lowerdir=/,upperdir=${join(folder, 'upper')},workdir=${join(folder, 'work')}`;
  run('mount', ['-t', 'overlay', '-o', layers, 'overlay', join(folder, 'root')]);
  t.teardown(() => spawnSync('umount', ['--lazy', join(folder, 'root')]));
  return folder;
}

function prepare(t: Test, root: string): void {
  // The test runner puts options for Node into every child's environment: they are not for the compiler.
  run('sh', ['-c', 'unset NODE_OPTIONS; exec npm run --silent build']);
  run('sh', ['scripts/install'], { DESTDIR: root });
  const probe = join(root, 'usr/lib/sidekey-probe');
  mkdirSync(probe);
  copyFileSync(compile(t, 'program.c'), join(probe, 'program'));
  copyFileSync(join(import.meta.dirname, 'systemd-boot.sh'), join(probe, 'probe.sh'));
  writeFileSync(join(probe, 'pin'), PIN, { mode: 0o600 });
  writeFileSync(join(probe, 'so-pin'), SO_PIN, { mode: 0o600 });
  const unit = `[Unit]\nAfter=basic.target\n[Service]\nType=oneshot\nExecStart=/bin/bash ${probe.slice(root.length)}/probe.sh\n`;
  writeFileSync(join(root, 'etc/systemd/system/probe.service'), unit);
  const target =
    '[Unit]\nRequires=multi-user.target probe.service\nAfter=multi-user.target\nAllowIsolate=yes\n';
  writeFileSync(join(root, 'etc/systemd/system/probe.target'), target);
  // Not a first boot, which would enable every unit of this host.
  writeFileSync(join(root, 'etc/machine-id'), `${randomBytes(16).toString('hex')}\n`);
  // What this host runs for itself is not what is tested.
  rmSync(join(root, 'etc/systemd/system/multi-user.target.wants'), { recursive: true, force: true });
}

function boot(t: Test): (name: string) => string {
  const folder = overlay(t);
  const root = join(folder, 'root');
  prepare(t, root);
  const args = ['-D', root, '--register=no', '--keep-unit', '--console=pipe', '--private-network'];
  args.push('--system-call-filter=@memlock memfd_secret');
  args.push(`--bind=${join(folder, 'results')}:/results`, '-b', 'systemd.unit=probe.target');
  const { status, stderr } = spawnSync('systemd-nspawn', args, {
    encoding: 'utf8',
    timeout: 180_000,
    input: '',
  });
  t.equal(status, 0, `the container booted and powered off ${stderr.slice(-500)}`);
  return (name) => {
    const path = join(folder, 'results', name);
    return existsSync(path) ? readFileSync(path, 'utf8') : '';
  };
}

/** What kill -9, restarts and a KEK without a passphrase make the journal say. */
const EXPECTED = [
  /lost the connection to the keeper/,
  /no passphrase/,
  /Main process exited, code=killed, status=9\/KILL/,
  /Failed with result 'signal'/,
  /Watchdog timeout \(limit 4s\)/,
  /Failed with result 'watchdog'/,
];

/** Done to the service while eight threads work. */
const UNDER_LOAD = {
  restart: 'systemctl restart sidekey.target',
  'killed-keeper': 'kill -9 of the keeper',
  'killed-agent': 'kill -9 of the agent',
  'killed-by-systemctl': 'systemctl kill -s KILL of both',
} as const;

t.test('installed and booted under systemd', { timeout: 400_000 }, async (t) => {
  t.equal(process.geteuid?.(), 0, 'a boot needs root');
  const seen = boot(t);
  if (process.env['SIDEKEY_SHOW'])
    for (const name of seen('names').split('\n')) if (name) console.error(`== ${name}\n${seen(name)}`);

  t.equal(seen('init.code'), '0\n', `sidekey init --system: ${seen('init')}`);
  t.match(seen('modes'), /^640 root sidekey \/etc\/sidekey\/sidekey.yaml$/m);
  t.match(seen('modes'), /^600 sidekey sidekey \/var\/lib\/sidekey\/kek$/m);
  t.equal(seen('enable.code'), '0\n', `systemctl enable --now sidekey.target: ${seen('enable')}`);
  t.equal(seen('status.code'), '0\n', seen('status'));
  t.match(seen('status'), /^keeper +pid \d+, .* locked bytes in use/m);
  t.match(seen('doctor.code'), /^0$/m, seen('doctor'));
  t.notMatch(seen('doctor'), /^bad/m);

  t.match(seen('www-data'), /^Key pair generated/m, 'www-data makes a key by the default socket');
  t.match(seen('www-data'), /^Using signature algorithm ECDSA/m, 'and signs');
  t.notMatch(seen('nobody'), /token label/, 'an account that no rule admits sees no token');
  t.match(seen('ssh'), /^ecdsa-sha2-nistp256 /m, 'ssh-keygen finds the module below /usr/lib');
  t.match(
    seen('ssh-agent'),
    /^Card added|Identity added/m,
    'and so does ssh-agent, which loads nothing from elsewhere',
  );
  t.match(seen('p11-kit'), /token: demo/, 'p11-kit loads it by a module file');

  for (const [name, what] of Object.entries(UNDER_LOAD)) {
    const [, operations, failed, longestUs] =
      /operations (\d+) failed (\d+) longest_us (\d+)/.exec(seen(name)) ?? [];
    t.equal(failed, '0', `${what} under load: ${seen(name)}`);
    t.comment(
      `${what}: ${operations} operations, the longest took ${Math.round(Number(longestUs) / 1000)} ms`,
    );
  }
  t.equal(seen('stopped'), '', 'the watchdog replaces what stands still, and nothing else');
  t.match(seen('replaced'), /^Key pair generated/m, 'and programs work as before');
  t.match(seen('journal'), /sidekey-keeper.service: Watchdog timeout/);
  t.match(seen('journal'), /sidekey-agent.service: Watchdog timeout/);
  t.match(seen('restarts'), /^sidekey-keeper.service [1-9]/m, 'systemd started the keeper again');
  t.match(seen('restarts'), /^sidekey-agent.service [1-9]/m, 'and the agent');
  t.match(
    seen('activated'),
    /^Key pair generated/m,
    'a connection to the socket starts a keeper that was stopped',
  );
  t.equal(
    seen('credential.code'),
    '0\n',
    `the passphrase may be a credential of systemd: ${seen('credential')}`,
  );

  t.match(seen('confined'), /^keeper Seccomp:\s2$/m);
  t.match(seen('confined'), /^keeper NoNewPrivs:\s1$/m);
  t.match(seen('confined'), /^keeper Uid:\s[1-9]/m, 'it is not root');
  t.match(seen('confined'), /^keeper Max locked memory +8388608 /m);
  t.match(seen('confined'), /^agent Seccomp:\s2$/m);
  t.match(seen('confined'), /^agent CapEff:\s0+$/m);

  const journal = seen('journal');
  t.match(journal, /the agent is ready/);
  t.notOk(journal.includes(PIN) || journal.includes(SO_PIN), 'the journal holds no PIN');
  const complaints = seen('journal-warnings')
    .split('\n')
    .filter((line) => line && !EXPECTED.some((each) => each.test(line)));
  t.strictSame(complaints, [], 'and nothing to worry about beside what was done to it');
});
