/** Entry point: hands argv, streams and environment to the command line; nothing else touches them. */
import { readFileSync } from 'node:fs';
import { createPaint } from './cli/paint.ts';
import type { Command } from './cli/command.ts';
import { runCommandLine } from './cli/run.ts';
import { forTerminal } from './cli/table.ts';

const manifest: unknown = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
const version = String(Reflect.get(Object(manifest), 'version'));

// The reader may close early: `sidekey keys ls | head`.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit();
  process.stderr.write(`sidekey: file_refused: stdout: ${error.message}\n`);
  process.exit(1);
});

/** Programs wait while an agent starts, so it loads no other command. */
async function loadCommands(first: string | undefined): Promise<readonly Command[]> {
  if (first === 'agent') return [(await import('./cli/commands/agent.ts')).agentCommand];
  return (await import('./cli/command-table.ts')).COMMANDS;
}

function writeLine(stream: NodeJS.WriteStream, line: string): void {
  stream.write(`${stream.isTTY ? forTerminal(line) : line}\n`);
}

const argv = process.argv.slice(2);
process.exitCode = await runCommandLine(argv, {
  commands: await loadCommands(argv[0]),
  version,
  environment: process.env,
  say: (line) => writeLine(process.stdout, line),
  warn: (line) => writeLine(process.stderr, line),
  streams: { input: process.stdin, output: process.stdout, errors: process.stderr },
  paint: createPaint(process.stdout, process.env),
});
