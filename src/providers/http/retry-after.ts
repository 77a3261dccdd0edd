/** The header by which a service says when to come again (RFC 9110, 10.2.3). */

/** Milliseconds from now, never negative; null when there is no such header, or nobody understands it. */
export function parseRetryAfter(value: string | undefined, nowMs: number): number | null {
  if (value === undefined) return null;
  if (/^\s*\d{1,9}\s*$/.test(value)) return Number(value) * 1000;
  const date = Date.parse(value);
  return Number.isNaN(date) ? null : Math.max(0, date - nowMs);
}
