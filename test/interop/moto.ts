/**
 * moto's server from PyPI as AWS, with IAM enforced: after three calls without authentication (which make an administrator) every
 * request's signature and permission is checked. Installed into node_modules/.cache once; what is missing is a failure.
 */
import { Sha256 } from '@aws-crypto/sha256-js';
import { SignatureV4 } from '@smithy/signature-v4';
import { spawn, type ChildProcess } from 'node:child_process';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { Test } from 'tap';
import { installPython } from './python-venv.ts';

const MOTO = 'moto[server]==5.2.5';
const REGION = 'eu-central-1';

interface Identity {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as AddressInfo;
  await new Promise((done) => server.close(done));
  return port;
}

export class Moto {
  readonly #bin: string;
  #child: ChildProcess | null = null;
  #port = 0;
  admin: Identity = { accessKeyId: 'none', secretAccessKey: 'none' };

  constructor(bin: string) {
    this.#bin = bin;
  }

  get port(): number {
    return this.#port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  static async start(t: Test): Promise<Moto> {
    const moto = new Moto(installPython(MOTO));
    t.teardown(() => moto.#child?.kill('SIGKILL'));
    await moto.#start();
    moto.admin = await moto.createUser('admin', '*');
    return moto;
  }

  freeze(): void {
    this.#child?.kill('SIGSTOP');
  }

  thaw(): void {
    this.#child?.kill('SIGCONT');
  }

  async #start(): Promise<void> {
    this.#port = await freePort();
    const args = ['-H', '127.0.0.1', '-p', `${this.#port}`];
    const env = { ...process.env, INITIAL_NO_AUTH_ACTION_COUNT: '3' };
    this.#child = spawn(join(this.#bin, 'moto_server'), args, { stdio: 'ignore', env });
    for (let i = 0; i < 200; i++) {
      const isUp = await fetch(`${this.url}/moto-api/`).then(
        ({ ok }) => ok,
        () => false,
      );
      if (isUp) return;
      await new Promise((done) => setTimeout(done, 100));
    }
    throw new Error('moto did not start');
  }

  async #send(service: string, headers: Record<string, string>, body: string): Promise<string> {
    const { hostname, port, host } = new URL(this.url);
    const signer = new SignatureV4({ service, region: REGION, credentials: this.admin, sha256: Sha256 });
    const unsigned = {
      method: 'POST',
      protocol: 'http:',
      hostname,
      port: Number(port),
      path: '/',
      query: {},
    };
    const signed = await signer.sign({ ...unsigned, headers: { host, ...headers }, body });
    const reply = await fetch(this.url, { method: 'POST', headers: signed.headers, body });
    const text = await reply.text();
    if (!reply.ok) throw new Error(`${service}: ${reply.status} ${text}`);
    return text;
  }

  iam(parameters: Record<string, string>): Promise<string> {
    const type = { 'content-type': 'application/x-www-form-urlencoded' };
    return this.#send('iam', type, `${new URLSearchParams({ Version: '2010-05-08', ...parameters })}`);
  }

  async kms(operation: string, parameters: object): Promise<Record<string, Record<string, string>>> {
    const headers = {
      'content-type': 'application/x-amz-json-1.1',
      'x-amz-target': `TrentService.${operation}`,
    };
    return JSON.parse(await this.#send('kms', headers, JSON.stringify(parameters)));
  }

  /** With an inline policy "p" that allows this action everywhere. */
  async createUser(name: string, action: string): Promise<Identity> {
    await this.iam({ Action: 'CreateUser', UserName: name });
    await this.allow(name, action);
    const made = await this.iam({ Action: 'CreateAccessKey', UserName: name });
    const read = (tag: string) => new RegExp(`<${tag}>([^<]+)<`).exec(made)?.[1] ?? '';
    return { accessKeyId: read('AccessKeyId'), secretAccessKey: read('SecretAccessKey') };
  }

  async allow(name: string, action: string): Promise<void> {
    const statement = { Effect: 'Allow', Action: action, Resource: '*' };
    const document = JSON.stringify({ Version: '2012-10-17', Statement: statement });
    await this.iam({ Action: 'PutUserPolicy', UserName: name, PolicyName: 'p', PolicyDocument: document });
  }

  async deny(name: string): Promise<void> {
    await this.iam({ Action: 'DeleteUserPolicy', UserName: name, PolicyName: 'p' });
  }
}
