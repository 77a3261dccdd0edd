// Every route against every right: who has exactly one may do what that one is for, by whatever way the path can be written, and nothing else.
import { test, type Test } from 'tap';
import { ACCESS_OPERATIONS, type AccessOperation } from '../../src/access/operations.ts';
import { createAccessPolicy } from '../../src/access/rules.ts';
import { createTokenService } from '../../src/tokens/token-service.ts';
import { makeRig, peerOf } from '../tokens/rig.ts';
import { base64, sendBytes, startApi } from './api-under-test.ts';

const OWNER = 1999;
const FIRST = 2000;
const uidOf = (right: AccessOperation): number => FIRST + ACCESS_OPERATIONS.indexOf(right);

interface Row {
  /** Rights that it takes, all of them. administrator: no right of a token's is one. */
  readonly needs: readonly AccessOperation[] | 'administrator';
  /** Or one of them. */
  readonly any?: true;
  /** Which key; made for this request alone when it is `fresh`. */
  readonly key?: 'aes' | 'ec' | 'exportable' | 'versions' | 'fresh' | 'new';
  readonly body?: object;
  readonly query?: string;
  /** What else the path names. */
  readonly parts?: Readonly<Record<string, string>>;
  /** What the owner of all rights is answered, where the fake keeper cannot do it; default: 200 or 204. */
  readonly good?: number;
}

const PLAIN = { plaintext: base64('text') };
const INPUT = { input: base64('text') };
const nobody: Row = { needs: [] };
const administrator: Row = { needs: 'administrator', good: 403 };

/** By method and path of /openapi.json, which has every route but LIST and streams. */
function tableOf(ciphertext: string, signature: string): Readonly<Record<string, Row>> {
  const cipher = { ciphertext };
  const both = <R extends Row>(path: string, row: R): Record<string, R> => ({
    [`post /v1/{mount}/${path}`]: row,
    [`put /v1/{mount}/${path}`]: row,
  });
  return {
    ...both('keys/{name}', { needs: ['create'], key: 'new', body: {} }),
    'get /v1/{mount}/keys/{name}': nobody,
    'get /v1/{mount}/keys': { ...nobody, query: '?list=true' },
    'delete /v1/{mount}/keys/{name}': { needs: ['destroy'], key: 'fresh' },
    ...both('keys/{name}/config', { needs: ['administer'], body: { min_decryption_version: 1 } }),
    ...both('keys/{name}/rotate', { needs: ['rotate'], key: 'fresh' }),
    ...both('keys/{name}/trim', {
      needs: ['administer', 'destroy'],
      key: 'versions',
      body: { min_available_version: 2 },
    }),
    'get /v1/{mount}/wrapping_key': { needs: ['create', 'rotate'], any: true },
    ...both('encrypt/{name}', { needs: ['encrypt'], body: PLAIN }),
    ...both('decrypt/{name}', { needs: ['decrypt'], body: cipher }),
    ...both('rewrap/{name}', { needs: ['encrypt', 'decrypt'], body: cipher }),
    ...both('datakey/{form}/{name}', { needs: ['encrypt'], parts: { form: 'plaintext' } }),
    ...both('datakey/{form}/{name}/{bits}', { needs: ['encrypt'], parts: { form: 'wrapped', bits: '256' } }),
    ...both('sign/{name}', { needs: ['sign'], key: 'ec', body: INPUT }),
    ...both('sign/{name}/{hash}', { needs: ['sign'], key: 'ec', body: INPUT, parts: { hash: 'sha2-256' } }),
    ...both('verify/{name}', { needs: ['verify'], key: 'ec', body: { ...INPUT, signature } }),
    ...both('verify/{name}/{hash}', {
      ...{ needs: ['verify'], key: 'ec', parts: { hash: 'sha2-256' } },
      body: { ...INPUT, signature },
    } satisfies Row),
    ...both('hmac/{name}', { needs: ['mac'], body: INPUT }),
    ...both('hmac/{name}/{algorithm}', { needs: ['mac'], body: INPUT, parts: { algorithm: 'sha2-512' } }),
    'get /v1/{mount}/export/{type}/{name}': {
      needs: ['export'],
      key: 'exportable',
      parts: { type: 'encryption-key' },
    },
    'get /v1/{mount}/export/{type}/{name}/{version}': {
      needs: ['export'],
      key: 'exportable',
      parts: { type: 'hmac-key', version: '1' },
    },
    ...both('hash', { ...nobody, body: INPUT }),
    ...both('hash/{algorithm}', { ...nobody, body: INPUT, parts: { algorithm: 'sha2-256' } }),
    ...both('random', nobody),
    ...both('random/{first}', { ...nobody, parts: { first: '16' } }),
    ...both('random/{first}/{second}', { ...nobody, parts: { first: 'platform', second: '16' } }),
    'get /v1/sys/health': nobody,
    'get /v1/sys/seal-status': nobody,
    'get /v1/sys/leader': nobody,
    'get /v1/sys/mounts': nobody,
    'get /v1/sys/mounts/{mount}': nobody,
    'get /v1/sys/internal/ui/mounts': nobody,
    'get /v1/sys/internal/ui/mounts/{mount}': nobody,
    'get /v1/sys/internal/ui/mounts/{mount}/{below}': { ...nobody, parts: { below: 'keys' } },
    'get /v1/sys/internal/ui/mounts/{mount}/{below}/{name}': { ...nobody, parts: { below: 'encrypt' } },
    'get /v1/auth/token/lookup-self': nobody,
    'post /v1/auth/token/renew-self': { ...nobody, good: 400 },
    'put /v1/auth/token/renew-self': { ...nobody, good: 400 },
    'post /v1/auth/token/revoke-self': nobody,
    'put /v1/auth/token/revoke-self': nobody,
    'get /openapi.json': nobody,
    'get /metrics': administrator,
  };
}

