/**
 * /openapi.json (OpenAPI 3.1), from the rows that register the routes: the schema that documents is the one
 * that validates. OpenAPI has no method LIST: use GET with `?list=true`.
 */
import { z } from 'zod';
import { noBody, type AnswerForm, type Method, type Route } from './route.ts';

type Schema = Readonly<Record<string, unknown>>;

const TEXT: Schema = { type: 'string' };
const ANY: Schema = {};
const FAULT: Schema = {
  type: 'object',
  properties: { errors: { type: 'array', items: TEXT } },
  required: ['errors'],
};
/** A batch with failures answers 4xx with its results. */
const REFUSAL: Schema = { anyOf: [FAULT, { type: 'object', required: ['data'] }] };

/**
 * What a client sends, before defaults and transforms. Checks that JSON Schema cannot express are left out.
 */
function toSchema(schema: z.ZodType, io: 'input' | 'output'): Schema {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io, unrepresentable: 'any' });
  return rest;
}

function json(schema: Schema, description: string) {
  return { description, content: { 'application/json': { schema } } };
}

function envelope(data: Schema): Schema {
  return {
    type: 'object',
    properties: {
      request_id: TEXT,
      ...{ lease_id: TEXT, renewable: { type: 'boolean' }, lease_duration: { type: 'integer' }, data },
      warnings: { type: ['array', 'null'], items: TEXT },
    },
    required: ['request_id', 'data'],
  };
}

const GOOD: Readonly<Record<AnswerForm, (answer: Schema) => object>> = {
  envelope: (answer) => ({ 200: json(envelope(answer), 'done'), 204: { description: 'done' } }),
  plain: (answer) => ({ 200: json(answer, 'done') }),
  text: () => ({ 200: { description: 'done', content: { 'text/plain': { schema: TEXT } } } }),
  empty: () => ({ 204: { description: 'done' } }),
};

function formOf({ form }: Route, method: Method): AnswerForm {
  return form ?? (method === 'DELETE' ? 'empty' : 'envelope');
}

function pathParameters(path: string): object[] {
  return [...path.matchAll(/:(\w+)/g)].map(([, name]) => ({
    ...{ name, in: 'path', required: true },
    schema: { ...TEXT, minLength: 1, ...(name === 'mount' ? { example: 'transit' } : {}) },
  }));
}

function queryParameters({ query }: Route): object[] {
  if (query === undefined) return [];
  const { properties = {}, required = [] } = toSchema(query, 'input') as {
    properties?: Record<string, Schema>;
    required?: string[];
  };
  return Object.entries(properties).map(([name, schema]) => ({
    ...{ name, in: 'query', required: required.includes(name), schema },
  }));
}

function describeOperation(route: Route, method: Method): object {
  const answer = route.answer === undefined ? ANY : toSchema(route.answer, 'output');
  const hasBody = route.body !== noBody && method !== 'GET' && method !== 'DELETE';
  const body = hasBody
    ? { requestBody: { content: { 'application/json': { schema: toSchema(route.body, 'input') } } } }
    : {};
  return {
    summary: route.summary ?? `${method} ${route.path}`,
    parameters: [...pathParameters(route.path), ...queryParameters(route)],
    ...body,
    responses: {
      ...GOOD[formOf(route, method)](answer),
      '4XX': json(REFUSAL, 'refused'),
      '5XX': json(ANY, 'failed'),
    },
  };
}

export function describeApi(routes: readonly Route[], version: string): object {
  const paths: Record<string, Record<string, object>> = {};
  for (const route of routes) {
    const path = route.path.replace(/:(\w+)/g, '{$1}');
    for (const method of route.methods) {
      if (method === 'LIST') continue;
      paths[path] = { ...paths[path], [method.toLowerCase()]: describeOperation(route, method) };
    }
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Sidekey',
      version,
      description: 'The Transit dialect of Vault and OpenBao on a Unix socket, and the agent itself.',
    },
    servers: [{ url: 'http://localhost' }],
    paths,
  };
}
