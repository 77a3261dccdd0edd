import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { loadConfig } from '../../config/read-config.ts';
import { SidekeyError } from '../../errors.ts';
import { createLogger } from '../../log/logger.ts';
import { readPrivateFile } from '../../providers/private-file.ts';
import {
  JSON_OPTION,
  listOption,
  requiredOption,
  textOption,
  type Command,
  type Invocation,
} from '../command.ts';
import {
  discardInstance,
  folderLayout,
  parseWho,
  systemLayout,
  writeInstance,
  type Layout,
  type NewInstance,
} from '../instance-files.ts';
import { askNewSecret } from '../secret-prompt.ts';
import { actAs, findSystemOwner, removeSystemConfig, writeSystemConfig } from '../system-owner.ts';

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
    throw new SidekeyError('usage', `give either --${name} or --${name}-file`);
  if (text !== undefined) return Buffer.from(text, 'utf8');
  return file === undefined ? null : readSecretFile(file, ownUid);
}

/** Only asks if no PIN was given, so that scripts that give one are never interrupted. */
async function collectPins({ values }: Invocation, ownUid: number): Promise<Pins> {
  const [user, so] = [givenPin(values, 'pin', ownUid), givenPin(values, 'so-pin', ownUid)];
  if (user || so) return { user, so };
  if (!process.stdin.isTTY)
    throw new SidekeyError(
      'init_refused',
      'creating a token requires --pin-file (and --so-pin-file), or a terminal',
    );
  return { user: await askNewSecret('User PIN'), so: await askNewSecret('SO PIN') };
}

/** The token is only a row in the store: the keeper makes its key when the first object needs it. */
async function createToken(config: string, label: string, pins: Pins, version: string): Promise<void> {
  const { Domain } = await import('../../agent.ts');
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
  return systemLayout();
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
    throw new SidekeyError('init_refused', `${instance.layout.config} already exists: nothing was changed`);
  // Before the owner's files: with these IDs, the configuration can be read but not written.
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
    invocation.warn('sidekey: the token has no SO PIN: a locked user PIN cannot be unlocked');
  const { config, startsKeeper } = instance.layout;
  const start = startsKeeper ? `sidekey agent --config ${config}` : 'systemctl enable --now sidekey.target';
  if (invocation.values['json']) invocation.say(JSON.stringify({ config }));
  else invocation.say(`created ${config}; start it with: ${start}`);
  return 0;
}

const HELP = `Creates DIR/sidekey.yaml and DIR/store (embedded key store, database, audit log). The sockets will be DIR/pkcs11.sock and
DIR/api.sock. With --system the paths are /etc/sidekey/sidekey.yaml, /var/lib/sidekey and /run/sidekey. Never overwrites
existing files. If no PIN is given, prompts for both PINs.`;

const PIN_DANGER =
  'the user PIN, for tests only: visible to every user in the process list, and kept in the shell history';

export const initCommand: Command = {
  name: 'init',
  secret: true,
  summary: 'create an instance: configuration and embedded key store',
  help: HELP,
  options: {
    dir: {
      type: 'string',
      value: 'DIR',
      help: 'where to create the instance; the directory is created if missing',
    },
    system: {
      type: 'boolean',
      help: 'create the instance of this host or container, instead of --dir; requires root',
    },
    token: {
      type: 'string',
      value: 'LABEL',
      help: 'create a token; otherwise C_InitToken can create one later',
    },
    'pin-file': { type: 'string', value: 'FILE', help: 'file of mode 0600 that contains the user PIN' },
    'so-pin-file': {
      type: 'string',
      value: 'FILE',
      help: 'file with the SO PIN; without an SO PIN, a locked user PIN cannot be unlocked',
    },
    pin: { type: 'string', value: 'PIN', help: PIN_DANGER },
    'so-pin': { type: 'string', value: 'PIN', help: 'the SO PIN; same warning' },
    allow: {
      type: 'string',
      multiple: true,
      value: 'WHO',
      help: 'grant access to uid:N, gid:N, user:NAME, group:NAME or any, including to DIR and its sockets; default: only the caller',
    },
    'passphrase-file': {
      type: 'string',
      value: 'FILE',
      help: 'file with a passphrase that encrypts the key file; required at every start',
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