/** Of these the request has to be right before it is looked at who asks: whoever lacks the right is refused, one way or the other. */
const FIRST_CHECKED = ['set-certificate', 'import', 'import_version'];

interface Answer {
  readonly status: number;
  readonly text: string;
}

type Ask = (uid: number, method: string, target: string, body?: object) => Promise<Answer>;

async function start(t: Test): Promise<Ask> {
  const rig = await makeRig(':memory:', 'none');
  const access = createAccessPolicy({
    ...{ ownUid: OWNER, createTokens: () => false },
    tokens: () => [
      {
        label: 'alpha',
        allow: [
          { uid: OWNER },
          ...ACCESS_OPERATIONS.map((right) => ({ uid: uidOf(right), operations: [right] })),
        ],
      },
    ],
  });
  const tokens = createTokenService({ ...rig.deps, access });
  await tokens.keeperAttached(1n);
  let uid = OWNER;
  const mayAdminister = (peer: { uid: number }): boolean => peer.uid === 1;
  const { path } = await startApi(t, {
    ...{ tokens, mayAdminister, mayReadMetrics: mayAdminister, defaultToken: () => 'alpha' },
    peerOf: () => peerOf(uid, uid),
  });
  return async (as, method, target, body) => {
    uid = as;
    const json = body === undefined ? '' : JSON.stringify(body);
    const head = `${method} ${target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: ${json.length}\r\n\r\n`;
    const text = await sendBytes(path, head + json);
    return { status: Number(/^HTTP\/1\.1 (\d+)/.exec(text)?.[1]), text };
  };
}

