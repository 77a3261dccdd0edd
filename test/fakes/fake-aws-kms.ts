/**
 * A strict AWS KMS: verifies Signature Version 4 by its own arithmetic, every header and every field, and encrypts by AES-256-GCM
 * with the encryption context as associated data. Key states refuse as the service's do, which moto's do not.
 */
import { createCipheriv, createDecipheriv, createHash, randomBytes, randomUUID } from 'node:crypto';
import { FakeAwsKeys } from './fake-aws-keys.ts';
import type { FakeReply, FakeRequest } from './fake-service.ts';
import { checkSignature } from './sigv4.ts';

class Refusal extends Error {
  readonly type: string;
  readonly status: number;

  constructor(type: string, message = '', status = 400) {
    super(message);
    this.type = type;
    this.status = status;
  }
}

export interface AwsBehaviour {
  region: string;
  accessKeyId: string;
  secret: string;
  sessionToken: string | null;
  keyState: 'Enabled' | 'Disabled' | 'PendingDeletion';
  allows: boolean;
  grantToken: string | null;
  /** By how much this service's clock is ahead. */
  aheadMs: number;
  /** So many random bytes are missing. */
  randomShort: number;
}

function equals(actual: unknown, expected: unknown, what: string): void {
  if (actual !== expected) throw new Refusal('ValidationException', `${what} is ${String(actual)}`);
}

export class FakeAwsKms {
  readonly keyId: string;
  /** Beside the KEK. */
  readonly keys = new FakeAwsKeys(() => this.behaviour.region);
  behaviour: AwsBehaviour;

  /** A multi-Region key is the same in each region that has it. */
  constructor(region = 'eu-central-1', keyId = 'mrk-0123456789abcdef0123456789abcdef') {
    this.keyId = keyId;
    this.behaviour = {
      region,
      accessKeyId: 'AKIAEXAMPLE',
      secret: 'secret-of-the-example',
      sessionToken: null,
      keyState: 'Enabled',
      allows: true,
      grantToken: null,
      aheadMs: 0,
      randomShort: 0,
    };
  }

  get arn(): string {
    return `arn:aws:kms:${this.behaviour.region}:111122223333:key/${this.keyId}`;
  }

  readonly handle = (request: FakeRequest): FakeReply => {
    const now = Date.now() + this.behaviour.aheadMs;
    const headers = { 'x-amzn-requestid': randomUUID(), date: new Date(now).toUTCString() };
    try {
      this.#verify(request, now);
      return { status: 200, headers, body: this.#answer(request) };
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      const body = { __type: `com.amazonaws.kms#${error.type}`, message: error.message };
      return { status: error.status, headers, body };
    }
  };

  #verify(request: FakeRequest, nowMs: number): void {
    const { region, ...session } = this.behaviour;
    const wrong = checkSignature(request, {
      region,
      service: 'kms',
      signed: ['host', 'x-amz-date', 'x-amz-target', 'content-type'],
      nowMs,
      session: (id) => (id === session.accessKeyId ? session : undefined),
    });
    if (wrong !== null) throw new Refusal(...wrong);
  }

