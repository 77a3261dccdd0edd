import { readFileSync } from 'node:fs';
import { parseLine, type AuditLine } from '../audit/audit-line.ts';
import { verifyAuditLog } from '../audit/audit-verify.ts';
import { loadConfig } from '../config/read-config.ts';
import { SidekeyError } from '../errors.ts';
import {
  CONFIG_OPTION,
  configFile,
  JSON_OPTION,
  textOption,
  type Command,
  type Invocation,
} from './command.ts';
import { printable } from './table.ts';

const TAIL_LINES = 20;

function auditPath(invocation: Invocation): string {
  const [named] = invocation.positionals;
  return named ?? loadConfig(configFile(invocation)).audit.path;
}

function countOption({ values }: Invocation): number {
  const text = textOption(values, 'lines') ?? String(TAIL_LINES);
  if (!/^[1-9]\d{0,6}$/.test(text)) throw new SidekeyError('usage', `--lines takes a number, not "${text}"`);
  return Number(text);
}

function formatRecord({ seq, time, event, fields }: AuditLine): string {
  const rest = Object.entries(fields).map(([name, value]) => `${name}=${value}`);
  return printable([String(seq).padStart(6), time, event, ...rest].join(' '));
}

function readLines(path: string): string[] {
  try {
    return readFileSync(path, 'utf8')
      .split('\n')
      .filter((line) => line !== '');
  } catch (cause) {
    throw new SidekeyError('audit_failed', `cannot read ${path}`, { cause });
  }
}

export const auditTailCommand: Command = {
  name: 'audit tail',
  summary: 'the last records of the audit log',
  synopsis: '[--lines N] [--json] [--config FILE] [LOG]',
  help: `Shows the last ${TAIL_LINES} records, or N. --json prints the lines as they stand in the log.`,
  options: { ...CONFIG_OPTION, ...JSON_OPTION, lines: { type: 'string' } },
  positionals: { min: 0, max: 1 },
  async run(invocation) {
    for (const text of readLines(auditPath(invocation)).slice(-countOption(invocation))) {
      const line = parseLine(text);
      invocation.say(invocation.values['json'] ? text : line ? formatRecord(line) : '(a damaged line)');
    }
    return 0;
  },
};

export const auditVerifyCommand: Command = {
  name: 'audit verify',
  summary: 'whether the audit log is as it was written',
  synopsis: '[--config FILE] [LOG]',
  help: 'Finds any line that was edited, removed or moved. Lines that were cut off at the end show only against a copy:\nkeep the number and the hash that this prints elsewhere.',
  options: { ...CONFIG_OPTION, ...JSON_OPTION },
  positionals: { min: 0, max: 1 },
  async run(invocation) {
    const path = auditPath(invocation);
    readLines(path);
    const summary = await verifyAuditLog(path);
    if (invocation.values['json']) invocation.say(JSON.stringify(summary));
    else
      invocation.say(
        `${path}: ${summary.lines} records, all as they were written; last hash ${summary.head}`,
      );
    return 0;
  },
};
