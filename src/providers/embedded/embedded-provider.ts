/**
 * The key store for a machine that has no key service: the KEK is a file on this host. It passes through the agent as bytes on
 * their way to the keeper, and is wiped; every token key is made, sealed and opened inside the keeper.
 */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { SidekeyError } from '../../errors.ts';
import type { Logger } from '../../log/logger.ts';
import type { BareKek, CellId, Keeper, Mechanism, NewKey, Provider } from '../../tokens/ports.ts';
import { WireWriter } from '../../wire/buffer.ts';
import { openKeyFile } from './key-file.ts';
import { readPrivateFile } from '../private-file.ts';
import { CKA, CKK, CKM, CKO } from '../../tokens/cryptoki.ts';

const NEWLINE = 0x0a;

export interface KeyFiles {
  readonly keyFile: string;
  readonly passphraseFile: string | null;
  readonly systemdCredential: string | null;
  readonly ownUid: number;
}

export interface EmbeddedOptions extends KeyFiles {
  readonly name: string;
  readonly keeper: Keeper;
  readonly log: Logger;
}

function newAesKey(rest: Partial<NewKey>): NewKey {
  const none = { owner: null, leaseMs: null, uses: null, note: null, seal: null };
  return { objectClass: CKO.SECRET_KEY, keyType: CKK.AES, ...none, ...rest };
}

function tokenKeyData(purpose: string): Buffer {
  return Buffer.from(`sidekey token key v1${purpose}`, 'utf8');
}

function valueLength(bytes: number): Buffer {
  const value = Buffer.alloc(8);
  value.writeBigUInt64LE(BigInt(bytes));
  return value;
}

function trimNewline(bytes: Buffer): Buffer {
  return bytes.at(-1) === NEWLINE ? bytes.subarray(0, -1) : bytes;
}

function readPassphrase(options: KeyFiles): Buffer | null {
  const { passphraseFile, systemdCredential, ownUid } = options;
  if (passphraseFile) return readPrivateFile(passphraseFile, ownUid);
  if (!systemdCredential) return null;
  const directory = process.env['CREDENTIALS_DIRECTORY'];
  if (!directory)
    throw new SidekeyError(
      'provider_unreachable',
      `systemd did not provide the credential "${systemdCredential}"`,
    );
  return readPrivateFile(join(directory, systemdCredential), ownUid);
}

/** The KEK in the clear: the caller wipes it. */
export async function readKek(options: KeyFiles): Promise<Buffer> {
  const file = readPrivateFile(options.keyFile, options.ownUid);
  const passphrase = readPassphrase(options);
  try {
    return await openKeyFile(file, passphrase && trimNewline(passphrase));
  } finally {
    file.fill(0);
    passphrase?.fill(0);
  }
}

/** The KEK's cell in the keeper that is attached now; imported again when that is another one. */
class KekCell {
  readonly #options: EmbeddedOptions;
  #keeperPid: number | null = null;
  #cell: Promise<CellId> | null = null;

  constructor(options: EmbeddedOptions) {
    this.#options = options;
  }

  get(): Promise<CellId> {
    const { pid } = this.#options.keeper;
    if (!this.#cell || this.#keeperPid !== pid) {
      this.#keeperPid = pid;
      const importing = this.#import();
      this.#cell = importing;
      importing.catch(() => this.#forget(importing));
    }
    return this.#cell;
  }

  /** Once more when the keeper does not know the cell (any longer). */
  async use<T>(work: (cell: CellId) => Promise<T>): Promise<T> {
    const before = this.get();
    try {
      return await work(await before);
    } catch (error) {
      if (!(error instanceof SidekeyError && error.code === 'cell_unknown')) throw error;
      this.#forget(before);
      return work(await this.get());
    }
  }

  #forget(cell: Promise<CellId>): void {
    if (this.#cell === cell) this.#cell = null;
  }

  async #import(): Promise<CellId> {
    const { keeper, name } = this.#options;
    const note = Buffer.from(`kek ${name}`, 'utf8');
    await this.#dropFormer(note);
    const value = await readKek(this.#options);
    try {
      const made = await keeper.importComponents(newAesKey({ note }), [{ type: CKA.VALUE, value }]);
      return made.cell;
    } finally {
      value.fill(0);
    }
  }

  /** What an agent before this one left in the same keeper; the file may have changed since. */
  async #dropFormer(note: Buffer): Promise<void> {
    const { keeper } = this.#options;
    for (const seen of await keeper.cells()) {
      if (seen.owner === null && seen.note?.equals(note)) await keeper.drop(seen.cell).catch(() => undefined);
    }
  }
}

