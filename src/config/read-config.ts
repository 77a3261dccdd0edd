/**
 * Reads a configuration file and reports all errors at once, each with line, column, key and, for an unknown
 * key, the closest match.
 */
import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { isNode, isMap, isScalar, LineCounter, parseDocument, type Document } from 'yaml';
import type { z } from 'zod';
import { SidekeyError } from '../errors.ts';
import { toConfig, type Config } from './config.ts';
import { ENVELOPE_KINDS } from '../providers/kinds.ts';
import { hintAt, nearestMatch } from './nearest-match.ts';
import { configSchema, knownKeysAt, type RawConfig } from './schema.ts';

const FILE_MAX_BYTES = 1024 * 1024;
/** sun_path of sockaddr_un, without its terminator. */
const SOCKET_PATH_MAX = 107;
/** The token's label, the version and its time take the rest of a key_id (kms-key.ts). */
const KMS_KEY_MAX = 800;

export interface ConfigProblem {
  readonly line: number;
  readonly column: number;
  /** tokens[0].label; empty if the file is not YAML at all. */
  readonly key: string;
  readonly message: string;
}

export type ConfigOutcome =
  | { readonly config: Config; readonly problems: readonly [] }
  | { readonly config: null; readonly problems: readonly ConfigProblem[] };

type Path = readonly PropertyKey[];

function formatPath(path: Path): string {
  return path.reduce<string>((text, step) => {
    if (typeof step === 'number') return `${text}[${step}]`;
    return text ? `${text}.${String(step)}` : String(step);
  }, '');
}

/** The position of a path: its key if `atKey`, else its value, else the closest enclosing node. */
class Positions {
  readonly #document: Document;
  readonly #lines: LineCounter;

  constructor(document: Document, lines: LineCounter) {
    this.#document = document;
    this.#lines = lines;
  }

  at(offset: number): { line: number; column: number } {
    const { line, col } = this.#lines.linePos(offset);
    return { line, column: col };
  }

  ofPath(path: Path): { line: number; column: number } {
    for (let length = path.length; length >= 0; length--) {
      const offset = this.#offsetOf(path.slice(0, length));
      if (offset !== null) return this.at(offset);
    }
    return { line: 1, column: 1 };
  }

  #offsetOf(path: Path): number | null {
    if (path.length === 0) return this.#document.contents?.range?.[0] ?? null;
    const parent =
      path.length === 1 ? this.#document.contents : this.#document.getIn(path.slice(0, -1), true);
    const pair = isMap(parent)
      ? parent.items.find(({ key }) => isScalar(key) && String(key.value) === String(path.at(-1)))
      : null;
    const node = pair ? pair.key : this.#document.getIn(path, true);
    return isNode(node) ? (node.range?.[0] ?? null) : null;
  }
}

function describeUnknown(key: string, path: Path): string {
  const match = nearestMatch(key, knownKeysAt(path) ?? []);
  return match ? `unknown key; did you mean "${match}"?` : 'unknown key';
}

function toProblems(issue: z.core.$ZodIssue, positions: Positions): ConfigProblem[] {
  const problem = (path: Path, message: string): ConfigProblem => ({
    ...positions.ofPath(path),
    key: formatPath(path),
    message,
  });
  if (issue.code === 'invalid_type' && issue.message.endsWith('received undefined')) {
    return [problem(issue.path, 'is missing')];
  }
  if (issue.code !== 'unrecognized_keys') return [problem(issue.path, issue.message)];
  return issue.keys.map((key) => problem([...issue.path, key], describeUnknown(key, issue.path)));
}

function hasEnvelopes({ providers }: RawConfig, provider: string): boolean {
  const kind = providers[provider]?.kind;
  return kind === undefined || ENVELOPE_KINDS.includes(String(kind));
}

type Finding = [at: Path, message: string];

function* checkTokens(raw: RawConfig): Generator<Finding> {
  const labels = new Set<string>();
  const enveloping = new Set<string>();
  for (const [i, { label, provider, resident, envelope }] of raw.tokens.entries()) {
    if (envelope !== undefined && !hasEnvelopes(raw, provider))
      yield [['tokens', i, 'envelope'], `only available with providers of kind ${ENVELOPE_KINDS.join(', ')}`];
    // Tink's format does not bind a name: whoever may use one envelope key of a KEK could open messages of
    // another.
    if (envelope !== undefined && enveloping.has(provider))
      yield [['tokens', i, 'envelope'], `another token already uses the envelopes of provider "${provider}"`];
    if (envelope !== undefined) enveloping.add(provider);
    if (labels.has(label)) yield [['tokens', i, 'label'], `another token already has the label "${label}"`];
    labels.add(label);
    if (resident !== undefined && raw.providers[provider]?.kind === 'embedded')
      yield [['tokens', i, 'resident'], 'the embedded key store has no resident keys'];
    yield* checkProvider(raw, provider, ['tokens', i, 'provider']);
  }
}

