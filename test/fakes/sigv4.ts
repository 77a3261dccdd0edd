/** Signature Version 4, verified by its own arithmetic: no library of AWS's. */
import { createHash, createHmac } from 'node:crypto';
import type { FakeRequest } from './fake-service.ts';

const ALGORITHM = 'AWS4-HMAC-SHA256';
const SKEW_MAX_MS = 5 * 60_000;

export interface AwsSession {
  readonly accessKeyId: string;
  readonly secret: string;
  /** null: a user's own keys. */
  readonly sessionToken: string | null;
}

const hash = (data: Buffer | string): string => createHash('sha256').update(data).digest('hex');
const hmac = (key: Buffer | string, data: string): Buffer => createHmac('sha256', key).update(data).digest();

export interface Expected {
  readonly region: string;
  readonly service: string;
  /** Headers that must be signed. */
  readonly signed: readonly string[];
  readonly nowMs: number;
  session(accessKeyId: string): AwsSession | undefined;
}

/** AWS's name of what is wrong, and words; null: it is good. */
export function checkSignature(request: FakeRequest, expected: Expected): readonly [string, string] | null {
  const { method, url, headers, body } = request;
  const parts =
    /^AWS4-HMAC-SHA256 Credential=([^/]+)\/([^,]+), SignedHeaders=([^,]+), Signature=([0-9a-f]{64})$/.exec(
      headers['authorization'] ?? '',
    );
  if (!parts) return ['MissingAuthenticationTokenException', 'no signature'];
  const [, id = '', scope = '', names = '', signature = ''] = parts;
  const { region, service, nowMs } = expected;
  const session = expected.session(id);
  if (!session) return ['UnrecognizedClientException', 'the token is invalid'];
  if ((headers['x-amz-security-token'] ?? null) !== session.sessionToken)
    return ['ExpiredTokenException', 'the session token is not of now'];
  const time = headers['x-amz-date'] ?? '';
  const [day = ''] = time.split('T');
  if (scope !== `${day}/${region}/${service}/aws4_request`)
    return ['ValidationException', `scope is ${scope}`];
  for (const name of expected.signed)
    if (!names.split(';').includes(name)) return ['IncompleteSignature', `${name} is not signed`];
  const signed = names.split(';').map((name) => `${name}:${(headers[name] ?? '').trim()}\n`);
  const canonical = [method, url.pathname, '', signed.join(''), names, hash(body)].join('\n');
  const toSign = [ALGORITHM, time, scope, hash(canonical)].join('\n');
  const key = [region, service, 'aws4_request'].reduce<Buffer>(hmac, hmac(`AWS4${session.secret}`, day));
  if (hmac(key, toSign).toString('hex') !== signature)
    return ['InvalidSignatureException', 'The request signature we calculated does not match'];
  const at = Date.parse(time.replace(/^(....)(..)(..)T(..)(..)(..)Z$/, '$1-$2-$3T$4:$5:$6Z'));
  if (!(Math.abs(at - nowMs) <= SKEW_MAX_MS))
    return ['InvalidSignatureException', `Signature expired: ${time} is now earlier than now`];
  return null;
}
