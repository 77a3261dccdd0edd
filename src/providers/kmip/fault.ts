/** How a KMIP server fails, before it is known whether to try again. */
import { nameOf, RESULT_REASON } from './tables.ts';

/** The server answered, and its answer is no. `reason` is a Result Reason. */
export class KmipResultError extends Error {
  readonly reason: number;

  constructor(reason: number, message: string) {
    super(`${nameOf(RESULT_REASON, reason)}${message && `: ${message}`}`);
    this.reason = reason;
  }
}

/** Nobody answered, or not in KMIP. `refused`: the server does not want this client (its certificate). */
export class KmipTransportError extends Error {
  readonly refused: boolean;

  constructor(message: string, options: { cause?: unknown; refused?: boolean } = {}) {
    super(message, options);
    this.refused = options.refused ?? false;
  }
}

/** TLS alerts by which a server turns a client's certificate down. */
const CERTIFICATE_ALERT =
  /_ALERT_(BAD_CERTIFICATE|UNSUPPORTED_CERTIFICATE|CERTIFICATE_(REVOKED|EXPIRED|UNKNOWN|REQUIRED)|UNKNOWN_CA|ACCESS_DENIED)$/;

export function toTransportError(error: unknown, doing: string): KmipTransportError {
  if (error instanceof KmipTransportError) return error;
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  const message = error instanceof Error ? error.message : String(error);
  const short = code.startsWith('ERR_SSL_') ? code : message.slice(0, 200);
  return new KmipTransportError(`${doing}: ${short}`, {
    cause: error,
    refused: CERTIFICATE_ALERT.test(code),
  });
}

const WORTH_A_RETRY: readonly number[] = [
  RESULT_REASON.InternalServerError,
  RESULT_REASON.ServerLimitExceeded,
  RESULT_REASON.GeneralFailure,
];

/**
 * A Decrypt that failed stays failed: servers say General Failure (PyKMIP) or an internal error for a bad tag, and whoever tampers must not make
 * us ask again. A signature likewise.
 */
export function mayRetry(reason: number, judgesData: boolean): boolean {
  return judgesData ? reason === RESULT_REASON.ServerLimitExceeded : WORTH_A_RETRY.includes(reason);
}