function refuseBrokenSeal(name: string, error: unknown): never {
  if (!(error instanceof SidekeyError && error.code === 'seal_broken')) throw error;
  const message = `the token key was not wrapped by the key of provider "${name}"`;
  throw new SidekeyError('provider_refused', message, { cause: error });
}

const BARE_NONCE_BYTES = 12;

function gcm(nonce: Buffer): Mechanism {
  const none = Buffer.alloc(0);
  return { type: CKM.AES_GCM, params: new WireWriter().bytes(nonce).bytes(none).u32(128).done() };
}

/** As Tink's AES-GCM without a prefix: nonce, ciphertext, tag. */
function bareKek(keeper: Keeper, kek: KekCell): BareKek {
  return {
    async encrypt(plaintext) {
      const nonce = randomBytes(BARE_NONCE_BYTES);
      try {
        const body = await kek.use((by) => keeper.operate(by, 'encrypt', gcm(nonce), plaintext));
        return Buffer.concat([nonce, body]);
      } finally {
        plaintext.fill(0);
      }
    },
    async decrypt(ciphertext) {
      const nonce = ciphertext.subarray(0, BARE_NONCE_BYTES);
      if (nonce.length < BARE_NONCE_BYTES)
        throw new SidekeyError('encrypted_data_invalid', 'too short to contain a nonce');
      const body = ciphertext.subarray(BARE_NONCE_BYTES);
      return kek.use((by) => keeper.operate(by, 'decrypt', gcm(nonce), body));
    },
  };
}

function warnWithoutPassphrase({
  name,
  keyFile,
  passphraseFile,
  systemdCredential,
  log,
}: EmbeddedOptions): void {
  if (passphraseFile || systemdCredential) return;
  const fields = { provider: name, keyFile };
  log.warn(fields, 'the key store has no passphrase: anyone who can read this file can open every token');
}

async function healthOf(options: EmbeddedOptions): Promise<{ ok: boolean; detail: string }> {
  try {
    (await readKek(options)).fill(0);
    return { ok: true, detail: `key file ${options.keyFile}` };
  } catch (error) {
    return { ok: false, detail: error instanceof Error ? error.message : String(error) };
  }
}

export function createEmbeddedProvider(options: EmbeddedOptions): Provider {
  const { name, keeper } = options;
  const kek = new KekCell(options);
  warnWithoutPassphrase(options);
  return {
    name,
    kind: 'embedded',
    resident: null,
    random: null,
    bare: bareKek(keeper, kek),
    async createDataKey(purpose) {
      const mechanism = { type: CKM.AES_KEY_GEN, params: Buffer.alloc(0) };
      const template = [{ type: CKA.VALUE_LEN, value: valueLength(32) }];
      const made = await kek.use((by) =>
        keeper.generate(newAesKey({ seal: { by, aad: tokenKeyData(purpose) } }), mechanism, template),
      );
      if (!made.blob) throw new SidekeyError('internal', 'the keeper returned no sealed key');
      return { cell: made.cell, wrapped: made.blob };
    },
    async openDataKey(wrapped, purpose, leaseMs) {
      const opened = kek.use((by) => keeper.open(newAesKey({ leaseMs }), by, tokenKeyData(purpose), wrapped));
      return (await opened.catch((error) => refuseBrokenSeal(name, error))).cell;
    },
    credentialSecondsLeft: () => null,
    watch: () => undefined,
    health: () => healthOf(options),
    async close() {},
  };
}
