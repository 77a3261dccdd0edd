/**
 * A strict Vault: Transit's encrypt, decrypt and key read, tokens that expire, five logins, namespaces. Refuses what a real server
 * would, and also what it would silently ignore: an unknown field or a missing header is an error here.
 */
import { createCipheriv, createDecipheriv, createHash, hkdfSync, randomBytes } from 'node:crypto';
import type { FakeReply, FakeRequest } from './fake-service.ts';
import { FakeTransitKeys } from './fake-transit-keys.ts';

const STRICT_BASE64 = /^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

interface Token {
  expiresAt: number;
  renewable: boolean;
}

export interface VaultBehaviour {
  /** Of tokens that a login gives, seconds. */
  ttl: number;
  renewable: boolean;
  namespace: string | null;
  derived: boolean;
  /** As Vault 1.8 does. */
  ignoresAssociatedData: boolean;
  tamperedStatus: 400 | 500;
  /** Policy: what the token may do in the mount. */
  allows: boolean;
  sealed: boolean;
  roleId: string;
  secretId: string;
  jwt: string;
  /** OpenBao's soft deletion, which can be taken back. */
  deleted: boolean;
}

class Refusal extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

export class FakeVault {
  readonly tokens = new Map<string, Token>();
  /** Beside the KEK. */
  readonly keys = new FakeTransitKeys();
  /** "login approle", "renew", "lookup", "revoke", in order. */
  readonly tokenEvents: string[] = [];
  now: () => number = () => Date.now();
  behaviour: VaultBehaviour = {
    ttl: 3600,
    renewable: true,
    namespace: null,
    derived: false,
    ignoresAssociatedData: false,
    tamperedStatus: 400,
    allows: true,
    sealed: false,
    roleId: 'role-1',
    secretId: 'secret-1',
    jwt: 'header.payload.signature',
    deleted: false,
  };

  issue(token = `hvs.${randomBytes(12).toString('hex')}`): string {
    const { ttl, renewable } = this.behaviour;
    this.tokens.set(token, { expiresAt: this.now() + ttl * 1000, renewable });
    return token;
  }

  readonly handle = (request: FakeRequest): FakeReply => {
    try {
      if (this.behaviour.sealed) throw new Refusal(503, 'Vault is sealed');
      return this.#route(request);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      return { status: error.status, body: { errors: error.message === '' ? [] : [error.message] } };
    }
  };

