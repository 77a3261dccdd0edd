/** A service in a process of its own, on a port of loopback that it keeps over a restart. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Test } from 'tap';

export class ServiceProcess {
  readonly #kind: string;
  readonly #arguments: readonly string[];
  /** What it has answered, by the time of day. */
  readonly served: { readonly path: string; readonly fromMs: number; readonly toMs: number }[] = [];
  #child: ChildProcess | null = null;
  #port = 0;

  constructor(t: Test, kind: string, ...args: string[]) {
    this.#kind = kind;
    this.#arguments = args;
    t.teardown(() => this.stop());
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  async start(): Promise<void> {
    const args = [join(import.meta.dirname, 'serve.ts'), this.#kind, `${this.#port}`, ...this.#arguments];
    const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#child = child;
    const lines = createInterface(child.stdout);
    const [line] = await once(lines, 'line');
    this.#port = Number(line);
    lines.on('line', (served: string) => {
      const [path = '', from = '', to = ''] = served.split(' ');
      this.served.push({ path, fromMs: Number(from), toMs: Number(to) });
    });
  }

  async stop(): Promise<void> {
    const child = this.#child;
    this.#child = null;
    if (!child || child.exitCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
  }

  /** One of the orders of serve.ts. */
  tell(order: string): void {
    this.#child?.stdin?.write(`${order}\n`);
  }

  /** It takes connections and answers nothing. */
  freeze(): void {
    this.#child?.kill('SIGSTOP');
  }

  thaw(): void {
    this.#child?.kill('SIGCONT');
  }
}

/** What an instance must outlive: the service gone, and the service silent. */
export function outages(service: ServiceProcess): readonly (readonly [string, Outage])[] {
  return [
    ['stopped', { break: () => service.stop(), mend: () => service.start() }],
    ['silent', { break: () => service.freeze(), mend: () => service.thaw() }],
  ];
}

interface Outage {
  readonly break: () => unknown;
  readonly mend: () => unknown;
}
