import { readFileSync } from 'node:fs';
import { parseLine, type AuditLine } from '../../audit/audit-line.ts';
import { verifyAuditLog } from '../../audit/audit-verify.ts';
import { loadConfig } from '../../config/read-config.ts';
import { SidekeyError } from '../../errors.ts';
import {
  CONFIG_OPTION,
  configFile,
  countOption,
  JSON_OPTION,
  type Command,
  type Invocation,
} from '../command.ts';
import { printable } from '../table.ts';

const TAIL_LINES = 20;
const TAIL_MAX = 9_999_999;
const LOG = [
  { name: 'LOG', help: 'log file to read instead of the configured one, for example a copy' },
] as const;

function auditPath(invocation: Invocation): string {
  const [named] = invocation.positionals;
  return named ?? loadConfig(configFile(invocation)).audit.path;
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
  summary: 'show the last records of the audit log',
  help: '--json prints the lines as they are in the log.',
  options: {
    ...CONFIG_OPTION,
    ...JSON_OPTION,
    lines: { type: 'string', value: 'N', help: `number of records; default: ${TAIL_LINES}` },
  },
  positionals: LOG,
  examples: ['sidekey audit tail --lines 100', 'sidekey audit tail --json | jq .event'],
  async run(invocation) {
    const count = countOption(invocation.values, 'lines', TAIL_LINES, TAIL_MAX);
    for (const text of readLines(auditPath(invocation)).slice(-count)) {
      const line = parseLine(text);
      invocation.say(invocation.values['json'] ? text : line ? formatRecord(line) : '(a damaged line)');
    }
    return 0;
  },
};

export const auditVerifyCommand: Command = {
  name: 'audit verify',
  summary: 'check the integrity of the audit log',
  help: 'Detects lines that were edited, removed or moved. To detect truncation as well, keep the count and hash that this prints in\nanother place and compare.',
  options: { ...CONFIG_OPTION, ...JSON_OPTION },
  positionals: LOG,
  examples: ['sidekey audit verify', 'sidekey audit verify /backup/audit.log'],
  async run(invocation) {
    const path = auditPath(invocation);
    readLines(path);
    const summary = await verifyAuditLog(path);
    if (invocation.values['json']) invocation.say(JSON.stringify(summary));
    else invocation.say(`${path}: ${summary.lines} records, none altered; last hash ${summary.head}`);
    return 0;
  },
};
