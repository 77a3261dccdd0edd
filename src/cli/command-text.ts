/**
 * The texts of a command: usage line, options, exit codes. Shared by --help, docs/cli.md and the man pages.
 */
import { exitCodeOf } from '../errors.ts';
import type { Command, OptionRow, PositionalRow } from './command.ts';

/** 69 and 70 are those of sysexits.h, returned by bin/sidekey if Node cannot start. */
export const EXIT_CODES: readonly (readonly [code: number, meaning: string])[] = [
  [0, 'success'],
  [1, 'failure, or a negative result: an invalid signature, a bad finding'],
  [exitCodeOf('usage'), 'invalid command line'],
  [exitCodeOf('not_running'), 'the agent is not running'],
  [69, 'Node is not installed beside bin/sidekey: run scripts/setup'],
  [70, 'bin/sidekey cannot find its own directory'],
];

const EXIT_CODES_LINE =
  'Exit codes: 0 success, 1 failure or negative result, 2 usage error, 3 not running. See `sidekey explain CODE` for any error.';

export const ENVIRONMENT: readonly (readonly [name: string, meaning: string])[] = [
  ['SIDEKEY_CONFIG', 'configuration file if --config is not given; default: /etc/sidekey/sidekey.yaml'],
  ['SIDEKEY_API', 'API socket if --api is not given; the configuration is then not read'],
  ['NO_COLOR', 'if set, no colours are used'],
];

/** --lines N */
function optionText(name: string, { type, value = 'VALUE', choices }: OptionRow): string {
  return type === 'boolean' ? `--${name}` : `--${name} ${choices?.join('|') ?? value}`;
}

function optionUsage(name: string, row: OptionRow): string {
  const text = row.required ? optionText(name, row) : `[${optionText(name, row)}]`;
  return row.multiple ? `${text}...` : text;
}

function positionalText({ name, choices }: PositionalRow): string {
  return choices?.join('|') ?? name;
}

/** The arguments in the usage line. */
export function synopsisOf({ options, positionals }: Command): string {
  const rows = Object.entries(options);
  const words = [
    ...positionals.map((row) => (row.required ? positionalText(row) : `[${positionalText(row)}]`)),
    ...rows.filter(([, row]) => row.required).map(([name, row]) => optionUsage(name, row)),
    ...rows.filter(([, row]) => !row.required).map(([name, row]) => optionUsage(name, row)),
  ];
  return words.join(' ');
}

/** All arguments of a command, with their meaning. */
export function argumentsOf({ options, positionals }: Command): [name: string, help: string][] {
  return [
    ...positionals.map((row): [string, string] => [row.name, row.help]),
    ...Object.entries(options).map(([name, row]): [string, string] => [
      optionText(name, row),
      row.multiple ? `${row.help}; may be repeated` : row.help,
    ]),
  ];
}

/** The help for a longer name goes on the next line. */
const COLUMN_MAX = 28;

function argumentLine([name, help]: readonly [string, string], width: number): string {
  if (name.length <= width) return `${name.padEnd(width)}  ${help}`;
  return `${name}\n  ${' '.repeat(width)}  ${help}`;
}

export function helpOf(command: Command): string {
  const rows = argumentsOf(command);
  const width = Math.min(COLUMN_MAX, Math.max(0, ...rows.map(([name]) => name.length)));
  const parts = [
    `Usage: sidekey ${command.name} ${synopsisOf(command)}`.trimEnd(),
    command.help,
    rows.map((row) => `  ${argumentLine(row, width)}`).join('\n'),
    ['Examples:', ...command.examples.map((line) => `  ${line}`)].join('\n'),
    EXIT_CODES_LINE,
  ];
  return parts.filter((part) => part !== '').join('\n\n');
}

export function overviewOf(commands: readonly Command[]): string {
  const width = Math.max(...commands.map(({ name }) => name.length));
  const rows = commands.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`);
  const where =
    '  --help, --version\n\nThe configuration is --config FILE, else SIDEKEY_CONFIG, else /etc/sidekey/sidekey.yaml.';
  return ['Usage: sidekey COMMAND [OPTIONS]', rows.join('\n'), where, EXIT_CODES_LINE].join('\n\n');
}
