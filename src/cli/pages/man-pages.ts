/** Generates man pages (man(7)) from the command table: sidekey(1), and one per command. */
import { argumentsOf, ENVIRONMENT, EXIT_CODES, synopsisOf } from './command-text.ts';
import type { Command } from '../command.ts';

/** Escapes text for roff: no accidental requests, hyphens that can be copied, breakable lists of choices. */
function roff(text: string): string {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll('|', '|\\:')
    .replaceAll('’', '\\(cq')
    .replaceAll('`', '')
    .split('\n')
    .map((line) => (/^[.']/.test(line) ? `\\&${line}` : line))
    .join('\n');
}

function head(title: string, name: string, summary: string): string {
  return [
    '.\\" Generated from src/cli/command-table.ts.',
    `.TH ${title.toUpperCase()} 1 "" Sidekey Sidekey\n.ad l\n.nh`,
    `.SH NAME\n${roff(name)} \\- ${roff(summary)}`,
  ].join('\n');
}

function list(rows: readonly (readonly [string, string])[]): string {
  return rows.map(([name, help]) => `.TP\n.B ${roff(name)}\n${roff(help)}`).join('\n');
}

function example(lines: readonly string[]): string {
  return `.SH EXAMPLES\n.nf\n${lines.map(roff).join('\n')}\n.fi`;
}

const EXIT = `.SH EXIT STATUS\n${list(EXIT_CODES.map(([code, meaning]) => [String(code), meaning]))}`;

function manName({ name }: Command): string {
  return `sidekey-${name.replaceAll(' ', '-')}`;
}

function renderCommand(command: Command): string {
  const rows = argumentsOf(command);
  const parts = [
    head(manName(command), manName(command), command.summary),
    `.SH SYNOPSIS\n.B sidekey ${roff(command.name)}\n${roff(synopsisOf(command))}`.trimEnd(),
    `.SH DESCRIPTION\n${roff(command.help)}`,
    rows.length > 0 ? `.SH OPTIONS\n${list(rows)}` : '',
    example(command.examples),
    EXIT,
    '.SH SEE ALSO\n.BR sidekey (1)',
  ];
  return `${parts.filter((part) => part !== '').join('\n')}\n`;
}

function renderOverview(commands: readonly Command[]): string {
  const parts = [
    head('sidekey', 'sidekey', 'keys of a remote key service for the programs of this host'),
    '.SH SYNOPSIS\n.B sidekey\n.I COMMAND\n.RI [ OPTIONS ]',
    `.SH DESCRIPTION\n${roff('Results go to standard output, errors to standard error with a code that sidekey explain\nexplains. --json output is for programs.')}`,
    `.SH COMMANDS\n${list(commands.map(({ name, summary }) => [name, summary]))}`,
    `.SH ENVIRONMENT\n${list(ENVIRONMENT)}`,
    EXIT,
    `.SH SEE ALSO\n${commands.map((each) => `.BR ${roff(manName(each))} (1)`).join(',\n')}`,
  ];
  return `${parts.join('\n')}\n`;
}

/** Texts by file name. */
export function renderManPages(commands: readonly Command[]): Map<string, string> {
  const pages = commands.map((each): [string, string] => [`${manName(each)}.1`, renderCommand(each)]);
  return new Map([['sidekey.1', renderOverview(commands)], ...pages]);
}
