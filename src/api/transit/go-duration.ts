/** Durations in Vault's format: seconds, or Go's numbers with units ("1h30m"), plus days. */
const MS_PER_UNIT = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
const WHOLE = /^(?:\d{1,9}(?:\.\d{1,9})?(?:ms|[smhd]))+$/;
const PART = /(\d+(?:\.\d+)?)(ms|[smhd])/g;

/** Milliseconds; null if it is not a duration. */
export function parseGoDuration(text: string): number | null {
  if (/^\d{1,10}$/.test(text)) return Number(text) * 1000;
  if (!WHOLE.test(text)) return null;
  const parts = [...text.matchAll(PART)];
  const ms = parts.map(([, count, unit]) => Number(count) * MS_PER_UNIT[unit as keyof typeof MS_PER_UNIT]);
  return Math.round(ms.reduce((total, each) => total + each, 0));
}
