/** top: what it reckons, and the real one on a terminal of its own. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import t from 'tap';
import { parseMetrics, quantileOf, sumOf } from '../../src/cli/metrics-text.ts';
import { ROOT, startInstance } from '../e2e/instance.ts';

t.test('the text of Prometheus is read, labels that quote included', async (t) => {
  const metrics = parseMetrics(
    '# HELP x text\nx{a="1",b="say \\"}\\" "} 2\nx{a="2"} 3.5\ny 1e3\ny_bucket{le="+Inf"} 4\nbroken\n',
  );
  t.equal(sumOf(metrics, 'x'), 5.5);
  t.equal(sumOf(metrics, 'x', { a: '1' }), 2);
  t.equal(sumOf(metrics, 'y'), 1000);
  t.equal(sumOf(metrics, 'none'), 0);
});

t.test('a quantile is that of what came between two readings', async (t) => {
  const read = (...counts: number[]) =>
    parseMetrics(['0.1', '1', '+Inf'].map((le, i) => `s_bucket{le="${le}"} ${counts[i]}`).join('\n'));
  t.equal(quantileOf(read(100, 100, 100), read(100, 110, 110), 's', 0.5), 1);
  t.equal(quantileOf(read(0, 0, 0), read(98, 99, 100), 's', 0.5), 0.1);
  t.equal(quantileOf(read(0, 0, 0), read(90, 99, 100), 's', 0.99), 1);
  t.equal(quantileOf(read(5, 5, 5), read(5, 5, 5), 's', 0.5), null);
});

t.test('on a terminal it fills the screen, and gives it back at q; a pipe gets JSON alone', async (t) => {
  const sidekey = await startInstance(t);
  sidekey.sidekey('keys', 'create', 'orders');
  sidekey.sidekey('encrypt', 'orders', '--in', '/etc/hostname');
  t.match(sidekey.sidekey('top').stderr, /not a terminal; use --json/);

  const command = `${join(ROOT, 'bin/sidekey')} top --interval 300ms --config ${sidekey.config}`;
  const screen = spawn('script', ['-qec', command, '/dev/null'], { env: { ...process.env, TERM: 'xterm' } });
  t.teardown(() => screen.kill('SIGKILL'));
  let seen = '';
  const { promise, resolve } = Promise.withResolvers<void>();
  screen.stdout.on('data', (text: Buffer) => {
    seen += text.toString('utf8');
    if (/LEASE OF[^]*orders[^]*PROGRAM/.test(seen)) resolve();
  });
  await promise;
  t.match(seen, /\u001b\[\?1049h/);
  t.match(seen, /HTTP requests: half within/);
  t.match(seen, /local +embedded/);
  const exit = once(screen, 'close');
  screen.stdin.write('q');
  t.same(await exit, [0, null]);
  t.match(seen, /\u001b\[\?1049l/, 'the screen that was is back');

  const piped = spawn(join(ROOT, 'bin/sidekey'), ['top', '--json', '--config', sidekey.config]);
  t.teardown(() => piped.kill('SIGKILL'));
  const [line] = await once(piped.stdout, 'data');
  t.match(JSON.parse(String(line)), { rates: { hot: Number }, providers: [{ name: 'local' }] });
  const ended = once(piped, 'exit');
  piped.kill('SIGTERM');
  t.same(await ended, [0, null]);
});
