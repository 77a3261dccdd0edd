/**
 * A route is a row: methods, path, schemas, handler. This file registers rows with fastify: it handles
 * envelope and validation, and knows nothing about keys. openapi.ts documents the same rows, so that what is
 * documented is what is checked.
 */
import { METHODS } from 'node:http';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { Peer } from '../access/peer.ts';
import { SidekeyError } from '../errors.ts';
import { Refusal } from './fault.ts';
import { joinAndWipe } from './secret-text.ts';
import { writeJson } from './raw-json.ts';

export type Method = 'GET' | 'LIST' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

export interface Call {
  readonly peer: Peer;
  readonly params: Readonly<Record<string, string>>;
  readonly query: Readonly<Record<string, string | undefined>>;
}

/**
 * `data` is put into the envelope, `plain` is the whole body as JSON, `text` is sent as it is; `secret` is
 * the text of `data`, wiped after sending, before `wiped` is called; `empty` has no body (status 204).
 */
export type Reply = { readonly status?: number } & (
  | { readonly data: object; readonly warnings?: readonly string[] }
  | { readonly plain: object }
  | { readonly text: string; readonly type: string }
  | { readonly secret: Buffer; readonly wiped?: () => void }
  | { readonly empty: true }
);

/** The schemas of a route. All but the body are optional. */
export interface RouteSchemas {
  /** One line, for /openapi.json. */
  readonly summary?: string;
  /** Query parameters; those not named are accepted and ignored. */
  readonly query?: z.ZodObject;
  /** A successful answer: its `data` if there is an envelope, else the whole. For /openapi.json and tests. */
  readonly answer?: z.ZodType;
  /** The form of a successful answer; default: envelope, or empty for DELETE. */
  readonly form?: AnswerForm;
}

export type AnswerForm = 'envelope' | 'plain' | 'text' | 'empty';

export interface Route extends RouteSchemas {
  readonly methods: readonly Method[];
  readonly path: string;
  readonly body: z.ZodType;
  readonly handle: (call: Call, body: unknown) => Reply | Promise<Reply>;
  /**
   * The same for a body in its simplest form, which is read before this returns. null: the body is not that
   * simple, or is invalid, and nothing was done: use `handle`.
   */
  readonly handlePlain?: HandlePlain;
}

export type HandlePlain = (call: Call, body: Buffer) => Reply | Promise<Reply> | null;

/**
 * A row whose handler gets a body that passed the schema. Fields that the schema does not name are dropped.
 */
export function defineRoute<Body>(
  row: RouteSchemas & {
    methods: readonly Method[];
    path: string;
    body: z.ZodType<Body>;
    handlePlain?: HandlePlain;
    /** Throws if the caller may not ask at all, before the request is examined. */
    guard?: (call: Call) => void;
    handle: (call: Call, body: Body) => Reply | Promise<Reply>;
  },
): Route {
  const { query, body: schema, guard, handle } = row;
  return {
    ...row,
    handle: (call, body) => {
      guard?.(call);
      if (query !== undefined) parseWith(query, call.query, 'query');
      return handle(call, parseWith(schema, body ?? {}, 'field'));
    },
  };
}

/** For routes without a body. */
export const noBody = z.unknown();

function parseWith<Body>(schema: z.ZodType<Body>, given: unknown, what: 'field' | 'query'): Body {
  const result = schema.safeParse(given);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const text = (issue?.message ?? 'not valid').replace(/^Invalid input: /, '');
  const name = issue?.path.join('.') ?? '';
  throw new Refusal(400, name === '' ? `request body: ${text}` : `${what} "${name}": ${text}`);
}

/** Vault's success envelope, as text: only three fields vary. `requestId` is our own. */
function wrap(requestId: string, data: object, warnings: readonly string[] | undefined): string {
  return `${envelopeHead(requestId)}${writeJson(data)}${envelopeTail(warnings)}`;
}

function envelopeHead(requestId: string): string {
  return `{"request_id":"${requestId}","lease_id":"","renewable":false,"lease_duration":0,"data":`;
}

function envelopeTail(warnings: readonly string[] | undefined): string {
  return `,"wrap_info":null,"warnings":${warnings === undefined ? 'null' : JSON.stringify(warnings)},"auth":null}`;
}