/** Keys as rows want them. `make` gives the name of one. */
async function keysOf(ask: Ask): Promise<(row: Row) => Promise<string>> {
  let made = 0;
  const create = async (name: string, body: object = {}): Promise<string> => {
    const { status, text } = await ask(OWNER, 'POST', `/v1/transit/keys/${name}`, body);
    if (status !== 200) throw new Error(`${name}: ${text}`);
    return name;
  };
  await create('aes');
  await create('ec', { type: 'ecdsa-p256' });
  await create('exportable', { exportable: true });
  const deletable = async (): Promise<string> => {
    const name = await create(`fresh-${++made}`);
    await ask(OWNER, 'POST', `/v1/transit/keys/${name}/config`, { deletion_allowed: true });
    return name;
  };
  const versions = async (): Promise<string> => {
    const name = await create(`versions-${++made}`);
    await ask(OWNER, 'POST', `/v1/transit/keys/${name}/rotate`);
    const body = { min_decryption_version: 2, min_encryption_version: 2 };
    await ask(OWNER, 'POST', `/v1/transit/keys/${name}/config`, body);
    return name;
  };
  return async ({ key = 'aes' }) => {
    if (key === 'fresh') return deletable();
    if (key === 'versions') return versions();
    return key === 'new' ? `new-${++made}` : key;
  };
}

function targetOf(path: string, row: Row, name: string, mount = 'transit'): string {
  const parts: Readonly<Record<string, string>> = { mount, name, ...row.parts };
  return path.replace(/\{(\w+)\}/g, (_, part: string) => parts[part] ?? 'x') + (row.query ?? '');
}

/** Other ways to write the same path. */
function aliasesOf(method: string, path: string, row: Row, name: string): [method: string, target: string][] {
  const plain = targetOf(path, row, name);
  const encoded = plain.replace(/[a-z](?=[^/]*$)/, (letter) => `%${letter.charCodeAt(0).toString(16)}`);
  const ways: [string, string][] = [
    [method, targetOf(path, row, name, 'alpha')],
    [method, targetOf(path, row, name, '%74ransit')],
    [method, plain.includes('?') ? plain : `${plain}/`],
    [method, encoded],
    [method, plain.replace('/v1/', '/v1//')],
    [method, plain.replace('/v1/', '/v1/sys/../')],
    [method, plain.replace(/\/(?=[^/]*$)/, '%2f')],
    [method, `${plain}${plain.includes('?') ? '&' : '?'}token=alpha&list=1`],
  ];
  return method === 'GET' ? [...ways, ['HEAD', plain]] : [...ways, ['PATCH', plain], ['OPTIONS', plain]];
}

const isGood = (status: number): boolean => status >= 200 && status < 300;

async function ciphertextOf(ask: Ask): Promise<string> {
  const { text } = await ask(OWNER, 'POST', '/v1/transit/encrypt/aes', PLAIN);
  return /"ciphertext":"([^"]+)"/.exec(text)?.[1] ?? '';
}

async function signatureOf(ask: Ask): Promise<string> {
  const { text } = await ask(OWNER, 'POST', '/v1/transit/sign/ec', INPUT);
  return /"signature":"([^"]+)"/.exec(text)?.[1] ?? '';
}

