/**
 * A Provider that reports each call (what, how long, result), and when the service goes down or comes back.
 */
import { SidekeyError } from '../errors.ts';
import type { BareKek, Clock, Provider } from '../tokens/ports.ts';
import { observeResident, type ResidentCall } from './observed-resident.ts';
import { resultOf } from './observed-tokens.ts';

export interface ProviderCall {
  readonly provider: string;
  readonly call: 'create' | 'open' | 'encrypt' | 'decrypt' | 'random' | 'health' | ResidentCall;
  readonly result: string;
  readonly seconds: number;
}

/** What is known about a provider without asking it. */
export interface ProviderRecord {
  readonly name: string;
  readonly kind: string;
  /** null: not called yet. */
  up: boolean | null;
  calls: number;
  errors: number;
  /** ISO 8601. */
  lastCallAt: string | null;
  lastError: { readonly code: string; readonly at: string } | null;
}

export interface ProviderObserver {
  readonly clock: Clock;
  called(call: ProviderCall): void;
  /** It went down or came back; not called for the first successful call. */
  changed(record: ProviderRecord): void;
  failed(error: SidekeyError): void;
  answered(): void;
}

function noteCall(observer: ProviderObserver, record: ProviderRecord, result: string): void {
  const at = new Date(observer.clock.now()).toISOString();
  const isUp = result !== 'provider_unreachable';
  record.calls += 1;
  record.lastCallAt = at;
  if (result !== 'ok') {
    record.errors += 1;
    record.lastError = { code: result, at };
  }
  const changes = record.up === null ? !isUp : record.up !== isUp;
  record.up = isUp;
  if (changes) observer.changed(record);
}

function observeBare(
  bare: BareKek,
  timed: (call: ProviderCall['call'], work: () => Promise<Buffer>) => Promise<Buffer>,
): BareKek {
  return {
    encrypt: (plaintext) => timed('encrypt', () => bare.encrypt(plaintext)),
    decrypt: (ciphertext) => timed('decrypt', () => bare.decrypt(ciphertext)),
  };
}

function observeRandom(
  { random }: Provider,
  timed: (call: ProviderCall['call'], work: () => Promise<Buffer>) => Promise<Buffer>,
): Provider['random'] {
  return random === null ? null : (bytes) => timed('random', () => random(bytes));
}

/** Only the provider's own faults: an absent keeper says nothing about it. */
function isOfProvider(result: string): boolean {
  return result === 'ok' || result.startsWith('provider_');
}

type Timed = <T>(
  call: ProviderCall['call'],
  work: () => Promise<T>,
  judge?: (outcome: T) => string,
) => Promise<T>;

/** Times calls, and reports each with its result: `judge` finds that of an answer. */
function timeCalls(observer: ProviderObserver, record: ProviderRecord): Timed {
  return async (call, work, judge = () => 'ok') => {
    const startedAt = observer.clock.monotonic();
    const tell = (result: string): void => {
      const seconds = (observer.clock.monotonic() - startedAt) / 1000;
      observer.called({ provider: record.name, call, result, seconds });
      if (isOfProvider(result)) noteCall(observer, record, result);
    };
    try {
      const outcome = await work();
      const result = judge(outcome);
      tell(result);
      if (result === 'ok') observer.answered();
      return outcome;
    } catch (error) {
      tell(resultOf(error));
      if (error instanceof SidekeyError && isOfProvider(error.code)) observer.failed(error);
      throw error;
    }
  };
}

export function observeProvider(
  provider: Provider,
  observer: ProviderObserver,
): { provider: Provider; record: ProviderRecord } {
  const { name, kind } = provider;
  const record: ProviderRecord = {
    ...{ name, kind, up: null, calls: 0, errors: 0 },
    ...{ lastCallAt: null, lastError: null },
  };
  const timed = timeCalls(observer, record);
  const observed: Provider = {
    ...provider,
    bare: provider.bare === null ? null : observeBare(provider.bare, timed),
    random: observeRandom(provider, timed),
    resident: provider.resident === null ? null : observeResident(provider.resident, timed),
    createDataKey: (...asked) => timed('create', () => provider.createDataKey(...asked)),
    openDataKey: (...asked) => timed('open', () => provider.openDataKey(...asked)),
    health: () =>
      timed(
        'health',
        () => provider.health(),
        ({ ok }) => (ok ? 'ok' : 'provider_unreachable'),
      ),
    credentialSecondsLeft: () => provider.credentialSecondsLeft(),
    watch: (changed) => provider.watch(changed),
    close: () => provider.close(),
  };
  return { provider: observed, record };
}
