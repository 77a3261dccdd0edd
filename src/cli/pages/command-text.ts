/**
 * The texts of a command: usage line, options, exit codes. Shared by --help, docs/cli.md and the man pages.
 */
import { exitCodeOf } from '../../errors.ts';
import type { Command, OptionRow, PositionalRow } from '../command.ts';

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

/** A longer list of choices goes into the help text, so that usage lines stay readable at 80 columns. */
const CHOICES_MAX = 28;

function isListed({ choices }: OptionRow): boolean {
  return choices !== undefined && choices.join('|').length <= CHOICES_MAX;
}

/** --lines N */
function optionText(name: string, row: OptionRow): string {
  if (row.type === 'boolean') return `--${name}`;
  const { value = row.choices === undefined ? 'VALUE' : name.toUpperCase(), choices } = row;
  return `--${name} ${choices !== undefined && isListed(row) ? choices.join('|') : value}`;
}

function optionHelp(row: OptionRow): string {
  const { help, choices, multiple } = row;
  const text = choices !== undefined && !isListed(row) ? `${help}; one of ${choices.join(', ')}` : help;
  return multiple ? `${text}; may be repeated` : text;
}

function optionUsage(name: string, row: OptionRow): string {
  const text = row.required ? optionText(name, row) : `[${optionText(name, row)}]`;
  return row.multiple ? `${text}...` : text;
}

function positionalText({ name, choices }: PositionalRow): string {
  return choices?.join('|') ?? name;
}

function usageWords({ options, positionals }: Command): string[] {
  const rows = Object.entries(options);
  return [
    ...positionals.map((row) => (row.required ? positionalText(row) : `[${positionalText(row)}]`)),
    ...rows.filter(([, row]) => row.required).map(([name, row]) => optionUsage(name, row)),
    ...rows.filter(([, row]) => !row.required).map(([name, row]) => optionUsage(name, row)),
  ];
}

/** The arguments in the usage line. */
export function synopsisOf(command: Command): string {
  return usageWords(command).join(' ');
}

/** All arguments of a command, with their meaning. */
export function argumentsOf({ options, positionals }: Command): [name: string, help: string][] {
  return [
    ...positionals.map((row): [string, string] => [row.name, row.help]),
    ...Object.entries(options).map(([name, row]): [string, string] => [
      optionText(name, row),
      optionHelp(row),
    ]),
  ];
}

/** The help for a longer name goes on the next line. */
const COLUMN_MAX = 28;

const LINE_MAX = 80;

/** Joins words to lines of at most `width` characters; longer words stay whole. */
function wrap(words: readonly string[], width: number): string[] {
  const lines: string[] = [];
  for (const word of words) {
    const last = lines.at(-1);
    if (last === undefined || last.length + 1 + word.length > width) lines.push(word);
    else lines[lines.length - 1] = `${last} ${word}`;
  }
  return lines;
}

/** A line that does not end with a full stop continues on the next one. */
function reflow(text: string): string {
  const lines = text.replace(/([^.\n])\n/g, '$1 ').split('\n');
  return lines.flatMap((line) => wrap(line.split(' '), LINE_MAX)).join('\n');
}

function argumentLine([name, help]: readonly [string, string], width: number): string {
  const indent = ' '.repeat(width + 4);
  const text = wrap(help.split(' '), LINE_MAX - indent.length).join(`\n${indent}`);
  return name.length <= width ? `${name.padEnd(width)}  ${text}` : `${name}\n${indent}${text}`;
}

export function helpOf(command: Command): string {
  const rows = argumentsOf(command);
  const width = Math.min(COLUMN_MAX, Math.max(0, ...rows.map(([name]) => name.length)));
  const usage = wrap([`Usage: sidekey ${command.name}`, ...usageWords(command)], LINE_MAX - 4);
  const parts = [
    usage.join('\n    '),
    reflow(command.help),
    rows.map((row) => `  ${argumentLine(row, width)}`).join('\n'),
    ['Examples:', ...command.examples.map((line) => `  ${line}`)].join('\n'),
    reflow(EXIT_CODES_LINE),
  ];
  return parts.filter((part) => part !== '').join('\n\n');
}

export function overviewOf(commands: readonly Command[]): string {
  const width = Math.max(...commands.map(({ name }) => name.length));
  const rows = commands.map(({ name, summary }) => `  ${argumentLine([name, summary], width)}`);
  const where =
    '  --help, --version\n\nThe configuration is --config FILE, else SIDEKEY_CONFIG, else /etc/sidekey/sidekey.yaml.';
  return ['Usage: sidekey COMMAND [OPTIONS]', rows.join('\n'), where, reflow(EXIT_CODES_LINE)].join('\n\n');
}