  #answer({ method, url, headers, body }: FakeRequest): object {
    equals(`${method} ${url.pathname}${url.search}`, 'POST /', 'the request');
    equals(headers['content-type'], 'application/x-amz-json-1.1', 'content-type');
    const fields = JSON.parse(body.toString()) as Record<string, unknown>;
    const { grantToken, allows } = this.behaviour;
    const isGranted =
      grantToken !== null && JSON.stringify(fields['GrantTokens']) === JSON.stringify([grantToken]);
    if (!allows && !isGranted)
      throw new Refusal(
        'AccessDeniedException',
        'User: arn:aws:iam::111122223333:user/app is not authorized',
      );
    const operation = headers['x-amz-target'] ?? '';
    const answer = this.keys.answer(operation.replace('TrentService.', ''), fields);
    if (answer !== null && 'refused' in answer) throw new Refusal(answer.refused);
    if (answer !== null) return answer;
    if (operation === 'TrentService.GenerateRandom') return this.#random(fields);
    if (operation === 'TrentService.DescribeKey') return this.#describe(fields);
    if (operation === 'TrentService.GenerateDataKey') return this.#generate(fields);
    if (operation === 'TrentService.Encrypt') return this.#encrypt(fields);
    if (operation === 'TrentService.Decrypt') return this.#decrypt(fields);
    throw new Refusal('UnknownOperationException', operation);
  }

  #allowFields(fields: object, names: readonly string[]): void {
    for (const name of Object.keys(fields))
      if (!['KeyId', 'GrantTokens', ...names].includes(name)) throw new Refusal('ValidationException', name);
  }

  #findKey(fields: Record<string, unknown>): void {
    const names = [this.keyId, this.arn, 'alias/sidekey'];
    if (!names.includes(String(fields['KeyId']))) throw new Refusal('NotFoundException', 'Invalid keyId');
  }

  #useKey(fields: Record<string, unknown>): void {
    this.#findKey(fields);
    const { keyState } = this.behaviour;
    if (keyState === 'Disabled') throw new Refusal('DisabledException', `${this.arn} is disabled.`);
    if (keyState !== 'Enabled')
      throw new Refusal('KMSInvalidStateException', `${this.arn} is pending deletion.`);
  }

  #describe(fields: Record<string, unknown>): object {
    this.#allowFields(fields, []);
    this.#findKey(fields);
    const { keyState: KeyState } = this.behaviour;
    return { KeyMetadata: { Arn: this.arn, KeyId: this.keyId, KeyState, KeySpec: 'SYMMETRIC_DEFAULT' } };
  }

  #random({ NumberOfBytes: bytes, ...others }: Record<string, unknown>): object {
    for (const name of Object.keys(others)) throw new Refusal('ValidationException', name);
    if (typeof bytes !== 'number' || !(bytes >= 1 && bytes <= 1024))
      throw new Refusal('ValidationException', `NumberOfBytes ${String(bytes)}`);
    return { Plaintext: randomBytes(bytes - this.behaviour.randomShort).toString('base64') };
  }

  #context(fields: Record<string, unknown>): Buffer {
    const given = Object.entries((fields['EncryptionContext'] ?? {}) as Record<string, unknown>);
    if (given.length === 0) throw new Refusal('ValidationException', 'no encryption context');
    for (const [name, value] of given)
      if (typeof value !== 'string' || value === '')
        throw new Refusal('ValidationException', `context ${name}`);
    return Buffer.from(JSON.stringify(given.sort(([a], [b]) => (a < b ? -1 : 1))));
  }

  /** The same for every start. */
  get #key(): Buffer {
    return createHash('sha256').update(this.keyId).digest();
  }

  #generate(fields: Record<string, unknown>): object {
    this.#allowFields(fields, ['KeySpec', 'EncryptionContext']);
    equals(fields['KeySpec'], 'AES_256', 'KeySpec');
    this.#useKey(fields);
    const [plaintext, nonce] = [randomBytes(32), randomBytes(12)];
    const cipher = createCipheriv('aes-256-gcm', this.#key, nonce).setAAD(this.#context(fields));
    const blob = [nonce, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()];
    return {
      CiphertextBlob: Buffer.concat(blob).toString('base64'),
      Plaintext: plaintext.toString('base64'),
      KeyId: this.arn,
    };
  }

  /** Of envelopes' keys alone, which have no context: 34 bytes, as Tink writes them. */
  #encrypt(fields: Record<string, unknown>): object {
    this.#allowFields(fields, ['Plaintext', 'EncryptionAlgorithm']);
    this.#useKey(fields);
    equals(fields['EncryptionAlgorithm'], 'SYMMETRIC_DEFAULT', 'EncryptionAlgorithm');
    const plaintext = Buffer.from(String(fields['Plaintext']), 'base64');
    equals(plaintext.length, 34, 'Plaintext');
    const nonce = randomBytes(12);
    const cipher = createCipheriv('aes-256-gcm', this.#key, nonce);
    const blob = Buffer.concat([nonce, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
    return { CiphertextBlob: blob.toString('base64'), KeyId: this.arn };
  }

  #decrypt(fields: Record<string, unknown>): object {
    this.#allowFields(fields, ['CiphertextBlob', 'EncryptionContext', 'EncryptionAlgorithm']);
    this.#useKey(fields);
    equals(fields['EncryptionAlgorithm'], 'SYMMETRIC_DEFAULT', 'EncryptionAlgorithm');
    const blob = Buffer.from(String(fields['CiphertextBlob']), 'base64');
    if (blob.length < 29) throw new Refusal('InvalidCiphertextException');
    const decipher = createDecipheriv('aes-256-gcm', this.#key, blob.subarray(0, 12));
    if (fields['EncryptionContext'] !== undefined) decipher.setAAD(this.#context(fields));
    decipher.setAuthTag(blob.subarray(-16));
    try {
      const plaintext = Buffer.concat([decipher.update(blob.subarray(12, -16)), decipher.final()]);
      return {
        KeyId: this.arn,
        Plaintext: plaintext.toString('base64'),
        EncryptionAlgorithm: 'SYMMETRIC_DEFAULT',
      };
    } catch {
      throw new Refusal('InvalidCiphertextException');
    }
  }
}
