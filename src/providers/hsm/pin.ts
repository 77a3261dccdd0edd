/**
 * Where the PIN comes from, and the memory of one that was refused: a token locks itself after a few wrong ones, so the same PIN is not offered
 * twice. A changed file is a new chance.
 */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { SidekeyError } from '../../errors.ts';
import { readPrivateFile } from '../private-file.ts';

const NEWLINE = 0x0a;

export interface PinLocation {
  readonly provider: string;
  readonly file: string | null;
  readonly systemdCredential: string | null;
  readonly ownUid: number;
}

function digest(pin: Buffer): string {
  return createHash('sha256').update(pin).digest('hex');
}

export class PinSource {
  readonly #location: PinLocation;
  #refused: string | null = null;

  constructor(location: PinLocation) {
    this.#location = location;
  }

  /** Empty where the token needs none. The caller wipes it. */
  read(): Buffer {
    const path = this.#path();
    if (!path) return Buffer.alloc(0);
    const bytes = readPrivateFile(path, this.#location.ownUid);
    const pin = bytes.at(-1) === NEWLINE ? bytes.subarray(0, -1) : bytes;
    if (digest(pin) !== this.#refused) return pin;
    bytes.fill(0);
    const message = `provider "${this.#location.provider}": the token refused this PIN; it is tried again when ${path} changes`;
    throw new SidekeyError('provider_refused', message);
  }

  refuse(pin: Buffer): void {
    this.#refused = digest(pin);
  }

  #path(): string | null {
    const { file, systemdCredential } = this.#location;
    if (file || !systemdCredential) return file;
    const directory = process.env['CREDENTIALS_DIRECTORY'];
    if (directory) return join(directory, systemdCredential);
    throw new SidekeyError(
      'provider_unreachable',
      `systemd did not provide the credential "${systemdCredential}"`,
    );
  }
}
