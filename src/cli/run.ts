/** Finds the command that argv names, reads its options, runs it, and turns a fault into a line on stderr and an exit code. */
import { parseArgs } from 'node:util';
import { exitCodeOf, SidekeyError } from '../errors.ts';
import { nearestMatch } from '../config/nearest-match.ts';
import type { Command, Invocation } from './command.ts';

export interface Surroundings extends Pick<Invocation, 'say' | 'warn' | 'environment' | 'version'> {
  readonly commands: readonly Command[];
}

const EXIT_CODES =
  'Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not running. docs/errors.md explains every error.';

function overview(commands: readonly Command[]): string {
  const width = Math.max(...commands.map(({ name }) => name.length));
  const rows = commands.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`);
  const head = 'Usage: sidekey COMMAND [OPTIONS]\n\n';
  const tail = `\n\n  --help, --version\n\nCommands other than init find the instance by --config FILE, SIDEKEY_CONFIG, else /etc/sidekey/sidekey.yaml.\n${EXIT_CODES}`;
  return head + rows.join('\n') + tail;
}

function helpOf({ name, synopsis, help }: Command): string {
  return `Usage: sidekey ${name} ${synopsis}\n\n${help}\n\n${EXIT_CODES}`;
}

function findCommand(
  argv: readonly string[],
  commands: readonly Command[],
): { command: Command; rest: string[] } {
  for (const words of [2, 1]) {
    const name = argv.slice(0, words).join(' ');
    const command = commands.find((each) => each.name === name);
    if (command) return { command, rest: argv.slice(words) };
  }
  const group = commands.filter(({ name }) => name.startsWith(`${argv[0]} `)).map(({ name }) => name);
  if (group.length > 0)
    throw new SidekeyError('usage', `"${argv[0]}" is followed by what it shall do: ${group.join(', ')}`);
  const names = commands.map(({ name }) => name);
  const match = nearestMatch(argv.slice(0, 2).join(' '), names) ?? nearestMatch(argv[0] ?? '', names);
  throw new SidekeyError('usage', `no command "${argv[0]}"${match ? `; did you mean "${match}"?` : ''}`);
}

function parse(command: Command, args: string[]): Pick<Invocation, 'values' | 'positionals'> {
  try {
    const { values, positionals } = parseArgs({
      args,
      options: command.options,
      allowPositionals: true,
      strict: true,
    });
    const { min, max } = command.positionals;
    if (positionals.length < min || positionals.length > max)
      throw new Error(`usage: sidekey ${command.name} ${command.synopsis}`);
    return { values: values as Invocation['values'], positionals };
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new SidekeyError('usage', `${command.name}: ${reason}`, { cause });
  }
}

async function dispatch(argv: readonly string[], around: Surroundings): Promise<number> {
  const { commands, say, version } = around;
  const [first] = argv;
  if (first === '--version') return (say(`sidekey ${version}`), 0);
  if (first === undefined || first === '--help' || first === 'help') {
    (first === undefined ? around.warn : say)(overview(commands));
    return first === undefined ? exitCodeOf('usage') : 0;
  }
  const group = commands.filter(({ name }) => name.startsWith(`${first} `));
  if (group.length > 0 && argv[1] === '--help') return (say(group.map(helpOf).join('\n\n')), 0);
  const { command, rest } = findCommand(argv, commands);
  if (rest.includes('--help')) return (say(helpOf(command)), 0);
  return command.run({ ...around, ...parse(command, rest) });
}

/** Exit code. A fault of our own has no code: it is thrown on. */
export async function runCommandLine(argv: readonly string[], around: Surroundings): Promise<number> {
  try {
    return await dispatch(argv, around);
  } catch (error) {
    if (!(error instanceof SidekeyError)) throw error;
    around.warn(`sidekey: ${error.code}: ${error.message}`);
    return exitCodeOf(error.code);
  }
}
