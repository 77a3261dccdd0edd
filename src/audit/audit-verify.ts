/**
 * Verifies the chain of an audit log. Removing whole lines at the end is only detected by comparison with a
 * copy kept elsewhere (SECURITY.md).
 */
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { SidekeyError } from '../errors.ts';
import { parseLine, sha256, START, type AuditLine } from './audit-line.ts';

export interface AuditSummary {
  readonly lines: number;
  readonly lastSeq: number;
  /** SHA-256 of the last line: keep it elsewhere. */
  readonly head: string;
}

function checkLine(text: string, number: number, prev: string): AuditLine {
  const fail = (why: string): never => {
    throw new SidekeyError('audit_broken', `line ${number} ${why}`);
  };
  const line = parseLine(text);
  if (!line) return fail('is not as it was written');
  if (line.seq !== number) return fail(`has number ${line.seq}: a line before it is missing or was moved`);
  if (line.prev !== prev) return fail('does not continue the line before it');
  return line;
}

/** Rejects with audit_broken at the first line that does not verify. */
export async function verifyAuditLog(path: string): Promise<AuditSummary> {
  let [lines, head] = [0, START];
  const input = createReadStream(path, { encoding: 'utf8' });
  for await (const text of createInterface({ input, crlfDelay: Infinity })) {
    lines += 1;
    checkLine(text, lines, head);
    head = sha256(text);
  }
  return { lines, lastSeq: lines, head };
}
