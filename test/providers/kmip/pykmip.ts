/** A real PyKMIP server (Debian's python3-pykmip) in its own folder, on loopback, with the keys that a test needs. */
import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Test } from 'tap';
import { SYSTEM_CLOCK } from '../../../src/clock.ts';
import { nameAttribute } from '../../../src/providers/kmip/attributes.ts';
import * as message from '../../../src/providers/kmip/message.ts';
import type { Payload } from '../../../src/providers/kmip/message.ts';
import { KmipPool } from '../../../src/providers/kmip/pool.ts';
import { TAG } from '../../../src/providers/kmip/tables.ts';
import type { TtlvItem } from '../../../src/providers/kmip/ttlv.ts';
import { temporaryDirectory } from '../../e2e/instance.ts';
import { makeCertificates, type Certificates } from '../../fakes/certificates.ts';

const { bytes, enumeration, integer, structure, text } = message;
const OBJECT_TYPE = 0x420057;
const TEMPLATE_ATTRIBUTE = 0x420091;
const SYMMETRIC_KEY = 0x42008f;
const KEY_BLOCK = 0x420040;
const KEY_FORMAT_TYPE = 0x420042;
const KEY_VALUE = 0x420045;
const KEY_MATERIAL = 0x420043;
const CRYPTOGRAPHIC_LENGTH = 0x42002a;
const [REGISTER, ACTIVATE] = [3, 0x12];
const [AES, HMAC_SHA256] = [3, 9];
/** Cryptographic Usage Masks */
const [ENCRYPT_DECRYPT, MAC_GENERATE_VERIFY] = [0x0c, 0x180];
const START_MS = 20_000;

/** Numbers of states in its SQLite database. */
const ACTIVE = 2;
const DEACTIVATED = 3;

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

function attribute(name: string, value: TtlvItem): TtlvItem {
  return structure(TAG.Attribute, text(TAG.AttributeName, name), value);
}

function registerRequest(algorithm: number, usage: number, key: Buffer, name: string | null): Payload {
  const attributes = structure(
    TEMPLATE_ATTRIBUTE,
    attribute('Cryptographic Usage Mask', integer(TAG.AttributeValue, usage)),
    ...(name === null ? [] : [attribute('Name', { ...nameAttribute(name), tag: TAG.AttributeValue })]),
  );
  const block = structure(
    KEY_BLOCK,
    enumeration(KEY_FORMAT_TYPE, 1),
    structure(KEY_VALUE, bytes(KEY_MATERIAL, key)),
    enumeration(TAG.CryptographicAlgorithm, algorithm),
    integer(CRYPTOGRAPHIC_LENGTH, key.length * 8),
  );
  return [enumeration(OBJECT_TYPE, 2), attributes, structure(SYMMETRIC_KEY, block)];
}

export class PyKmip {
  readonly dir: string;
  readonly port: number;
  readonly certificates: Certificates;
  readonly database: string;
  #server: ChildProcess | null = null;

  private constructor(dir: string, port: number) {
    this.dir = dir;
    this.port = port;
    this.certificates = makeCertificates(dir);
    chmodSync(this.certificates.client.key, 0o600);
    this.database = join(dir, 'pykmip.db');
    mkdirSync(join(dir, 'policy'));
    writeFileSync(join(dir, 'server.conf'), this.#configuration());
  }

  static async start(t: Test): Promise<PyKmip> {
    const server = new PyKmip(temporaryDirectory(t), await freePort());
    t.teardown(() => server.stop());
    await server.start();
    return server;
  }

  #configuration(): string {
    const { ca, server } = this.certificates;
    return `[server]
hostname=127.0.0.1
port=${this.port}
certificate_path=${server.certificate}
key_path=${server.key}
ca_path=${ca}
auth_suite=TLS1.2
policy_path=${join(this.dir, 'policy')}
enable_tls_client_auth=True
logging_level=ERROR
database_path=${this.database}
`;
  }

  async start(): Promise<void> {
    const files = ['-f', join(this.dir, 'server.conf'), '-l', join(this.dir, 'server.log')];
    // A separate process group: it starts helpers, which would outlive it.
    this.#server = spawn('/usr/bin/pykmip-server', files, { stdio: 'ignore', detached: true });
    const end = Date.now() + START_MS;
    for (;;) {
      try {
        await this.#request(0x1e, []);
        return;
      } catch (error) {
        if (Date.now() > end || this.#server.exitCode !== null)
          throw new Error(`pykmip-server: ${readFileSync(join(this.dir, 'server.log'), 'utf8')}`, {
            cause: error,
          });
        await sleep(100);
      }
    }
  }

  /** By SIGKILL, since SIGTERM takes ten seconds. */
  async stop(): Promise<void> {
    const server = this.#server;
    if (!server || server.exitCode !== null || server.signalCode !== null) return;
    const ended = new Promise((resolve) => server.once('exit', resolve));
    this.signal('SIGKILL');
    await ended;
  }

  signal(signal: 'SIGSTOP' | 'SIGCONT' | 'SIGKILL'): void {
    const pid = this.#server?.pid;
    if (pid !== undefined) process.kill(-pid, signal);
  }

  /** Returns the unique identifier of an active key. */
  async makeKey(
    kind: 'aes' | 'hmac',
    name: string | null = null,
    key: Buffer = randomBytes(32),
  ): Promise<string> {
    const [algorithm, usage] = kind === 'aes' ? [AES, ENCRYPT_DECRYPT] : [HMAC_SHA256, MAC_GENERATE_VERIFY];
    const made = await this.#request(REGISTER, registerRequest(algorithm, usage, key, name));
    const id = message.findText(made, TAG.UniqueIdentifier) ?? '';
    await this.#request(ACTIVATE, [text(TAG.UniqueIdentifier, id)]);
    return id;
  }

  /** A revoked key cannot be activated again by the protocol: the database is changed directly. */
  setState(id: string, state: 'active' | 'deactivated'): void {
    const database = new DatabaseSync(this.database);
    const number = state === 'active' ? ACTIVE : DEACTIVATED;
    database.prepare('UPDATE crypto_objects SET state = ? WHERE uid = ?').run(number, Number(id));
    database.close();
  }

  options(keyId: string, more: Record<string, unknown> = {}): Record<string, unknown> {
    const { ca, client } = this.certificates;
    return {
      kind: 'kmip',
      host: '127.0.0.1',
      port: this.port,
      'ca-file': ca,
      'certificate-file': client.certificate,
      'key-file': client.key,
      'key-id': keyId,
      ...more,
    };
  }

  async #request(operation: number, payload: Payload): Promise<Payload> {
    const { ca, client } = this.certificates;
    const files = { ca, certificate: client.certificate, key: client.key, ownUid: process.geteuid?.() ?? 0 };
    const address = { host: '127.0.0.1', port: this.port, serverName: null };
    const pool = new KmipPool({ address, files, connections: 1, clock: SYSTEM_CLOCK });
    try {
      return await pool.use(SYSTEM_CLOCK.monotonic() + 5000, 5000, async (connection) => {
        const request = message.encodeRequest({ major: 1, minor: 4 }, operation, payload);
        return message.decodeResponse(await connection.exchange(request, 5000), operation);
      });
    } finally {
      pool.close();
    }
  }
}
