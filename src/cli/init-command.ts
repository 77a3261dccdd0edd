import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { loadConfig } from '../config/read-config.ts';
import { SidekeyError } from '../errors.ts';
import { createLogger } from '../log/logger.ts';
import { readPrivateFile } from '../providers/private-file.ts';
import {
  JSON_OPTION,
  listOption,
  requiredOption,
  textOption,
  type Command,
  type Invocation,
} from './command.ts';
import {
  discardInstance,
  folderLayout,
  parseWho,
  SYSTEM_LAYOUT,
  writeInstance,
  type Layout,
  type NewInstance,
} from './instance-files.ts';
import { askNewSecret } from './secret-prompt.ts';
import { actAs, findSystemOwner, removeSystemConfig, writeSystemConfig } from './system-owner.ts';

const NEWLINE = 0x0a;

interface Pins {
  readonly user: Buffer | null;
  readonly so: Buffer | null;
}

function readSecretFile(path: string, ownUid: number): Buffer {
  try {
    const bytes = readPrivateFile(resolve(path), ownUid);
    return bytes.at(-1) === NEWLINE ? bytes.subarray(0, -1) : bytes;
  } catch (cause) {
    throw new SidekeyError('init_refused', cause instanceof Error ? cause.message : String(cause), { cause });
  }
}

function givenPin(values: Invocation['values'], name: 'pin' | 'so-pin', ownUid: number): Buffer | null {
  const [text, file] = [textOption(values, name), textOption(values, `${name}-file`)];
  if (text !== undefined && file !== undefined)
    throw new SidekeyError('usage', `either --${name} or --${name}-file`);
  if (text !== undefined) return Buffer.from(text, 'utf8');
  return file === undefined ? null : readSecretFile(file, ownUid);
}

/** Asked for only when no PIN was given: a script that gives one is not stopped by a question. */
async function collectPins({ values }: Invocation, ownUid: number): Promise<Pins> {
  const [user, so] = [givenPin(values, 'pin', ownUid), givenPin(values, 'so-pin', ownUid)];
  if (user || so) return { user, so };
  if (!process.stdin.isTTY)
    throw new SidekeyError('init_refused', 'a token needs --pin-file (and --so-pin-file), or a terminal');
  return { user: await askNewSecret('User PIN'), so: await askNewSecret('SO PIN') };
}

/** The token is a row in the store: its key is made when the first object needs it, by the keeper. */
async function createToken(config: string, label: string, pins: Pins, version: string): Promise<void> {
  const { Domain } = await import('../agent.ts');
  const domain = new Domain({ config: loadConfig(config), log: createLogger('silent'), version });
  try {
    await domain.tokens.createToken({ label, provider: 'local', soPin: pins.so, userPin: pins.user });
  } finally {
    await domain.close();
  }
}

function readLayout({ values }: Invocation): Layout {
  if (values['system'] !== true) return folderLayout(resolve(requiredOption(values, 'dir')));
  if (values['dir'] !== undefined) throw new SidekeyError('usage', 'either --dir or --system');
  return SYSTEM_LAYOUT;
}

function readInstance(invocation: Invocation, ownUid: number): NewInstance {
  const { values } = invocation;
  const allow = listOption(values, 'allow').map(parseWho);
  const passphrase = textOption(values, 'passphrase-file');
  return {
    layout: readLayout(invocation),
    token: textOption(values, 'token') ?? null,
    allow: allow.length > 0 ? allow : [{ uid: ownUid }],
    passphraseFile: passphrase === undefined ? null : resolve(passphrase),
  };
}

async function make(
  instance: NewInstance,
  pins: Pins,
  ownUid: number,
  invocation: Invocation,
): Promise<void> {
  const { passphraseFile, token } = instance;
  const passphrase = passphraseFile === null ? null : readSecretFile(passphraseFile, ownUid);
  const config = await writeInstance(instance, passphrase, ownUid, invocation.warn);
  passphrase?.fill(0);
  try {
    loadConfig(config);
    if (token !== null) await createToken(config, token, pins, invocation.version);
  } catch (error) {
    discardInstance(instance);
    throw error;
  }
}

async function makeSystem(instance: NewInstance, pins: Pins, invocation: Invocation): Promise<void> {
  const owner = findSystemOwner();
  if (existsSync(instance.layout.config))
    throw new SidekeyError('init_refused', `${instance.layout.config} is there already: nothing was changed`);
  // Before the files of its owner: with these ids the configuration can be read, not written.
  writeSystemConfig(instance, owner);
  try {
    await actAs(owner, () => make(instance, pins, owner.uid, invocation));
  } catch (error) {
    removeSystemConfig();
    throw error;
  }
}

async function init(invocation: Invocation): Promise<number> {
  const ownUid = process.geteuid?.() ?? 0;
  const instance = readInstance(invocation, ownUid);
  const { token } = instance;
  const pins = token === null ? { user: null, so: null } : await collectPins(invocation, ownUid);
  if (instance.layout.isSystem) await makeSystem(instance, pins, invocation);
  else await make(instance, pins, ownUid, invocation);
  if (token !== null && !pins.so)
    invocation.warn('sidekey: the token has no SO PIN: a locked user PIN stays locked');
  const { config, isSystem } = instance.layout;
  const start = isSystem ? 'systemctl enable --now sidekey.target' : `sidekey agent --config ${config}`;
  if (invocation.values['json']) invocation.say(JSON.stringify({ config }));
  else invocation.say(`made ${config}; start it with: ${start}`);
  return 0;
}

const HELP = `Writes DIR/sidekey.yaml, DIR/store (the embedded key store, the database, the audit log); the sockets will be
DIR/pkcs11.sock and DIR/api.sock. With --system: /etc/sidekey/sidekey.yaml, /var/lib/sidekey, /run/sidekey. Overwrites nothing.
Without a PIN it asks for both on the terminal.`;

const PIN_DANGER =
  'for tests and scripts only: every user of this host can read them in the list of processes, and the shell keeps them';

export const initCommand: Command = {
  name: 'init',
  secret: true,
  summary: 'make an instance: configuration and an embedded key store',
  help: HELP,
  options: {
    dir: { type: 'string', value: 'DIR', help: 'where; made when it is not there' },
    system: { type: 'boolean', help: "instead of --dir, as root: the one of this host, for systemd's units" },
    token: {
      type: 'string',
      value: 'LABEL',
      help: 'make a token; without it C_InitToken may make one later',
    },
    'pin-file': { type: 'string', value: 'FILE', help: 'its user PIN, from a file of mode 0600' },
    'so-pin-file': {
      type: 'string',
      value: 'FILE',
      help: 'its SO PIN; without one a locked user PIN stays locked',
    },
    pin: { type: 'string', value: 'PIN', help: PIN_DANGER },
    'so-pin': { type: 'string', value: 'PIN', help: 'as --pin' },
    allow: {
      type: 'string',
      multiple: true,
      value: 'WHO',
      help: 'uid:N, gid:N, user:NAME, group:NAME or any may use it, enter DIR and connect; without it the caller alone',
    },
    'passphrase-file': {
      type: 'string',
      value: 'FILE',
      help: 'protects the key file; it must be there at every start',
    },
    ...JSON_OPTION,
  },
  examples: [
    'sidekey init --dir ~/sidekey --token demo',
    'sidekey init --system --token demo --pin-file pin --so-pin-file so-pin --allow group:www-data',
  ],
  positionals: [],
  run: init,
};
