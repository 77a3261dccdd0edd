import { setTimeout as sleep } from 'node:timers/promises';
import { parseDuration } from '../../config/units.ts';
import { SidekeyError } from '../../errors.ts';
import type { ProviderStatus } from '../../metrics/provider-status.ts';
import type { AgentStatus } from '../../api/sidekey/agent-status.ts';
import type { LeaseSummary } from '../../tokens/service.ts';
import { askAgent, callAgent } from '../agent-client.ts';
import { API_OPTION, apiSocket, JSON_OPTION, textOption, type Command, type Invocation } from '../command.ts';
import { parseMetrics } from '../metrics-text.ts';
import { ratesOf, renderTop, type Sample } from '../top-screen.ts';

const INTERVAL_MIN_MS = 200;
const USUAL_ROWS = 24;
const USUAL_COLUMNS = 80;
const KEYS_THAT_END = new Set(['q', 'Q', '\u0003']);
/** The alternative screen, without a cursor: afterwards the terminal shows what it did before. */
const ENTER = '\u001b[?1049h\u001b[?25l';
const LEAVE = '\u001b[?25h\u001b[?1049l';
const HOME = '\u001b[H';
const CLEAR_LINE = '\u001b[K';
const CLEAR_BELOW = '\u001b[J';
const COLOUR = /\u001b\[\d+m/g;

async function takeSample(socket: string): Promise<Sample> {
  const [status, providers, leases, metrics] = await Promise.all([
    askAgent<AgentStatus>(socket, '/v1/sidekey/status'),
    askAgent<ProviderStatus[]>(socket, '/v1/sidekey/providers'),
    askAgent<LeaseSummary[]>(socket, '/v1/sidekey/cache'),
    callAgent(socket, { method: 'GET', path: '/metrics' }),
  ]);
  return {
    atMs: performance.now(),
    status,
    providers,
    leases,
    metrics: parseMetrics(metrics.toString('utf8')),
  };
}

function intervalMs({ values }: Invocation): number {
  const text = textOption(values, 'interval') ?? '1s';
  const ms = parseDuration(text);
  if (ms === null || ms < INTERVAL_MIN_MS)
    throw new SidekeyError(
      'usage',
      `--interval takes a duration from ${INTERVAL_MIN_MS}ms on, not "${text}"`,
    );
  return ms;
}

/** Cuts a line that is too long; that may cut the end of its colour. */
function fit(line: string, columns: number): string {
  const plain = line.replace(COLOUR, '');
  return plain.length > columns ? plain.slice(0, columns) : line;
}

function draw({ streams, paint }: Invocation, before: Sample, now: Sample): void {
  const { rows, columns } = streams.output;
  const lines = renderTop(before, now, rows || USUAL_ROWS, paint);
  const text = lines.map((line) => fit(line, columns || USUAL_COLUMNS) + CLEAR_LINE).join('\r\n');
  streams.output.write(HOME + text + CLEAR_BELOW);
}

function sayJson({ say }: Invocation, before: Sample, now: Sample): void {
  const { providers, leases, status } = now;
  say(JSON.stringify({ rates: ratesOf(before, now), providers, leases, processes: status.processes }));
}

/** Aborted by q, Ctrl-C or a signal. */
function listenForEnd(end: AbortController): () => void {
  const { stdin } = process;
  const stop = (): void => end.abort();
  const press = (key: Buffer): void => void (KEYS_THAT_END.has(key.toString('latin1')) && stop());
  if (stdin.isTTY) stdin.setRawMode(true).on('data', press);
  process.once('SIGTERM', stop).once('SIGINT', stop);
  return () => {
    process.off('SIGTERM', stop).off('SIGINT', stop);
    if (stdin.isTTY) stdin.off('data', press).setRawMode(false).pause();
  };
}

async function watch(
  invocation: Invocation,
  end: AbortSignal,
  show: (invocation: Invocation, before: Sample, now: Sample) => void,
): Promise<void> {
  const [socket, ms] = [apiSocket(invocation), intervalMs(invocation)];
  let before = await takeSample(socket);
  while (!end.aborted) {
    await sleep(ms, undefined, { signal: end }).catch(() => undefined);
    if (end.aborted) return;
    const now = await takeSample(socket);
    show(invocation, before, now);
    before = now;
  }
}

export const topCommand: Command = {
  name: 'top',
  summary: 'show a live view: operations, latencies, key services, leases, processes',
  help: 'Press q or Ctrl-C to quit. --json prints one line per interval instead. Latencies of HTTP requests are upper bounds of histogram\nbuckets; PKCS#11 operations are counted, not timed.',
  options: {
    interval: { type: 'string', value: 'DURATION', help: 'refresh interval; default: 1s' },
    ...JSON_OPTION,
    ...API_OPTION,
  },
  positionals: [],
  examples: ['sidekey top', 'sidekey top --interval 5s --json >> load.jsonl'],
  async run(invocation) {
    const { output } = invocation.streams;
    const isJson = invocation.values['json'] === true;
    if (!isJson && !output.isTTY)
      throw new SidekeyError('usage', 'top: stdout is not a terminal; use --json');
    const end = new AbortController();
    const release = listenForEnd(end);
    if (!isJson) output.write(ENTER);
    try {
      await watch(invocation, end.signal, isJson ? sayJson : draw);
    } finally {
      if (!isJson) output.write(LEAVE);
      release();
    }
    return 0;
  },
};
