/**
 * Logs: JSON lines on stderr. Secrets never get here: errors carry codes and names, and nobody logs a body or
 * a template.
 */
import { pino, stdSerializers, type Logger } from 'pino';

export type { Logger };

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Synchronous, so that the last line before a crash is written. */
export function createLogger(level: LogLevel): Logger {
  const options = {
    level,
    base: { pid: process.pid },
    timestamp: isoTime,
    serializers: { error: stdSerializers.err },
    formatters: { level: (label: string) => ({ level: label }) },
  };
  return pino(options, pino.destination({ fd: 2, sync: true }));
}

function isoTime(): string {
  return `,"time":"${new Date().toISOString()}"`;
}