function sendSecret(
  { id }: FastifyRequest,
  reply: FastifyReply,
  { secret, wiped }: SecretReply,
): FastifyReply {
  const parts = [Buffer.from(envelopeHead(id)), secret, Buffer.from(envelopeTail(undefined))];
  const body = joinAndWipe(parts);
  wiped?.();
  reply.raw.once('close', () => body.fill(0));
  return reply.code(200).type('application/json').send(body);
}

/** The agent's tables contain 64-bit numbers, which JSON lacks: written as text. */
function writeBigint(_name: string, value: unknown): unknown {
  return typeof value === 'bigint' ? String(value) : value;
}

export type SecretReply = Extract<Reply, { secret: Buffer }>;

/** A body of which the middle is to be wiped by `wipe`, be it sent or not. */
export interface SecretBody {
  readonly head: string;
  readonly secret: Buffer;
  readonly tail: string;
  readonly wipe: () => void;
}

export function secretBody(requestId: string, { secret, wiped }: SecretReply): SecretBody {
  const wipe = (): void => {
    secret.fill(0);
    wiped?.();
  };
  return { head: envelopeHead(requestId), secret, tail: envelopeTail(undefined), wipe };
}

export function writeBody(
  requestId: string,
  answer: Exclude<Reply, { empty: true } | { secret: Buffer }>,
): string {
  if ('text' in answer) return answer.text;
  if ('plain' in answer) return JSON.stringify(answer.plain, writeBigint);
  return wrap(requestId, answer.data, answer.warnings);
}

function send(request: FastifyRequest, reply: FastifyReply, answer: Reply): FastifyReply {
  reply.header('cache-control', 'no-store');
  if ('empty' in answer) return reply.code(answer.status ?? 204).send();
  if ('secret' in answer) return sendSecret(request, reply, answer);
  return reply
    .code(answer.status ?? 200)
    .type('type' in answer ? answer.type : 'application/json')
    .send(writeBody(request.id, answer));
}

/** Node's parser does not know LIST: it arrives as LINK (list-method.ts). */
const ON_THE_WIRE = {
  ...({ GET: 'GET', LIST: 'LINK', POST: 'POST' } as const),
  ...({ PUT: 'PUT', PATCH: 'PATCH', DELETE: 'DELETE' } as const),
} satisfies Record<Method, string>;

/** HEAD comes with GET. */
const OTHER_METHODS = ['GET', 'LINK', 'POST', 'PUT', 'PATCH', 'DELETE'] as const;

function refuseMethod(): never {
  throw new Refusal(405, 'unsupported operation');
}

/** fastify's own handlerTimeout only covers reading the body, not the handler. */
export async function answerInTime(answer: Promise<Reply>, timeoutMs: number): Promise<Reply> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    const give = () => reject(new SidekeyError('deadline', `a handler took over ${timeoutMs} ms`));
    timer = setTimeout(give, timeoutMs);
  });
  try {
    return await Promise.race([answer, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Registers the rows; a method that a known path does not have is answered with 405. */
export function registerRoutes(
  app: FastifyInstance,
  routes: readonly Route[],
  peerOf: (request: FastifyRequest) => Peer,
  handlerTimeoutMs: number,
): void {
  app.addHttpMethod('LINK', { hasBody: false });
  const taken = new Map<string, string[]>();
  for (const { methods, path, handle } of routes) {
    const names = methods.map((method) => ON_THE_WIRE[method]);
    taken.set(path, [...(taken.get(path) ?? []), ...names]);
    app.route({
      method: names,
      url: path,
      handler: async (request, reply) => {
        const answer = handle(callOf(request, peerOf), request.body);
        return send(
          request,
          reply,
          await (answer instanceof Promise ? answerInTime(answer, handlerTimeoutMs) : answer),
        );
      },
    });
  }
  for (const [path, names] of taken) {
    const method = OTHER_METHODS.filter((name) => METHODS.includes(name) && !names.includes(name));
    app.route({ method, url: path, handler: refuseMethod });
  }
}

function callOf(request: FastifyRequest, peerOf: (request: FastifyRequest) => Peer): Call {
  return {
    peer: peerOf(request),
    params: request.params as Record<string, string>,
    query: request.query as Record<string, string | undefined>,
  };
}
