/**
 * Failures as clients see them: a status and `{"errors": [...]}`. A table has the texts for SidekeyErrors, so
 * that nothing internal is quoted to a client; the log has the details.
 */
import { SidekeyError, type ErrorCode } from '../errors.ts';

/**
 * A request refused by the API itself, in the words of the Transit dialect. The text must not quote input.
 */
export class Refusal extends Error {
  readonly status: number;
  readonly errors: readonly string[];

  constructor(status: number, ...errors: string[]) {
    super(errors[0] ?? `status ${status}`);
    this.name = 'Refusal';
    this.status = status;
    this.errors = errors;
  }
}

export interface Fault {
  readonly status: number;
  readonly errors: readonly string[];
}

interface FaultRow extends Fault {
  readonly codes: readonly ErrorCode[];
}

const INTERNAL: Fault = { status: 500, errors: ['internal error'] };

/**
 * What an attacker must not be able to tell apart shares one row: an unknown or forbidden token, a bad tag or
 * bad padding.
 */
export const FAULTS: readonly FaultRow[] = [
  {
    ...INTERNAL,
    codes: ['internal', 'wire_version', 'wire_malformed', 'agent_present', 'store_failed', 'audit_failed'],
  },
  { ...INTERNAL, codes: ['seal_broken', 'cell_unknown', 'operation_not_initialized'] },
  { status: 503, errors: ['out of locked memory'], codes: ['memory'] },
  { status: 503, errors: ['too busy'], codes: ['busy'] },
  { status: 503, errors: ['not done within the deadline'], codes: ['deadline'] },
  {
    status: 503,
    errors: ['keeper is absent'],
    codes: ['agent_absent', 'keeper_absent', 'operation_lost', 'ring_absent'],
  },
  { status: 503, errors: ['key service is unreachable'], codes: ['provider_unreachable'] },
  { status: 502, errors: ['key service refused'], codes: ['provider_refused'] },
  {
    status: 403,
    errors: ['permission denied'],
    codes: [
      ...(['slot_id_invalid', 'token_not_present', 'token_not_recognized', 'action_prohibited'] as const),
      ...(['pin_incorrect', 'pin_invalid', 'pin_len_range', 'pin_locked', 'user_type_invalid'] as const),
      ...(['user_not_logged_in', 'user_already_logged_in', 'user_another_already_logged_in'] as const),
      ...(['user_pin_not_initialized', 'session_read_only', 'session_exists'] as const),
    ],
  },
  { status: 404, errors: [], codes: ['object_handle_invalid'] },
  { status: 400, errors: ['encryption key not found'], codes: ['key_handle_invalid'] },
  { status: 400, errors: ['token is write-protected'], codes: ['token_write_protected'] },
  { status: 400, errors: ['key has reached its cap on messages'], codes: ['message_cap'] },
  { status: 400, errors: ['key does not permit this operation'], codes: ['key_function_not_permitted'] },
  { status: 400, errors: ['request is not valid'], codes: ['arguments_bad'] },
  {
    status: 400,
    errors: ['not supported for this key'],
    codes: [
      ...(['function_not_supported', 'mechanism_invalid', 'mechanism_param_invalid'] as const),
      ...([
        'key_type_inconsistent',
        'key_size_range',
        'curve_not_supported',
        'domain_params_invalid',
        'parameter_set_not_supported',
      ] as const),
      'random_seed_not_supported',
    ],
  },
  {
    status: 400,
    errors: ['key cannot be made as asked'],
    codes: [
      ...(['attribute_read_only', 'attribute_sensitive', 'attribute_type_invalid'] as const),
      ...(['attribute_value_invalid', 'template_incomplete', 'template_inconsistent'] as const),
    ],
  },
  {
    status: 400,
    errors: ['key cannot be wrapped or unwrapped'],
    codes: [
      ...(['key_not_wrappable', 'key_unextractable', 'wrapping_key_handle_invalid'] as const),
      ...([
        'wrapping_key_size_range',
        'wrapping_key_type_inconsistent',
        'unwrapping_key_handle_invalid',
      ] as const),
      ...(['unwrapping_key_size_range', 'unwrapping_key_type_inconsistent', 'wrapped_key_invalid'] as const),
      'wrapped_key_len_range',
    ],
  },
  { status: 400, errors: ['input is not valid for this key'], codes: ['data_invalid', 'data_len_range'] },
  {
    status: 400,
    errors: ['invalid ciphertext: unable to decrypt'],
    codes: ['encrypted_data_invalid', 'encrypted_data_len_range'],
  },
  { status: 400, errors: ['signature is not valid'], codes: ['signature_invalid', 'signature_len_range'] },
];

const BY_CODE = new Map<ErrorCode, Fault>(
  FAULTS.flatMap((row) => row.codes.map((code) => [code, row] as const)),
);

/**
 * Texts for requests that fastify refuses before a handler runs. Its own texts may quote the request, so they
 * are not used.
 */
const BY_STATUS: Readonly<Record<number, string>> = {
  400: 'malformed request',
  408: 'request was not complete in time',
  413: 'request body too large',
  414: 'request path too long',
  415: 'unsupported media type',
  431: 'request header too large',
  503: 'not done within the deadline',
};

function statusOf(error: unknown): number | null {
  if (typeof error !== 'object' || error === null || !('statusCode' in error)) return null;
  return typeof error.statusCode === 'number' ? error.statusCode : null;
}

/** The fault to report. Anything but a Refusal, a SidekeyError or a fastify error is our own bug: 500. */
export function faultOf(error: unknown): Fault {
  if (error instanceof Refusal) return { status: error.status, errors: error.errors };
  if (error instanceof SidekeyError) return BY_CODE.get(error.code) ?? INTERNAL;
  return faultOfStatus(statusOf(error) ?? 500);
}

export function faultOfStatus(status: number): Fault {
  const text = BY_STATUS[status] ?? (status >= 400 && status < 500 ? 'malformed request' : undefined);
  return text === undefined ? INTERNAL : { status, errors: [text] };
}
