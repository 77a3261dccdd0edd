/**
 * The regions in which a provider's keys are: the configured one, and its replicas. A multi-Region key serves wherever it is when its own
 * region is unreachable; a refusal is final, whichever region gave it.
 */
import { readFileSync } from 'node:fs';
import { SidekeyError } from '../../errors.ts';
import type { AwsClient } from './aws-client.ts';

/** For so long a region that was unreachable is not the first to be asked. */
const AVOID_MS = 10_000;
const GRANTS_MAX = 10;

export interface AwsRegion {
  readonly name: string;
  /** The KEK, as this region is asked for it. */
  readonly keyId: string;
  readonly client: AwsClient;
}

/** From the fields that every request has; one with a secret is JSON in bytes. */
export type RequestOf = (fields: Readonly<Record<string, unknown>>) => object | Buffer;

export interface AwsAnswer {
  readonly what: string;
  readonly body: Buffer;
}

/** The same key in another region; null: it is in its own alone. */
export function inRegion(arn: string, region: string): string | null {
  const parts = /^(arn:[^:]+:kms:)([^:]+)(:\d+:key\/(.+))$/.exec(arn);
  if (parts === null) return null;
  const [, head = '', own = '', tail = '', id = ''] = parts;
  return own === region || id.startsWith('mrk-') ? `${head}${region}${tail}` : null;
}

export class AwsRegions {
  readonly all: readonly AwsRegion[];
  /** For messages. */
  readonly #provider: string;
  readonly #grantTokensFile: string | null;
  readonly #now: () => number;
  readonly #avoidUntil = new Map<AwsRegion, number>();

  constructor(
    provider: string,
    all: readonly AwsRegion[],
    grantTokensFile: string | null,
    now: () => number,
  ) {
    this.#provider = provider;
    this.all = all;
    this.#grantTokensFile = grantTokensFile;
    this.#now = now;
  }

  /** A grant is valid at once where its token is shown, and some minutes later everywhere. */
  get grants(): { GrantTokens?: string[] } {
    const path = this.#grantTokensFile;
    if (path === null) return {};
    try {
      return { GrantTokens: readFileSync(path, 'utf8').split('\n').filter(Boolean).slice(0, GRANTS_MAX) };
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new SidekeyError('provider_unreachable', `${this.#provider}: cannot read ${path}: ${reason}`, {
        cause,
      });
    }
  }

  /** The first region, which alone is asked for what changes something or has no copy elsewhere. */
  get home(): AwsRegion {
    const [first] = this.all;
    if (first === undefined) throw new SidekeyError('internal', `${this.#provider}: no region is configured`);
    return first;
  }

  get what(): string {
    return `${this.#provider}, ${this.home.name}`;
  }

  async atHome(operation: string, request: object): Promise<AwsAnswer> {
    const what = `${this.what}: ${operation}`;
    return { what, body: await this.home.client.call(what, operation, request) };
  }

  /** In the order of the configuration, those that failed lately last. `keyIn`: null where the key is not. */
  anywhere(
    operation: string,
    keyIn: (region: AwsRegion) => string | null,
    request: object | RequestOf,
  ): Promise<AwsAnswer> {
    return this.#inTurn((region) => {
      const KeyId = keyIn(region);
      if (KeyId === null) return null;
      const what = `${this.#provider}, key ${KeyId} in ${region.name}: ${operation}`;
      const fields = { KeyId, ...this.grants };
      const asked = typeof request === 'function' ? request(fields) : { ...fields, ...request };
      return region.client.call(what, operation, asked).then((body) => ({ what, body }));
    });
  }

  /** What no key is needed for. */
  keyless(operation: string, request: object): Promise<AwsAnswer> {
    return this.#inTurn(({ name, client }) => {
      const what = `${this.#provider}, ${name}: ${operation}`;
      return client.call(what, operation, request).then((body) => ({ what, body }));
    });
  }

  async #inTurn(ask: (region: AwsRegion) => Promise<AwsAnswer> | null): Promise<AwsAnswer> {
    const now = this.#now();
    const isAvoided = (region: AwsRegion): number => Number((this.#avoidUntil.get(region) ?? 0) > now);
    let fault: unknown = null;
    for (const region of this.all.toSorted((a, b) => isAvoided(a) - isAvoided(b))) {
      const answer = ask(region);
      if (answer === null) continue;
      try {
        return await answer;
      } catch (error) {
        if (!(error instanceof SidekeyError && error.code === 'provider_unreachable')) throw error;
        this.#avoidUntil.set(region, this.#now() + AVOID_MS);
        fault ??= error;
      }
    }
    throw (
      fault ??
      new SidekeyError('provider_refused', `${this.what}: the key is in none of the configured regions`)
    );
  }
}
