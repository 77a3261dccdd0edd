/** A row of the command table in words: usage line, options, exit codes. --help, docs/cli.md and the man pages share them. */
import { exitCodeOf } from '../errors.ts';
import type { Command, OptionRow, PositionalRow } from './command.ts';

/** 69 and 70 are those of sysexits.h, from bin/sidekey, before there is a Node to say more. */
export const EXIT_CODES: readonly (readonly [code: number, meaning: string])[] = [
  [0, 'done'],
  [1, 'it failed, or the answer is no: a signature that is not valid, a finding that is bad'],
  [exitCodeOf('usage'), 'the command line is wrong'],
  [exitCodeOf('not_running'), 'no agent answers'],
  [69, 'there is no Node beside bin/sidekey: run scripts/setup'],
  [70, 'bin/sidekey cannot find its own folder'],
];

const EXIT_CODES_LINE =
  'Exit codes: 0 done, 1 failed or no, 2 wrong usage, 3 not running. `sidekey explain CODE` explains every error.';

export const ENVIRONMENT: readonly (readonly [name: string, meaning: string])[] = [
  ['SIDEKEY_CONFIG', 'the configuration, where --config is not given; else /etc/sidekey/sidekey.yaml'],
  ['SIDEKEY_API', 'the API socket, where --api is not given; then the configuration is not read'],
  ['NO_COLOR', 'no colour on a terminal either'],
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

/** What stands after the name in the usage line. */
export function synopsisOf({ options, positionals }: Command): string {
  const rows = Object.entries(options);
  const words = [
    ...positionals.map((row) => (row.required ? positionalText(row) : `[${positionalText(row)}]`)),
    ...rows.filter(([, row]) => row.required).map(([name, row]) => optionUsage(name, row)),
    ...rows.filter(([, row]) => !row.required).map(([name, row]) => optionUsage(name, row)),
  ];
  return words.join(' ');
}

/** Everything that a command takes, with what it means. */
export function argumentsOf({ options, positionals }: Command): [name: string, help: string][] {
  return [
    ...positionals.map((row): [string, string] => [row.name, row.help]),
    ...Object.entries(options).map(([name, row]): [string, string] => [
      optionText(name, row),
      row.multiple ? `${row.help}; again for more` : row.help,
    ]),
  ];
}

/** A longer name has its help on the next line. */
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
    ['For example:', ...command.examples.map((line) => `  ${line}`)].join('\n'),
    EXIT_CODES_LINE,
  ];
  return parts.filter((part) => part !== '').join('\n\n');
}

export function overviewOf(commands: readonly Command[]): string {
  const width = Math.max(...commands.map(({ name }) => name.length));
  const rows = commands.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`);
  const where =
    '  --help, --version\n\nThe instance is found by --config FILE, SIDEKEY_CONFIG, else /etc/sidekey/sidekey.yaml.';
  return ['Usage: sidekey COMMAND [OPTIONS]', rows.join('\n'), where, EXIT_CODES_LINE].join('\n\n');
}
