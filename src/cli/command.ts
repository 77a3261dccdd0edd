/** What a command of `sidekey` is, and what it is handed: nothing else touches argv, stdout or the environment. */
import type { ParseArgsConfig } from 'node:util';
import { SidekeyError } from '../errors.ts';

export interface Invocation {
  readonly values: Readonly<Record<string, string | boolean | string[] | undefined>>;
  readonly positionals: readonly string[];
  /** Writes a line to stdout. */
  readonly say: (line: string) => void;
  /** Writes a line to stderr. */
  readonly warn: (line: string) => void;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly version: string;
}

export interface Command {
  /** One or two words. */
  readonly name: string;
  readonly summary: string;
  /** What stands after the name in the usage line. */
  readonly synopsis: string;
  /** What --help says below the usage line. */
  readonly help: string;
  readonly options: NonNullable<ParseArgsConfig['options']>;
  readonly positionals: { readonly min: number; readonly max: number };
  /** Exit code. A SidekeyError is printed and has its own. */
  readonly run: (invocation: Invocation) => Promise<number>;
}

const DEFAULT_CONFIG = '/etc/sidekey/sidekey.yaml';

/** Where commands other than init find the instance. */
export function configFile({ values, environment }: Invocation): string {
  return textOption(values, 'config') ?? environment['SIDEKEY_CONFIG'] ?? DEFAULT_CONFIG;
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

export const CONFIG_OPTION = { config: { type: 'string' } } as const;
export const JSON_OPTION = { json: { type: 'boolean' } } as const;
