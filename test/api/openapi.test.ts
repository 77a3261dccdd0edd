// /openapi.json describes the rows that are registered, by the schemas that validate.
import { test } from 'tap';
import { ADMIN_ROWS } from '../../src/api/sidekey/admin-routes.ts';
import { OWN_PEER, startApi } from './api-under-test.ts';

interface Operation {
  readonly summary: string;
  readonly parameters: readonly { readonly name: string; readonly in: string; readonly required: boolean }[];
  readonly requestBody?: {
    content: { 'application/json': { schema: { properties: Record<string, unknown> } } };
  };
  readonly responses: Record<string, unknown>;
}

interface Description {
  readonly openapi: string;
  readonly info: { readonly version: string };
  readonly paths: Record<string, Record<string, Operation>>;
}

test('every path parameter is described, and every operation has a line and answers', async (t) => {
  const { request } = await startApi(t, { peerOf: () => ({ ...OWN_PEER, uid: 54321 }) });
  const { status, body } = await request('GET', '/openapi.json');
  t.equal(status, 200, 'for any local process');
  const { openapi, info, paths } = body as Description;
  t.match([openapi, info.version], ['3.1.0', '1.2.3']);
  t.ok(Object.keys(paths).length > 20);
  for (const [path, operations] of Object.entries(paths)) {
    t.notMatch(path, ':');
    for (const [method, { summary, parameters, responses }] of Object.entries(operations)) {
      const named = parameters.filter((each) => each.in === 'path').map(({ name }) => name);
      const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
      t.same(named, inPath, `${method} ${path}`);
      t.not(summary, '');
      for (const code of ['4XX', '5XX']) t.ok(responses[code], `${method} ${path} ${code}`);
    }
  }
});

test('schemas are those of the rows', async (t) => {
  const { request } = await startApi(t);
  const { paths } = (await request('GET', '/openapi.json')).body as Description;
  for (const { method, path } of ADMIN_ROWS)
    t.ok(paths[`/v1/sidekey${path.replace(/:(\w+)/g, '{$1}')}`]?.[method.toLowerCase()], path);
  const encrypt = paths['/v1/{mount}/encrypt/{name}']?.['post'];
  const fields = Object.keys(encrypt?.requestBody?.content['application/json'].schema.properties ?? {});
  for (const field of ['plaintext', 'associated_data', 'batch_input', 'key_version'])
    t.ok(fields.includes(field), field);
  const access = paths['/v1/sidekey/access']?.['get'];
  t.match(
    access?.parameters.map(({ name, required }) => [name, required]),
    [
      ['pid', true],
      ['token', false],
      ['key', true],
      ['operation', true],
    ],
  );
});
