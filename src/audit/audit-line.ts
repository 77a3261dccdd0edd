/**
 * One line of the audit log: {"seq","time","event","fields","prev","sum"}. `prev` is the SHA-256 of the whole
 * previous line (zeros at the start), `sum` that of this line up to `sum` itself, so that an edit of the last
 * line shows too.
 */
import { hash } from 'node:crypto';

export type AuditFields = Readonly<Record<string, string | number | boolean | null>>;

export interface AuditLine {
  readonly seq: number;
  readonly time: string;
  readonly event: string;
  readonly fields: AuditFields;
  readonly prev: string;
}

export const START = '0'.repeat(64);
const TEXT_MAX = 256;
const FIELDS_MAX = 32;
export const LINE_MAX_BYTES = 65_536;

export function sha256(text: string): string {
  return hash('sha256', text, 'hex');
}

/** Some tools break lines at U+2028 and U+2029, and would see two lines. */
function escapeSeparators(text: string): string {
  return text.replaceAll('\u2028', '\\u2028').replaceAll('\u2029', '\\u2029');
}

function bound(text: string): string {
  return text.length <= TEXT_MAX ? text : `${text.slice(0, TEXT_MAX - 1)}…`;
}

export function boundFields(fields: AuditFields): AuditFields {
  const entries = Object.entries(fields).slice(0, FIELDS_MAX);
  return Object.fromEntries(
    entries.map(([name, value]) => [bound(name), typeof value === 'string' ? bound(value) : value]),
  );
}

/** Without the newline. */
export function formatLine({ seq, time, event, fields, prev }: AuditLine): string {
  const row = { seq, time, event: bound(event), fields: boundFields(fields), prev };
  const head = escapeSeparators(JSON.stringify(row)).slice(0, -1);
  return `${head},"sum":"${sha256(head)}"}`;
}

function isAuditLine(value: unknown): value is AuditLine {
  if (typeof value !== 'object' || value === null) return false;
  const { seq, time, event, fields, prev } = value as Record<string, unknown>;
  const isText = [time, event, prev].every((each) => typeof each === 'string');
  return Number.isSafeInteger(seq) && isText && typeof fields === 'object' && fields !== null;
}

/** null if it is not a line of ours, or its sum is wrong. */
export function parseLine(text: string): AuditLine | null {
  const at = text.lastIndexOf(',"sum":"');
  if (at < 0 || text.slice(at) !== `,"sum":"${sha256(text.slice(0, at))}"}`) return null;
  try {
    const value: unknown = JSON.parse(text);
    return isAuditLine(value) ? value : null;
  } catch {
    return null;
  }
}
