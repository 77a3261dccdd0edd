/**
 * The files of a new instance, with the modes that admitted peers need: in one directory, or where the
 * systemd units expect them.
 */
import { chmodSync, existsSync, mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { dirname, join, resolve } from 'node:path';
import { SidekeyError } from '../errors.ts';
import { KEK_BYTES, protectKey } from '../providers/embedded/key-file.ts';

/** One condition of `allow`, as in the configuration. */
export type Who = { readonly [key in 'uid' | 'gid' | 'user' | 'group']?: string | number } & {
  readonly any?: true;
};

/** The paths in the configuration. */
export interface Layout {
  readonly config: string;
  readonly store: string;
  readonly audit: string;
  readonly sockets: { readonly pkcs11: string; readonly api: string; readonly control: string };
  /** The instance of the whole host: root owns its configuration, and its directories already exist. */
  readonly isSystem: boolean;
  /** Whether the agent starts the keeper, and so creates its socket; otherwise systemd does. */
  readonly startsKeeper: boolean;
}

export function folderLayout(dir: string): Layout {
  return {
    config: join(dir, 'sidekey.yaml'),
    store: 'store',
    audit: 'store/audit.log',
    sockets: { pkcs11: 'pkcs11.sock', api: 'api.sock', control: 'store/control.sock' },
    isSystem: false,
    startsKeeper: true,
  };
}

/** The paths in systemd/. */
export const SYSTEM_LAYOUT: Layout = {
  config: '/etc/sidekey/sidekey.yaml',
  store: '/var/lib/sidekey',
  audit: '/var/log/sidekey/audit.log',
  sockets: {
    pkcs11: '/run/sidekey/pkcs11.sock',
    api: '/run/sidekey/api.sock',
    control: '/run/sidekey/keeper/control.sock',
  },
  isSystem: true,
  startsKeeper: false,
};

/** Tests whether systemd booted the host, as sd_booted(3) does: not in a container with a single service. */
function isSystemdRunning(): boolean {
  return existsSync('/run/systemd/system');
}

export function systemLayout(): Layout {
  return { ...SYSTEM_LAYOUT, startsKeeper: !isSystemdRunning() };
}

export interface NewInstance {
  readonly layout: Layout;
  readonly token: string | null;
  readonly allow: readonly Who[];
  readonly passphraseFile: string | null;
}

/** uid:N, gid:N, user:NAME, group:NAME or any. */
export function parseWho(text: string): Who {
  if (text === 'any') return { any: true };
  const [, kind, value = ''] = /^(uid|gid|user|group):(.+)$/.exec(text) ?? [];
  const isNumber = kind === 'uid' || kind === 'gid';
  if (kind === undefined || (isNumber && !/^\d{1,10}$/.test(value))) {
    throw new SidekeyError(
      'usage',
      `--allow takes uid:N, gid:N, user:NAME, group:NAME or any, not "${text}"`,
    );
  }
  return { [kind]: isNumber ? Number(value) : value };
}

function admitsOthers(allow: readonly Who[], ownUid: number): boolean {
  return allow.some((who) => who.uid !== ownUid);
}

function allowLine(who: Who): string {
  const text = JSON.stringify(who)
    .replaceAll(':', ': ')
    .replace(/"(\w+)":/g, '$1:');
  return `      - ${text}`;
}

function tokenLines({ token, allow }: NewInstance): string[] {
  if (token === null)
    return ['tokens: []', '', '# C_InitToken makes one in the free slot.', 'create-tokens: true'];
  const row = [`  - label: ${JSON.stringify(token)}`, '    provider: local', '    allow:'];
  return ['tokens:', ...row, ...allow.map(allowLine)];
}

/** The text of the configuration: a JSON string is a YAML string. */
export function renderConfig(instance: NewInstance, ownUid: number): string {
  const mode = admitsOthers(instance.allow, ownUid) ? '"0666"' : '"0600"';
  const { passphraseFile: passphrase, layout } = instance;
  const lines = [
    '# Made by sidekey init. Every key is explained in docs/sidekey.example.yaml; `sidekey config check` finds errors.',
    'version: 1',
    '',
    ...tokenLines(instance),
    '',
    'providers:',
    '  local:',
    '    kind: embedded',
    `    key-file: ${layout.store}/kek`,
    ...(passphrase ? [`    passphrase-file: ${JSON.stringify(passphrase)}`] : []),
    '',
    'store:',
    `  path: ${layout.store}/sidekey.db`,
    '',
    '# The mode lets peers connect; the rules above decide what they see.',
    'sockets:',
    `  pkcs11: ${layout.sockets.pkcs11}`,
    ...(layout.startsKeeper ? [`  pkcs11-mode: ${mode}`] : []),
    `  api: ${layout.sockets.api}`,
    `  api-mode: ${mode}`,
    `  control: ${layout.sockets.control}`,
    '',
    'keeper:',
    `  start: ${layout.startsKeeper}`,
    '',
    'audit:',
    `  path: ${layout.audit}`,
    '',
    'log:',
    '  level: info',
    '',
  ];
  return lines.join('\n');
}

function prepareFolder(dir: string, mode: number, ownUid: number, warn: (line: string) => void): void {
  if (!existsSync(dir)) mkdirSync(dir, { recursive: true, mode });
  const found = statSync(dir);
  if (!found.isDirectory()) throw new SidekeyError('init_refused', `${dir} is not a directory`);
  // Who owns it can put another configuration there.
  if (found.uid !== ownUid) throw new SidekeyError('init_refused', `${dir} belongs to uid ${found.uid}`);
  if ((found.mode & 0o777) === mode) return;
  chmodSync(dir, mode);
  if ((found.mode & 0o777) !== mode)
    warn(`sidekey: ${dir} now has mode ${mode.toString(8).padStart(4, '0')}`);
}

/** Refuses (init_refused) if an instance exists. Returns the path of the configuration. */
export async function writeInstance(
  instance: NewInstance,
  passphrase: Buffer | null,
  ownUid: number,
  warn: (line: string) => void,
): Promise<string> {
  const { config } = instance.layout;
  const dir = dirname(config);
  const store = resolve(dir, instance.layout.store);
  for (const path of instance.layout.isSystem
    ? [join(store, 'kek'), join(store, 'sidekey.db')]
    : [config, store]) {
    if (existsSync(path))
      throw new SidekeyError('init_refused', `${path} already exists: nothing was changed`);
  }
  if (!instance.layout.isSystem) {
    prepareFolder(dir, admitsOthers(instance.allow, ownUid) ? 0o711 : 0o700, ownUid, warn);
    mkdirSync(store, { mode: 0o700 });
  }
  const kek = randomBytes(KEK_BYTES);
  const file = passphrase ? await protectKey(kek, passphrase) : Buffer.from(kek);
  writeFileSync(join(store, 'kek'), file, { mode: 0o600, flag: 'wx' });
  kek.fill(0);
  file.fill(0);
  if (!instance.layout.isSystem)
    writeFileSync(config, renderConfig(instance, ownUid), { mode: 0o600, flag: 'wx' });
  return config;
}

/** Removes what writeInstance() and the first token created. System directories stay. */
export function discardInstance({ layout }: NewInstance): void {
  const dir = dirname(layout.config);
  if (!layout.isSystem) rmSync(layout.config, { force: true });
  const store = resolve(dir, layout.store);
  const made = layout.isSystem
    ? ['kek', 'sidekey.db', 'sidekey.db-wal', 'sidekey.db-shm', 'sidekey.db.lock', 'usage.db'].map((name) =>
        join(store, name),
      )
    : [store];
  for (const path of made) rmSync(path, { recursive: true, force: true });
}
