/** Generates docs/cli.md from the command table. */
import { argumentsOf, ENVIRONMENT, EXIT_CODES, synopsisOf } from './command-text.ts';
import type { Command } from '../command.ts';

const HEAD = `# The command line

\`sidekey COMMAND [OPTIONS]\`. Results go to stdout, errors to stderr as \`sidekey: CODE: what happened\`;
\`sidekey explain CODE\` says what to do. Tables are for people; \`--json\` output is for programs and has stable fields. Colours are
used on terminals only. \`sidekey completion\` prints completion scripts for bash, zsh and fish; docs/man has a manual page per command.
Generated from src/cli/command-table.ts.`;

function cell(text: string): string {
  return text.replaceAll('|', '\\|');
}

function renderTable(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.map(cell).join(' | ')} |`;
  return [line(headings), line(headings.map(() => '---')), ...rows.map(line)].join('\n');
}

function renderCommand(command: Command): string {
  const rows = argumentsOf(command).map(([name, help]) => [`\`${name}\``, help]);
  const parts = [
    `## ${command.name}\n${command.summary[0]?.toUpperCase()}${command.summary.slice(1)}.`,
    `    sidekey ${command.name} ${synopsisOf(command)}`.trimEnd(),
    command.help,
    rows.length > 0 ? renderTable(['argument', 'meaning'], rows) : '',
    ['Examples:\n', ...command.examples.map((line) => `    ${line}`)].join('\n'),
  ];
  return parts.filter((part) => part !== '').join('\n\n');
}

export function renderCliPage(commands: readonly Command[]): string {
  const codes = renderTable(
    ['exit code', 'meaning'],
    EXIT_CODES.map(([code, meaning]) => [String(code), meaning]),
  );
  const variables = renderTable(
    ['variable', 'meaning'],
    ENVIRONMENT.map(([name, meaning]) => [`\`${name}\``, meaning]),
  );
  return `${[HEAD, codes, variables, ...commands.map(renderCommand)].join('\n\n')}\n`;
}