  #route(request: FakeRequest): FakeReply {
    const { method, url, headers } = request;
    if (headers['x-vault-request'] !== 'true') throw new Refusal(412, "missing 'X-Vault-Request' header");
    if ((headers['x-vault-namespace'] ?? null) !== this.behaviour.namespace)
      throw new Refusal(404, 'no handler for route');
    const isList = method === 'GET' && url.pathname === '/v1/transit/keys' && url.search === '?list=true';
    if (url.search !== '' && !isList) throw new Refusal(400, `unexpected ${url.search}`);
    const line = `${method} ${url.pathname}`;
    const login = /^POST \/v1\/auth\/(approle|kubernetes|jwt|cert)\/login$/.exec(line)?.[1];
    if (login) return this.#logIn(login, request);
    const own = /^(POST|GET) \/v1\/auth\/token\/(lookup|renew|revoke)-self$/.exec(line);
    if (own?.[2]) return this.#ownToken(own[2], request);
    this.#checkToken(request);
    if (!this.behaviour.allows) throw new Refusal(403, '1 error occurred:\n\t* permission denied\n\n');
    if (this.behaviour.deleted && url.pathname.endsWith('/kek'))
      throw new Refusal(400, 'encryption key not found');
    if (line === 'GET /v1/transit/keys/kek') return this.#reply({ name: 'kek', ...this.#keyFacts() });
    const random = /^POST \/v1\/transit\/random\/(\d+)$/.exec(line)?.[1];
    if (random !== undefined) return this.#random(request, Number(random));
    if (line === 'POST /v1/transit/encrypt/kek') return this.#encrypt(request);
    if (line === 'POST /v1/transit/decrypt/kek') return this.#decrypt(request);
    if (url.pathname.startsWith('/v1/transit/')) return this.#useKey(request);
    throw new Refusal(404, `no handler for route "${url.pathname}"`);
  }

  #useKey({ method, url, headers, body }: FakeRequest): FakeReply {
    if (method === 'POST' && headers['content-type'] !== 'application/json')
      throw new Refusal(400, 'no JSON');
    if (method !== 'POST' && body.length > 0) throw new Refusal(400, `a ${method} has no body`);
    const fields = method === 'POST' ? (JSON.parse(body.toString()) as Record<string, unknown>) : {};
    const path = `${url.pathname.slice('/v1/transit/'.length)}${url.search}`;
    const answer = this.keys.answer(method, path, fields);
    if ('error' in answer) throw new Refusal(answer.status, answer.error);
    return answer.data === null ? { status: 204 } : this.#reply(answer.data);
  }

  #keyFacts(): object {
    const { derived } = this.behaviour;
    return { type: 'aes256-gcm96', latest_version: 1, supports_encryption: true, derived };
  }

  #reply(data: object, auth: object | null = null): FakeReply {
    const rest = { lease_id: '', renewable: false, lease_duration: 0, wrap_info: null, warnings: null };
    return { status: 200, body: { request_id: 'r-1', ...rest, data: auth ? null : data, auth } };
  }

  #fields(request: FakeRequest, names: readonly string[], optional: readonly string[] = []) {
    if (request.headers['content-type'] !== 'application/json') throw new Refusal(400, 'no JSON');
    const parsed: unknown = JSON.parse(request.body.toString());
    const fields = parsed as Record<string, string>;
    for (const name of names) if (typeof fields[name] !== 'string') throw new Refusal(400, `missing ${name}`);
    for (const name of Object.keys(fields))
      if (![...names, ...optional].includes(name)) throw new Refusal(400, `unknown ${name}`);
    return fields;
  }

  #auth(token: string, held: Token): object {
    const lease = Math.round((held.expiresAt - this.now()) / 1000);
    return { client_token: token, policies: ['default'], lease_duration: lease, renewable: held.renewable };
  }

  #logIn(method: string, request: FakeRequest): FakeReply {
    if (request.headers['x-vault-token']) throw new Refusal(400, 'a login has no token');
    this.tokenEvents.push(`login ${method}`);
    const { roleId, secretId, jwt } = this.behaviour;
    if (method === 'approle') {
      const fields = this.#fields(request, ['role_id', 'secret_id']);
      if (fields['role_id'] !== roleId || fields['secret_id'] !== secretId)
        throw new Refusal(400, 'invalid role or secret ID');
    } else if (method === 'cert') {
      this.#fields(request, [], ['name']);
      if (request.clientName !== 'client') throw new Refusal(400, 'no chain matching all constraints');
    } else {
      const fields = this.#fields(request, ['role', 'jwt']);
      if (fields['role'] !== 'app' || fields['jwt'] !== jwt)
        throw new Refusal(400, 'error validating token: invalid signature');
    }
    const token = this.issue();
    return this.#reply({}, this.#auth(token, this.tokens.get(token) as Token));
  }

  #ownToken(what: string, request: FakeRequest): FakeReply {
    this.tokenEvents.push(what);
    if ((request.method === 'GET') !== (what === 'lookup')) throw new Refusal(405, 'unsupported operation');
    const [token, held] = this.#checkToken(request);
    if (what === 'revoke') {
      this.tokens.delete(token);
      return { status: 204 };
    }
    const ttl = Math.round((held.expiresAt - this.now()) / 1000);
    if (what === 'lookup') return this.#reply({ ttl, renewable: held.renewable, policies: ['default'] });
    if (!held.renewable) throw new Refusal(400, 'lease is not renewable');
    held.expiresAt = this.now() + this.behaviour.ttl * 1000;
    return this.#reply({}, this.#auth(token, held));
  }

  #checkToken(request: FakeRequest): [string, Token] {
    const token = request.headers['x-vault-token'] ?? '';
    const held = this.tokens.get(token);
    if (!held || held.expiresAt <= this.now())
      throw new Refusal(403, '2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n');
    return [token, held];
  }

  /** The same for every start: what was wrapped before a restart opens after it. */
  #key(context: string | undefined): Buffer {
    const key = createHash('sha256').update('the kek of the fake').digest();
    if ((context !== undefined) !== this.behaviour.derived)
      throw new Refusal(400, "missing 'context' for key derivation; or a context for a key without");
    return context === undefined ? key : Buffer.from(hkdfSync('sha256', key, '', context, 32));
  }

  #bytes(text: string | undefined, what: string): Buffer {
    if (text === undefined || !STRICT_BASE64.test(text))
      throw new Refusal(400, `failed to base64-decode ${what}`);
    return Buffer.from(text, 'base64');
  }

  #associated(fields: Record<string, string>): Buffer {
    if (fields['associated_data'] === undefined) return Buffer.alloc(0);
    const data = this.#bytes(fields['associated_data'], 'associated_data');
    return this.behaviour.ignoresAssociatedData ? Buffer.alloc(0) : data;
  }

  #random(request: FakeRequest, bytes: number): FakeReply {
    const { format } = this.#fields(request, ['format']);
    if (format !== 'base64' || !(bytes >= 1 && bytes <= 131_072))
      throw new Refusal(400, '"bytes" or "format"');
    return this.#reply({ random_bytes: randomBytes(bytes).toString('base64') });
  }

  #encrypt(request: FakeRequest): FakeReply {
    const fields = this.#fields(request, ['plaintext'], ['associated_data', 'context']);
    const plaintext = this.#bytes(fields['plaintext'], 'plaintext');
    // What goes without is the key of an envelope, 34 bytes as Tink writes it; all else must be bound.
    if (fields['associated_data'] === undefined && plaintext.length !== 34)
      throw new Refusal(400, 'this test wants associated_data');
    const nonce = randomBytes(12);
    const cipher = createCipheriv('aes-256-gcm', this.#key(fields['context']), nonce);
    cipher.setAAD(this.#associated(fields));
    const body = [nonce, cipher.update(plaintext), cipher.final()];
    const blob = Buffer.concat([...body, cipher.getAuthTag()]).toString('base64');
    return this.#reply({ ciphertext: `vault:v1:${blob}`, key_version: 1 });
  }

  #decrypt(request: FakeRequest): FakeReply {
    const fields = this.#fields(request, ['ciphertext'], ['associated_data', 'context']);
    const ciphertext = fields['ciphertext'] ?? '';
    if (!ciphertext.startsWith('vault:v')) throw new Refusal(400, 'invalid ciphertext: no prefix');
    if (!ciphertext.startsWith('vault:v1:')) throw new Refusal(400, 'invalid ciphertext: version is too new');
    if (!STRICT_BASE64.test(ciphertext.slice(9)))
      throw new Refusal(400, 'invalid ciphertext: could not decode base64');
    const blob = Buffer.from(ciphertext.slice(9), 'base64');
    if (blob.length < 29) throw new Refusal(400, 'invalid ciphertext: too short');
    const decipher = createDecipheriv('aes-256-gcm', this.#key(fields['context']), blob.subarray(0, 12));
    decipher.setAAD(this.#associated(fields)).setAuthTag(blob.subarray(-16));
    try {
      const plaintext = Buffer.concat([decipher.update(blob.subarray(12, -16)), decipher.final()]);
      return this.#reply({ plaintext: plaintext.toString('base64') });
    } catch {
      throw new Refusal(this.behaviour.tamperedStatus, 'cipher: message authentication failed');
    }
  }
}
