/**
 * A progress line on the terminal for commands that take longer than a second; nothing if stderr is not a
 * terminal.
 */
import type { Streams } from './command.ts';

const QUIET_MS = 1000;
const REDRAW_MS = 100;
const BAR_COLUMNS = 24;
/** Some terminals report 0. */
const USUAL_COLUMNS = 80;
const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const;

export function formatBytes(bytes: number): string {
  let [value, unit] = [bytes, 0];
  while (value >= 1024 && unit < UNITS.length - 1) [value, unit] = [value / 1024, unit + 1];
  return `${unit === 0 ? value : value.toFixed(1)} ${UNITS[unit]}`;
}

/** `totalBytes` is null for a pipe. */
function formatProgress(what: string, bytes: number, totalBytes: number | null, elapsedMs: number): string {
  const speed = `${formatBytes(Math.round((bytes * 1000) / Math.max(elapsedMs, 1)))}/s`;
  if (totalBytes === null || totalBytes === 0) return `${what}  ${formatBytes(bytes)}  ${speed}`;
  const part = Math.min(bytes / totalBytes, 1);
  const bar = '#'.repeat(Math.round(part * BAR_COLUMNS)).padEnd(BAR_COLUMNS);
  const sizes = `${formatBytes(bytes)} of ${formatBytes(totalBytes)}`;
  return `${what}  [${bar}] ${Math.floor(part * 100)}%  ${sizes}  ${speed}`;
}

export interface Progress {
  add(bytes: number): void;
  /** Removes the line. */
  end(): void;
}

export function startProgress(
  errors: Streams['errors'],
  what: string,
  totalBytes: number | null,
  now: () => number = () => performance.now(),
): Progress {
  if (!errors.isTTY) return { add: () => undefined, end: () => undefined };
  const start = now();
  let [bytes, isShown] = [0, false];
  const draw = () => {
    const elapsed = now() - start;
    if (elapsed < QUIET_MS) return;
    isShown = true;
    const line = formatProgress(what, bytes, totalBytes, elapsed).slice(
      0,
      (errors.columns || USUAL_COLUMNS) - 1,
    );
    errors.write(`\r${line}\u001b[K`);
  };
  const timer = setInterval(draw, REDRAW_MS);
  timer.unref();
  return {
    add: (more) => (bytes += more),
    end: () => {
      clearInterval(timer);
      if (isShown) errors.write('\r\u001b[K');
    },
  };
}
