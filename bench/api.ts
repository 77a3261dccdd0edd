/**
 * npm run bench:api: encrypt of 1 KiB over the HTTP API, with keep-alive, beside a bare node:http server that echoes the same
 * body on a Unix socket in the same run; and in batches of 100. Prints a table of the medians of five runs (`--runs`) of three seconds
 * (`--seconds`), in turns.
 */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { parseArgs, promisify } from 'node:util';
import { must, Stage, startSidekey } from './subjects.ts';

const { values: options } = parseArgs({
  options: { seconds: { type: 'string', default: '3' }, runs: { type: 'string', default: '5' } },
});
const BYTES = 1024;
const BATCH = 100;
const KEY = 'bench';

interface Load {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

await using stage = new Stage({ ownSessions: true });
// One process asks for more in a second than the default lets it.
startSidekey(stage, 'limits:\n  rate: 10000000\n');
const api = join(stage.dir, 'sidekey', 'api.sock');
const echo = join(stage.dir, 'echo.sock');
const server = stage.spawn(process.execPath, [join(import.meta.dirname, 'http-echo.ts'), echo]);
await new Promise((done) => server.stdout?.once('data', done));
must('curl', ['-sS', '-f', '-X', 'POST', '--unix-socket', api, `http://localhost/v1/transit/keys/${KEY}`]);

async function load(socket: string, connections: number, items: number): Promise<Load> {
  const program = join(import.meta.dirname, 'http-load.ts');
  const path = `/v1/transit/encrypt/${KEY}`;
  const args = [program, socket, path, connections, options.seconds, items, BYTES].map(String);
  const { stdout } = await promisify(execFile)(process.execPath, args);
  return JSON.parse(stdout) as Load;
}

/** Of several runs the one in the middle, by rate. */
function median(loads: readonly Load[]): Load {
  const sorted = [...loads].sort((a, b) => a.perSecond - b.perSecond);
  return sorted[Math.floor(sorted.length / 2)] ?? { perSecond: NaN, p50Ms: NaN, p99Ms: NaN };
}

const ROWS = [
  { connections: 1, items: 1 },
  { connections: 8, items: 1 },
  { connections: 64, items: 1 },
  { connections: 1, items: BATCH },
  { connections: 8, items: BATCH },
] as const;

process.stdout.write('connections  items     echo/s  encrypt/s  ratio   p50 ms   p99 ms\n');
for (const { connections, items } of ROWS) {
  const pairs: { readonly echo: Load; readonly encrypt: Load }[] = [];
  while (pairs.length < Number(options.runs))
    pairs.push({
      echo: await load(echo, connections, items),
      encrypt: await load(api, connections, items),
    });
  const [bare, ours] = [median(pairs.map((pair) => pair.echo)), median(pairs.map((pair) => pair.encrypt))];
  const cells = [
    String(connections).padStart(11),
    String(items).padStart(6),
    bare.perSecond.toFixed(0).padStart(10),
    ours.perSecond.toFixed(0).padStart(10),
    (ours.perSecond / bare.perSecond).toFixed(2).padStart(6),
    ours.p50Ms.toFixed(3).padStart(8),
    ours.p99Ms.toFixed(3).padStart(8),
  ];
  process.stdout.write(`${cells.join(' ')}\n`);
}
