/** Signed requests to AWS KMS in one region, and what its answers mean. */
import { SidekeyError } from '../../errors.ts';
import type { Clock } from '../../tokens/ports.ts';
import type { HttpReply, HttpRequest } from '../http/http-client.ts';
import { parseJson, textAt } from '../http/json-secret.ts';
import type { ServiceCaller, Verdict } from '../http/service-call.ts';
import type { AwsCredentials } from './aws-credentials.ts';

const CONTENT_TYPE = 'application/x-amz-json-1.1';
const QUOTE_MAX = 300;

const AGAIN = new Set([
  'ThrottlingException',
  'TooManyRequestsException',
  'RequestLimitExceeded',
  'KMSInternalException',
  'DependencyTimeoutException',
  'KeyUnavailableException',
  'InternalFailure',
  'InternalServerError',
  'ServiceUnavailable',
  'RequestTimeout',
  'RequestTimeoutException',
]);

/** Names of the service and of the gateway before it. */
const REAUTHENTICATE = new Set([
  'ExpiredTokenException',
  'ExpiredToken',
  'UnrecognizedClientException',
  'InvalidClientTokenId',
  'IncompleteSignature',
  'InvalidSignatureException',
  'SignatureDoesNotMatch',
  'RequestTimeTooSkewed',
]);

const SKEWED = /RequestTimeTooSkewed|Signature expired|Signature not yet current/;

/** The error's name without namespace and address; gateways answer in XML. */
function errorOf({ headers, body }: HttpReply): { name: string; message: string } {
  const parsed = parseJson(body);
  const xml = (tag: string) =>
    parsed === null
      ? (new RegExp(`<${tag}>([^<]*)</${tag}>`).exec(body.toString('utf8').slice(0, 4096))?.[1] ?? '')
      : '';
  const type = headers['x-amzn-errortype'] ?? (textAt(parsed, '__type') || xml('Code'));
  const name = type.replace(/^.*#/, '').replace(/:.*$/, '');
  const message = textAt(parsed, 'message') || textAt(parsed, 'Message') || xml('Message');
  return { name, message: message.slice(0, QUOTE_MAX) };
}

export function judgeAws(reply: HttpReply): Verdict {
  const { status, headers } = reply;
  if (status === 200) return { is: 'ok' };
  const { name, message } = errorOf(reply);
  const id = headers['x-amzn-requestid'];
  const said = [name, message].filter((part) => part !== '').join(': ');
  const reason = `status ${status}${said === '' ? '' : `: ${said}`}${id ? `; request ${id}` : ''}`;
  if (REAUTHENTICATE.has(name)) return { is: 'reauthenticate', reason };
  if (AGAIN.has(name) || status === 429 || status >= 500) return { is: 'again', reason };
  return { is: 'refused', reason };
}

/** Whether the service refused with this error: its name stands in the message that judgeAws made. */
export function isNamed(error: unknown, name: string): boolean {
  return (
    error instanceof SidekeyError && error.code === 'provider_refused' && error.message.includes(`: ${name}`)
  );
}

export interface AwsRegion {
  readonly region: string;
  readonly endpoint: URL;
}

export class AwsClient {
  readonly #place: AwsRegion;
  readonly #caller: ServiceCaller;
  readonly #credentials: AwsCredentials;
  readonly #clock: Clock;
  /** What the service's clock is ahead of ours, once it has complained. */
  #skewMs = 0;

  constructor(place: AwsRegion, caller: ServiceCaller, credentials: AwsCredentials, clock: Clock) {
    this.#place = place;
    this.#caller = caller;
    this.#credentials = credentials;
    this.#clock = clock;
  }

  /** The reply's body; rejects with provider_refused or provider_unreachable. `parameters` with a secret come as JSON in bytes. */
  async call(what: string, operation: string, parameters: object | Buffer): Promise<Buffer> {
    const body = Buffer.isBuffer(parameters) ? parameters : Buffer.from(JSON.stringify(parameters));
    let isSkewed = false;
    const reply = await this.#caller.call({
      what,
      prepare: (signal) => this.#sign(operation, body, signal),
      judge: (reply) => {
        const verdict = judgeAws(reply);
        isSkewed = verdict.is === 'reauthenticate' && SKEWED.test(verdict.reason);
        if (isSkewed) this.#learnSkew(reply.headers['date']);
        return verdict;
      },
      reauthenticate: () => (isSkewed ? undefined : this.#credentials.drop()),
    });
    return reply.body;
  }

  #learnSkew(date: string | undefined): void {
    const theirs = date === undefined ? NaN : Date.parse(date);
    if (!Number.isNaN(theirs)) this.#skewMs = theirs - this.#clock.now();
  }

  async #sign(operation: string, body: Buffer, signal: AbortSignal): Promise<HttpRequest> {
    const { endpoint, region } = this.#place;
    const credentials = await this.#credentials.get(signal);
    const { SignatureV4 } = await import('@smithy/signature-v4');
    const { Sha256 } = await import('@aws-crypto/sha256-js');
    const signer = new SignatureV4({ service: 'kms', region, credentials, sha256: Sha256 });
    const headers = {
      host: endpoint.host,
      'content-type': CONTENT_TYPE,
      'x-amz-target': `TrentService.${operation}`,
    };
    const unsigned = {
      method: 'POST',
      protocol: endpoint.protocol,
      hostname: endpoint.hostname,
      path: endpoint.pathname,
      query: {},
      headers,
      body,
    };
    const signed = await signer.sign(unsigned, { signingDate: new Date(this.#clock.now() + this.#skewMs) });
    return { method: 'POST', url: endpoint, headers: signed.headers, body };
  }
}

/** For messages and the wrapped key. Throws when the service did not say which key it used. */
export function keyArn(what: string, reply: unknown): string {
  const arn = textAt(reply, 'KeyId');
  if (arn !== '') return arn;
  throw new SidekeyError('provider_unreachable', `${what}: the response names no key`);
}
