/** Finds the command in argv, parses its options, runs it, and reports errors on stderr and by exit code. */
import { parseArgs } from 'node:util';
import { refuseDumps } from '../access/peer-credentials.ts';
import { hintAt, nearestMatch } from '../config/nearest-match.ts';
import { exitCodeOf, SidekeyError } from '../errors.ts';
import { helpOf, overviewOf } from './pages/command-text.ts';
import type { Command, Invocation } from './command.ts';

export type CommandEnvironment = Omit<Invocation, 'values' | 'positionals'>;

function findCommand(
  argv: readonly string[],
  commands: readonly Command[],
): { command: Command; rest: string[] } {
  for (const words of [2, 1]) {
    const name = argv.slice(0, words).join(' ');
    const command = commands.find((each) => each.name === name);
    if (command) return { command, rest: argv.slice(words) };
  }
  throw new SidekeyError('usage', whyNoCommand(argv, commands));
}

function whyNoCommand(argv: readonly string[], commands: readonly Command[]): string {
  const [first = '', second] = argv;
  const names = commands.map(({ name }) => name);
  const groups = names.flatMap((name) => (name.includes(' ') ? [name.replace(/ .*/, '')] : []));
  const group = names.filter((name) => name.startsWith(`${first} `));
  const match = nearestMatch(argv.slice(0, 2).join(' '), group.length > 0 ? group : names);
  if (group.length > 0 && (second === undefined || match === null))
    return `"${first}" needs a second word: ${group.join(', ')}`;
  const near = match ?? nearestMatch(first, names) ?? nearestMatch(first, groups);
  const given = group.length > 0 ? `${first} ${second}` : first;
  return `no command "${given}"; ${near ? `did you mean "${near}"?` : '`sidekey help` lists them'}`;
}

function checkCount(command: Command, given: readonly string[]): void {
  const { name, positionals } = command;
  const missing = positionals[given.length];
  const over = given[positionals.length];
  const help = `see \`sidekey ${name} --help\``;
  if (missing?.required) throw new Error(`${missing.name} is missing; ${help}`);
  if (over !== undefined) throw new Error(`unexpected argument "${over}"; ${help}`);
}

function checkChoices(command: Command, { values, positionals }: Pick<Invocation, 'values' | 'positionals'>) {
  const refuse = (what: string, choices: readonly string[], text: string): never => {
    throw new Error(`${what} must be one of ${choices.join(', ')}, not "${text}"${hintAt(text, choices)}`);
  };
  for (const [name, { choices }] of Object.entries(command.options))
    for (const value of [values[name]].flat())
      if (choices && typeof value === 'string' && !choices.includes(value))
        refuse(`--${name}`, choices, value);
  command.positionals.forEach(({ name, choices }, i) => {
    const text = positionals[i];
    if (choices && text !== undefined && !choices.includes(text)) refuse(name, choices, text);
  });
  for (const [name, { required }] of Object.entries(command.options))
    if (required && values[name] === undefined) throw new Error(`--${name} is missing`);
}

/** Node's message names the option; this adds the closest match. */
function explainOption(error: Error, command: Command): Error {
  const [, name] = /^Unknown option '--([^']+)'/.exec(error.message) ?? [];
  if (name === undefined) return error;
  const match = nearestMatch(name, Object.keys(command.options));
  return new Error(`no option --${name}${match ? `; did you mean --${match}?` : ''}`);
}

function parse(command: Command, args: string[]): Pick<Invocation, 'values' | 'positionals'> {
  try {
    const { values, positionals } = parseArgs({
      args,
      options: command.options,
      allowPositionals: true,
      strict: true,
    });
    const parsed = { values: values as Invocation['values'], positionals };
    checkCount(command, positionals);
    checkChoices(command, parsed);
    return parsed;
  } catch (cause) {
    const reason = cause instanceof Error ? explainOption(cause, command).message : String(cause);
    throw new SidekeyError('usage', `${command.name}: ${reason}`, { cause });
  }
}

async function dispatch(argv: readonly string[], around: CommandEnvironment): Promise<number> {
  const { commands, say, version } = around;
  const [first] = argv;
  if (first === '--version') return (say(`sidekey ${version}`), 0);
  if (first === undefined || first === '--help' || first === 'help') {
    (first === undefined ? around.warn : say)(overviewOf(commands));
    return first === undefined ? exitCodeOf('usage') : 0;
  }
  const group = commands.filter(({ name }) => name.startsWith(`${first} `));
  if (group.length > 0 && argv[1] === '--help') return (say(group.map(helpOf).join('\n\n')), 0);
  const { command, rest } = findCommand(argv, commands);
  const end = rest.indexOf('--');
  if (rest.slice(0, end < 0 ? undefined : end).includes('--help')) return (say(helpOf(command)), 0);
  if (command.secret) refuseDumps();
  return command.run({ ...around, ...parse(command, rest) });
}

/** Returns the exit code. Bugs of our own are rethrown. */
export async function runCommandLine(argv: readonly string[], around: CommandEnvironment): Promise<number> {
  try {
    return await dispatch(argv, around);
  } catch (error) {
    if (!(error instanceof SidekeyError)) throw error;
    around.warn(`sidekey: ${error.code}: ${error.message}`);
    return exitCodeOf(error.code);
  }
}
