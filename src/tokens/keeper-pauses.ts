/**
 * What the agent's own APIs ask while there is no keeper waits for the next one, and a use that the end of the keeper or of a cell broke off is asked again:
 * as for programs, so that clients see a pause as well. So is a key that was to be made: it is stored when all the keeper's work for it is
 * done. Other changes are begun once, and only wait before.
 */
import { SidekeyError } from '../errors.ts';
import { LIMITS } from '../wire/tables.ts';
import type { StreamKey, TokenService } from './service.ts';

/** As long as the module waits. */
const PAUSE_MAX_MS = LIMITS.deadlineMs;
/** A keeper that ends at each use does not come to rest by being asked more often. */
const TRIES = 8;

export interface Attachment {
  readonly isAttached: () => boolean;
  /** Until a keeper is attached; rejects with keeper_absent after `timeoutMs`. */
  readonly wait: (timeoutMs: number) => Promise<void>;
  /** Milliseconds. */
  readonly monotonic: () => number;
}

function isAbsent(error: unknown): error is SidekeyError {
  return error instanceof SidekeyError && error.code === 'keeper_absent';
}

/** Also the cell of the token key, while a key was made that it was to seal. */
function isPassing(error: unknown): boolean {
  return isAbsent(error) || (error instanceof SidekeyError && error.code === 'cell_unknown');
}

async function onceAttached<T>({ isAttached, wait }: Attachment, work: () => Promise<T>): Promise<T> {
  if (!isAttached()) await wait(PAUSE_MAX_MS);
  return work();
}

async function acrossPauses<T>(attachment: Attachment, work: () => Promise<T>): Promise<T> {
  const { isAttached, wait, monotonic } = attachment;
  let endsAt: number | null = null;
  for (let tries = 1; ; tries++) {
    if (!isAttached()) {
      endsAt ??= monotonic() + PAUSE_MAX_MS;
      await wait(Math.max(0, endsAt - monotonic()));
    }
    try {
      return await work();
    } catch (error) {
      if (!isPassing(error) || tries === TRIES) throw error;
    }
  }
}

/** All of a batch again: the keeper that did some of it is gone, and its outputs are of no more use than others. */
async function manyOrAbsent(work: ReturnType<TokenService['operateNamedKeys']>) {
  const outcomes = await work;
  const absent = outcomes.find(isAbsent);
  if (absent === undefined) return outcomes;
  for (const outcome of outcomes) if (Buffer.isBuffer(outcome)) outcome.fill(0);
  throw absent;
}

export function withPauses(tokens: TokenService, attachment: Attachment): TokenService {
  const again = <T>(work: () => Promise<T>): Promise<T> => acrossPauses(attachment, work);
  const change = <T>(work: () => Promise<T>): Promise<T> => onceAttached(attachment, work);
  const patient = (key: StreamKey): StreamKey => ({
    ...key,
    operate: (...asked) => again(() => key.operate(...asked)),
  });
  return {
    ...tokens,
    operateNamedKey: (...asked) => again(() => tokens.operateNamedKey(...asked)),
    operateNamedKeys: (...asked) => again(() => manyOrAbsent(tokens.operateNamedKeys(...asked))),
    sealEnvelope: (...asked) => again(() => tokens.sealEnvelope(...asked)),
    openEnvelope: (...asked) => again(() => tokens.openEnvelope(...asked)),
    makeStreamKey: async (...asked) => patient(await again(() => tokens.makeStreamKey(...asked))),
    openStreamKey: async (...asked) => patient(await again(() => tokens.openStreamKey(...asked))),
    exportNamedKey: (...asked) => again(() => tokens.exportNamedKey(...asked)),
    createNamedKey: (...asked) => again(() => tokens.createNamedKey(...asked)),
    rotateNamedKey: (...asked) => again(() => tokens.rotateNamedKey(...asked)),
    importNamedKey: (...asked) => again(() => tokens.importNamedKey(...asked)),
    wrappingKey: (...asked) => again(() => tokens.wrappingKey(...asked)),
    configureNamedKey: (...asked) => change(() => tokens.configureNamedKey(...asked)),
    deleteNamedKey: (...asked) => change(() => tokens.deleteNamedKey(...asked)),
    setNamedKeyCertificates: (...asked) => change(() => tokens.setNamedKeyCertificates(...asked)),
  };
}