function* checkProvider({ providers }: RawConfig, name: string, at: Path): Generator<Finding> {
  if (!Object.hasOwn(providers, name))
    yield [at, `there is no provider "${name}"${hintAt(name, Object.keys(providers))}`];
}

function* checkSocketPath(file: string, path: string, at: Path): Generator<Finding> {
  const bytes = Buffer.byteLength(resolve(dirname(file), path));
  if (bytes > SOCKET_PATH_MAX)
    yield [at, `the path of a socket must have at most ${SOCKET_PATH_MAX} bytes, not ${bytes}`];
}

function* checkKms(file: string, { kms, tokens }: RawConfig): Generator<Finding> {
  if (kms === undefined) return;
  const labels = tokens.map(({ label }) => label);
  if (kms.token !== undefined && !labels.includes(kms.token))
    yield [['kms', 'token'], `there is no token "${kms.token}"${hintAt(kms.token, labels)}`];
  if (!kms.key.isWellFormed() || encodeURIComponent(kms.key).length > KMS_KEY_MAX)
    yield [
      ['kms', 'key'],
      `a key_id of Kubernetes has at most 1 KiB, so this name, percent-encoded, at most ${KMS_KEY_MAX} letters`,
    ];
  yield* checkSocketPath(file, kms.socket, ['kms', 'socket']);
}

function* checkSockets(file: string, { keeper, sockets }: RawConfig): Generator<Finding> {
  if (!keeper.start && sockets['pkcs11-mode'] !== undefined)
    yield [
      ['sockets', 'pkcs11-mode'],
      'has no effect: with keeper.start false, the mode is set by whatever starts the keeper',
    ];
  for (const name of ['pkcs11', 'api', 'control'] as const)
    yield* checkSocketPath(file, sockets[name], ['sockets', name]);
}

/**
 * What the schema cannot check: one part of the file against another, and options that could not be honoured.
 */
function* crossCheck(file: string, raw: RawConfig): Generator<Finding> {
  yield* checkTokens(raw);
  yield* checkKms(file, raw);
  for (const name of Object.keys(raw.usage.prices))
    yield* checkProvider(raw, name, ['usage', 'prices', name]);
  yield* checkSockets(file, raw);
}

export function parseConfig(file: string, text: string): ConfigOutcome {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const positions = new Positions(document, lines);
  const fail = (problems: ConfigProblem[]): ConfigOutcome => ({
    config: null,
    problems: problems.sort((a, b) => a.line - b.line || a.column - b.column),
  });
  if (document.errors.length > 0) {
    return fail(document.errors.map(({ pos, message }) => ({ ...positions.at(pos[0]), key: '', message })));
  }
  const parsed = configSchema.safeParse(document.toJS());
  if (!parsed.success) return fail(parsed.error.issues.flatMap((issue) => toProblems(issue, positions)));
  const crossed = [...crossCheck(file, parsed.data)];
  if (crossed.length > 0) {
    return fail(
      crossed.map(([path, message]) => ({ ...positions.ofPath(path), key: formatPath(path), message })),
    );
  }
  return { config: toConfig(file, parsed.data), problems: [] };
}

export function readConfig(file: string): ConfigOutcome {
  const text = readText(file);
  return parseConfig(resolve(file), text);
}

function readText(file: string): string {
  try {
    const bytes = readFileSync(file);
    if (bytes.length <= FILE_MAX_BYTES) return bytes.toString('utf8');
  } catch (cause) {
    throw new SidekeyError('config_unreadable', `cannot read ${file}: ${describe(cause)}`, { cause });
  }
  throw new SidekeyError('config_unreadable', `${file} is larger than ${FILE_MAX_BYTES} bytes`);
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

export function formatProblem(file: string, { line, column, key, message }: ConfigProblem): string {
  return `${file}:${line}:${column}: ${key ? `${key}: ` : ''}${message}`;
}

/** The configuration; throws config_invalid with all problems in the message, one per line. */
export function loadConfig(file: string): Config {
  const { config, problems } = readConfig(file);
  if (config) return config;
  throw new SidekeyError(
    'config_invalid',
    problems.map((problem) => formatProblem(file, problem)).join('\n'),
  );
}
