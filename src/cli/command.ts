/**
 * A command of `sidekey` is a row, from which its parser, --help, docs/cli.md, the man pages and shell
 * completion are generated. An invocation is everything that a command gets: nothing else touches argv,
 * stdout or the environment.
 */
import type { Readable, Writable } from 'node:stream';
import { loadConfig } from '../config/read-config.ts';
import { SidekeyError } from '../errors.ts';
import type { Paint } from './paint.ts';

export interface Invocation {
  readonly values: Readonly<Record<string, string | boolean | string[] | undefined>>;
  readonly positionals: readonly string[];
  /** Writes a line to stdout. */
  readonly say: (line: string) => void;
  /** Writes a line to stderr. */
  readonly warn: (line: string) => void;
  readonly streams: Streams;
  readonly paint: Paint;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly version: string;
  /** All commands, for texts generated from the table. */
  readonly commands: readonly Command[];
}

/** For anything but lines: messages, keys, progress. */
export interface Streams {
  readonly input: Readable & { readonly isTTY?: boolean };
  readonly output: Writable & { readonly isTTY?: boolean; readonly columns?: number; readonly rows?: number };
  readonly errors: Writable & { readonly isTTY?: boolean; readonly columns?: number };
}

export interface OptionRow {
  readonly type: 'string' | 'boolean';
  /** The option may be repeated. */
  readonly multiple?: true;
  readonly required?: true;
  /** Placeholder for the value in help; shells complete FILE and DIR. */
  readonly value?: string;
  readonly choices?: readonly string[];
  readonly help: string;
}

export interface PositionalRow {
  readonly name: string;
  readonly required?: true;
  readonly choices?: readonly string[];
  readonly help: string;
}

export interface Command {
  /** One or two words. */
  readonly name: string;
  readonly summary: string;
  /** Shown by --help below the usage line. */
  readonly help: string;
  readonly options: Readonly<Record<string, OptionRow>>;
  readonly positionals: readonly PositionalRow[];
  /** It handles keys or PINs: disables core dumps and ptrace. */
  readonly secret?: true;
  /** Complete command lines. */
  readonly examples: readonly string[];
  /** Returns the exit code. A SidekeyError is printed and has its own exit code. */
  readonly run: (invocation: Invocation) => Promise<number>;
}

const DEFAULT_CONFIG = '/etc/sidekey/sidekey.yaml';

/** How commands other than init find the instance. */
export function configFile({ values, environment }: Invocation): string {
  return textOption(values, 'config') ?? environment['SIDEKEY_CONFIG'] ?? DEFAULT_CONFIG;
}

/** The agent's API socket. Somebody may be allowed to use keys but not to read the configuration. */
export function apiSocket(invocation: Invocation): string {
  const { values, environment } = invocation;
  const named = textOption(values, 'api') ?? environment['SIDEKEY_API'];
  return named ?? loadConfig(configFile(invocation)).sockets.api;
}

export function textOption(values: Invocation['values'], name: string): string | undefined {
  const value = values[name];
  return typeof value === 'string' ? value : undefined;
}

export function listOption(values: Invocation['values'], name: string): string[] {
  const value = values[name];
  return Array.isArray(value) ? value : [];
}

export function requiredOption(values: Invocation['values'], name: string): string {
  const value = textOption(values, name);
  if (value === undefined) throw new SidekeyError('usage', `--${name} is missing`);
  return value;
}

/** An integer from 1 to `max`. */
export function countOption(values: Invocation['values'], name: string, usual: number, max: number): number {
  const text = textOption(values, name) ?? String(usual);
  const count = /^[1-9]\d{0,8}$/.test(text) ? Number(text) : NaN;
  if (!(count <= max))
    throw new SidekeyError('usage', `--${name} takes a number up to ${max}, not "${text}"`);
  return count;
}

export const CONFIG_OPTION = {
  config: { type: 'string', value: 'FILE', help: 'configuration file of the instance' },
} as const;
export const JSON_OPTION = { json: { type: 'boolean', help: 'JSON instead of text' } } as const;
/** For commands that only talk to the agent. */
export const API_OPTION = {
  ...CONFIG_OPTION,
  api: { type: 'string', value: 'FILE', help: 'API socket of the agent; the configuration is then not read' },
} as const;