test('one right is no other', async (t) => {
  const ask = await start(t);
  const keyFor = await keysOf(ask);
  const table = tableOf(await ciphertextOf(ask), await signatureOf(ask));
  const description = await ask(OWNER, 'GET', '/openapi.json');
  const { paths } = JSON.parse(description.text.slice(description.text.indexOf('\r\n\r\n'))) as {
    paths: Record<string, Record<string, unknown>>;
  };
  const described = Object.entries(paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method} ${path}`),
  );
  t.strictSame(
    Object.keys(table).filter((name) => !described.includes(name)),
    [],
    'no row is of a route that is not there',
  );
  for (const [path, methods] of Object.entries(paths))
    for (const method of Object.keys(methods)) {
      const isAdmin = path.startsWith('/v1/sidekey/');
      const isFirstChecked = FIRST_CHECKED.includes(path.split('/').at(-1) ?? '');
      const row = isAdmin ? administrator : (table[`${method} ${path}`] ?? null);
      if (isFirstChecked) continue;
      if (row === null) {
        t.fail(`${method} ${path} has no row here`);
        continue;
      }
      const verb = method.toUpperCase();
      const { needs } = row;
      for (const right of ACCESS_OPERATIONS) {
        const uid = uidOf(right);
        const may =
          needs !== 'administrator' &&
          (row.any ? needs.includes(right) : needs.every((need) => need === right));
        const name = await keyFor(row);
        const { status, text } = await ask(uid, verb, targetOf(path, row, name), row.body);
        if (may) t.not(status, 403, `${right} may ${method} ${path}`);
        else t.equal(status, 403, `${right} may not ${method} ${path}: ${text.split('\r\n\r\n')[1]}`);
        if (may) continue;
        for (const [way, target] of aliasesOf(verb, path, row, name)) {
          const other = await ask(uid, way, target, row.body);
          // Another name than the key's, that may be read or listed by all.
          const isOther = row.key === 'new' && way === 'GET';
          t.ok(!isGood(other.status) || isOther, `${right}: ${way} ${target} is ${other.status}`);
        }
      }
      const { status, text } = await ask(OWNER, verb, targetOf(path, row, await keyFor(row)), row.body);
      t.equal(isGood(status) ? 200 : status, row.good ?? 200, `the owner may ${method} ${path}: ${text}`);
    }
});

test('what is checked before it is looked at who asks makes nothing for who may not', async (t) => {
  const ask = await start(t);
  const keyFor = await keysOf(ask);
  for (const path of ['keys/aes/set-certificate', 'keys/new/import', 'keys/aes/import_version'])
    for (const right of ACCESS_OPERATIONS) {
      const { status } = await ask(uidOf(right), 'POST', `/v1/transit/${path}`, { ciphertext: base64('x') });
      t.ok(status >= 400, `${right} ${path}`);
    }
  t.ok(await keyFor({ needs: [] }));
});

test('a batch is refused in each item', async (t) => {
  const ask = await start(t);
  await keysOf(ask);
  const ciphertext = await ciphertextOf(ask);
  for (const right of ACCESS_OPERATIONS) {
    const uid = uidOf(right);
    const sealed = await ask(uid, 'POST', '/v1/transit/encrypt/aes', { batch_input: [PLAIN, PLAIN] });
    t.equal(/"ciphertext":"./.test(sealed.text), right === 'encrypt', `${right}: encrypt`);
    const opened = await ask(uid, 'POST', '/v1/transit/decrypt/aes', { batch_input: [{ ciphertext }, {}] });
    t.equal(/"plaintext":"./.test(opened.text), right === 'decrypt', `${right}: decrypt`);
    const again = await ask(uid, 'POST', '/v1/transit/rewrap/aes', { batch_input: [{ ciphertext }] });
    t.notOk(/"ciphertext":"./.test(again.text), `${right}: rewrap`);
    const signed = await ask(uid, 'POST', '/v1/transit/sign/ec', { batch_input: [INPUT] });
    t.equal(/"signature":"./.test(signed.text), right === 'sign', `${right}: sign`);
    const code = await ask(uid, 'POST', '/v1/transit/hmac/aes', { batch_input: [INPUT] });
    t.equal(/"hmac":"./.test(code.text), right === 'mac', `${right}: hmac`);
  }
});

test('streams, lists and events know rights as well', async (t) => {
  const ask = await start(t);
  await keysOf(ask);
  for (const right of ACCESS_OPERATIONS) {
    const uid = uidOf(right);
    for (const [direction, needed] of [
      ['encrypt', 'encrypt'],
      ['decrypt', 'decrypt'],
    ] as const)
      for (const method of ['PUT', 'POST']) {
        const { status } = await ask(uid, method, `/v1/sidekey/stream/${direction}/aes`, PLAIN);
        if (right !== needed) t.ok(status === 403 || status === 400, `${right}: ${direction} is ${status}`);
        else t.not(status, 403, `${right}: ${direction}`);
      }
    t.equal((await ask(uid, 'LIST', '/v1/transit/keys')).status, 200);
    t.equal((await ask(uid, 'LIST', '/v1/sidekey/keys')).status, 405);
  }
  const stranger = 3000;
  for (const target of ['/v1/transit/keys?list=true', '/v1/alpha/keys?list=1', '/v1/transit/keys/aes'])
    t.ok([403, 404].includes((await ask(stranger, 'GET', target)).status), target);
});
