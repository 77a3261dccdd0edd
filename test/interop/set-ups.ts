/** The configurations and commands of docs/key-services.md, as they stand there, and what is put in the place of addresses and credentials alone. */
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { Instance, MODULE, ROOT, temporaryDirectory } from '../e2e/instance.ts';

const PAGE = readFileSync(join(ROOT, 'docs/key-services.md'), 'utf8');
const INSTALLED = '/usr/lib/sidekey/sidekey-pkcs11.so';

/** What a test may put another value for, or add: where a service is, and who asks. */
const REPLACEABLE: ReadonlySet<string> = new Set([
  ...['address', 'endpoint', 'vault', 'authority', 'resource', 'host', 'port', 'ca-file'],
  ...['role-id', 'tenant-id', 'client-id', 'SOFTHSM2_CONF'],
  // A server of KMIP chooses it.
  'key-id',
]);

interface Block {
  /** Of the section, in backquotes at the end of its title; empty: for all. */
  readonly kind: string;
  readonly language: string;
  readonly name: string;
  readonly text: string;
}

function readBlocks(): Block[] {
  return PAGE.split(/^## /m).flatMap((section) => {
    const kind = /^.*: `([a-z0-9-]+)`$/m.exec(section.slice(0, section.indexOf('\n')))?.[1] ?? '';
    const blocks = section.matchAll(/^```(\w+) (\w+)\n([^]*?)^```$/gm);
    return [...blocks].map(([, language = '', name = '', text = '']) => ({ kind, language, name, text }));
  });
}

export const BLOCKS: readonly Block[] = readBlocks();

/** The blocks of this name of a section; there must be some. */
export function blocksOf(kind: string, language: string, name: string): string[] {
  const found = BLOCKS.filter(
    (each) => each.kind === kind && each.language === language && each.name === name,
  );
  if (found.length === 0) throw new Error(`docs/key-services.md has no ${language} "${name}" for ${kind}`);
  return found.map(({ text }) => text);
}

/** Each value stands where the page has one for its key, else is added below the provider's kind. */
export function substitute(yaml: string, values: Readonly<Record<string, string | number>>): string {
  return Object.entries(values).reduce((text, [key, value]) => {
    if (!REPLACEABLE.has(key)) throw new Error(`${key} is no address and no credential`);
    const written = `${key}: ${JSON.stringify(value)}`;
    const there = new RegExp(`(?<=[ {])${key}: ("[^"]*"|[^\\s},]+)`);
    if (there.test(text)) return text.replace(there, written);
    return text.replace(/^( +)kind: .*$/m, (line, indent: string) => `${line}\n${indent}${written}`);
  }, yaml);
}

export class SetUp {
  readonly t: Test;
  readonly instance: Instance;
  readonly environment: Record<string, string> = {};

  /** A folder below one that another uid could reach. */
  constructor(t: Test) {
    this.t = t;
    const dir = join(temporaryDirectory(t), 'instance');
    mkdirSync(dir);
    this.instance = new Instance(dir);
    t.teardown(() => this.instance.destroy());
  }

  path(name: string): string {
    return join(this.instance.dir, name);
  }

  write(name: string, text: string): string {
    const path = this.path(name);
    mkdirSync(join(path, '..'), { recursive: true, mode: 0o700 });
    writeFileSync(path, text, { mode: 0o600 });
    return path;
  }

  /** Commands of the page, in the folder, to the first that fails. */
  run(commands: string, what: string): Promise<string> {
    const script = `set -eo pipefail\nexport PATH="${join(ROOT, 'bin')}:$PATH"\n${commands}`;
    const env = { ...process.env, ...this.environment };
    const options = { cwd: this.instance.dir, env, detached: true } as const;
    const shell = spawn('bash', ['-c', script], { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
    let said = '';
    for (const stream of [shell.stdout, shell.stderr])
      stream.on('data', (chunk: Buffer) => (said += chunk.toString('utf8')));
    const timer = setTimeout(() => shell.kill('SIGKILL'), 150_000);
    return new Promise((resolve) =>
      shell.once('exit', (code) => {
        clearTimeout(timer);
        this.t.equal(code, 0, `${what}: ${said}`);
        resolve(said);
      }),
    );
  }

  /** What the page calls "Check it", on this configuration. `does`: which of the commands for resident keys the service can follow. */
  async check(
    yaml: string,
    values: Readonly<Record<string, string | number>>,
    does: (command: string) => boolean = () => true,
  ): Promise<void> {
    this.write('sidekey.yaml', substitute(yaml, values));
    const commands = [...blocksOf('', 'sh', 'enveloped')];
    if (yaml.includes('resident:'))
      commands.push(...blocksOf('', 'sh', 'resident').join('').split('\n').filter(does));
    const script = commands.join('\n').replace(INSTALLED, MODULE);
    // The agent lives on until the folder goes.
    const said = await this.run(`trap 'kill %1; wait %1' EXIT\n${script}`, 'the commands of "Check it"');
    this.t.match(said, /^(ok|warn) +provider \w+: /m, 'doctor finds the service well');
    this.t.match(said, /the first secret/, 'what was encrypted is decrypted');
    const log = readFileSync(this.path('agent.log'), 'utf8');
    // A service that was slow once, on a busy machine, was asked again, or the commands have failed.
    const faults = log.split('\n').filter((line) => line.includes('"level":"error"'));
    this.t.same(
      faults.filter((line) => !line.includes('"code":"provider_unreachable"')),
      [],
      'and nothing went wrong in the agent',
    );
  }
}

/** The configuration as it stands in the page is one that the program takes. */
export function isAccepted(t: Test, yaml: string, what: string): void {
  const file = join(temporaryDirectory(t), 'sidekey.yaml');
  writeFileSync(file, yaml);
  const { status, stderr } = spawnSync(join(ROOT, 'bin/sidekey'), ['config', 'check', file], {
    encoding: 'utf8',
  });
  t.equal(status, 0, `${what}: ${stderr}`);
}
