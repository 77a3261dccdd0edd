/** KMIP messages of one batch item (KMIP 1.4, 6 and 7; 2.1, 8 and 9). */
import { KmipResultError, KmipTransportError } from './fault.ts';
import { nameOf, OPERATION, RESULT_REASON, RESULT_STATUS, TAG } from './tables.ts';
import { decodeTtlv, encodeTtlv, TtlvError, type TtlvItem } from './ttlv.ts';

export interface KmipVersion {
  readonly major: number;
  readonly minor: number;
}

export type Payload = readonly TtlvItem[];

/** Newest first. */
export const VERSIONS: readonly KmipVersion[] = [
  { major: 2, minor: 1 },
  { major: 2, minor: 0 },
  { major: 1, minor: 4 },
  { major: 1, minor: 3 },
  { major: 1, minor: 2 },
  { major: 1, minor: 1 },
  { major: 1, minor: 0 },
];

export function formatVersion({ major, minor }: KmipVersion): string {
  return `${major}.${minor}`;
}

export function isAtLeast(version: KmipVersion, major: number, minor: number): boolean {
  return version.major > major || (version.major === major && version.minor >= minor);
}

export const structure = (tag: number, ...value: TtlvItem[]): TtlvItem => ({ tag, type: 'structure', value });
export const integer = (tag: number, value: number): TtlvItem => ({ tag, type: 'integer', value });
export const enumeration = (tag: number, value: number): TtlvItem => ({ tag, type: 'enumeration', value });
export const text = (tag: number, value: string): TtlvItem => ({ tag, type: 'text', value });
export const bytes = (tag: number, value: Buffer): TtlvItem => ({ tag, type: 'bytes', value });

export function encodeVersion({ major, minor }: KmipVersion): TtlvItem {
  const parts = [integer(TAG.ProtocolVersionMajor, major), integer(TAG.ProtocolVersionMinor, minor)];
  return structure(TAG.ProtocolVersion, ...parts);
}

/** The caller wipes it when the payload holds a key. */
export function encodeRequest(version: KmipVersion, operation: number, payload: Payload): Buffer {
  const header = structure(TAG.RequestHeader, encodeVersion(version), integer(TAG.BatchCount, 1));
  const request = structure(TAG.RequestPayload, ...payload);
  const item = structure(TAG.BatchItem, enumeration(TAG.Operation, operation), request);
  return encodeTtlv(structure(TAG.RequestMessage, header, item));
}

function childrenOf(item: TtlvItem | undefined): Payload {
  return item?.type === 'structure' ? item.value : [];
}

/** Every child with this tag. */
export function findAll(payload: Payload, tag: number): TtlvItem[] {
  return payload.filter((item) => item.tag === tag);
}

export function findStructure(payload: Payload, tag: number): Payload {
  return childrenOf(payload.find((item) => item.tag === tag && item.type === 'structure'));
}

/** The first child's number, of type integer or enumeration. */
export function findNumber(payload: Payload, tag: number): number | null {
  const found = payload.find((item) => item.tag === tag);
  return found?.type === 'integer' || found?.type === 'enumeration' ? found.value : null;
}

export function findBytes(payload: Payload, tag: number): Buffer | null {
  const found = payload.find((item) => item.tag === tag);
  return found?.type === 'bytes' ? found.value : null;
}

export function findText(payload: Payload, tag: number): string | null {
  const found = payload.find((item) => item.tag === tag);
  return found?.type === 'text' ? found.value : null;
}

export function decodeVersion(payload: Payload): KmipVersion | null {
  const major = findNumber(payload, TAG.ProtocolVersionMajor);
  const minor = findNumber(payload, TAG.ProtocolVersionMinor);
  return major === null || minor === null ? null : { major, minor };
}

function decodeItem(message: Buffer): Payload {
  const response = decodeTtlv(message);
  if (response.tag !== TAG.ResponseMessage) throw new TtlvError('not a response');
  const items = findAll(childrenOf(response), TAG.BatchItem);
  if (items.length !== 1) throw new TtlvError(`${items.length} batch items for one`);
  return childrenOf(items[0]);
}

function isPrintable(text: string): boolean {
  return !/\p{Cc}/u.test(text);
}

/**
 * The response's payload, whose bytes are views of `message`: the caller wipes that. Throws KmipResultError when the server says so, KmipTransportError when it
 * says nothing that can be understood.
 */
export function decodeResponse(message: Buffer, operation: number): Payload {
  let item: Payload;
  try {
    item = decodeItem(message);
  } catch (cause) {
    if (!(cause instanceof TtlvError)) throw cause;
    throw new KmipTransportError(`the response is not valid KMIP: ${cause.message}`, { cause });
  }
  const status = findNumber(item, TAG.ResultStatus);
  if (status === RESULT_STATUS.OperationFailed) throw toNo(item);
  const answered = findNumber(item, TAG.Operation);
  if (status !== RESULT_STATUS.Success || answered !== operation)
    throw new KmipTransportError(
      `status ${status} of operation ${answered} for ${nameOf(OPERATION, operation)}`,
    );
  return findStructure(item, TAG.ResponsePayload);
}

function toNo(item: Payload): KmipResultError {
  const said = findText(item, TAG.ResultMessage)?.slice(0, 200) ?? '';
  const reason = findNumber(item, TAG.ResultReason) ?? RESULT_REASON.GeneralFailure;
  return new KmipResultError(reason, isPrintable(said) ? said : '');
}
