/**
 * ministack's server from PyPI as the KMS of AWS: states of keys, digests, OAEP, Ed25519 and multi-Region keys, which moto does not have. It looks at no
 * signature and does not really encrypt by symmetric keys, so that it proves nothing of a KEK. Started for KMS alone, on loopback.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import type { Test } from 'tap';
import { temporaryDirectory } from '../e2e/instance.ts';
import { freePort } from './openbao.ts';
import { installPython } from './python-venv.ts';

const MINISTACK = 'ministack==1.5.33 cryptography==46.0.3';

export class Ministack {
  #child: ChildProcess | null = null;
  #port = 0;

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  static async start(t: Test): Promise<Ministack> {
    const stack = new Ministack();
    t.teardown(() => stack.#child?.kill('SIGKILL'));
    stack.#port = await freePort();
    const env = {
      ...{ PATH: process.env['PATH'], HOME: temporaryDirectory(t), TMPDIR: temporaryDirectory(t) },
      ...{ BIND_HOST: '127.0.0.1', GATEWAY_PORT: `${stack.#port}`, SERVICES: 'kms' },
    };
    const program = join(installPython(MINISTACK), 'ministack');
    stack.#child = spawn(program, [], { stdio: 'ignore', env });
    for (let i = 0; i < 300; i++) {
      const isUp = await stack.kms('eu-central-1', 'ListKeys', {}).then(
        () => true,
        () => false,
      );
      if (isUp) return stack;
      await new Promise((done) => setTimeout(done, 100));
    }
    throw new Error('ministack did not start');
  }

  /** As an operator: what the adapter cannot do. */
  async kms(region: string, operation: string, parameters: object): Promise<Record<string, unknown>> {
    const scope = `AKIAEXAMPLE/20260101/${region}/kms/aws4_request`;
    const headers = {
      'content-type': 'application/x-amz-json-1.1',
      'x-amz-target': `TrentService.${operation}`,
      authorization: `AWS4-HMAC-SHA256 Credential=${scope}, SignedHeaders=host, Signature=${'0'.repeat(64)}`,
    };
    const reply = await fetch(this.url, { method: 'POST', headers, body: JSON.stringify(parameters) });
    const text = await reply.text();
    if (!reply.ok) throw new Error(`${operation}: ${reply.status} ${text}`);
    return JSON.parse(text);
  }
}
