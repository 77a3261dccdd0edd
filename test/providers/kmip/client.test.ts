import { randomBytes } from 'node:crypto';
import t from 'tap';
import { KmipClient, type KmipCaller, type KmipPort } from '../../../src/providers/kmip/client.ts';
import type { KmipConnection } from '../../../src/providers/kmip/connection.ts';
import { createSecretKey } from '../../../src/providers/kmip/key-operations.ts';
import { KmipTransportError, toTransportError } from '../../../src/providers/kmip/fault.ts';
import * as message from '../../../src/providers/kmip/message.ts';
import type { KmipVersion } from '../../../src/providers/kmip/message.ts';
import { createKmipKeyService } from '../../../src/providers/kmip/kmip-key-service.ts';
import { decryptGcm, encryptGcm, getState } from '../../../src/providers/kmip/operations.ts';
import { OPERATION, RESULT_REASON, TAG } from '../../../src/providers/kmip/tables.ts';
import { decodeTtlv, encodeTtlv, type TtlvItem } from '../../../src/providers/kmip/ttlv.ts';

const { bytes, enumeration, integer, structure, text } = message;

function header(version: KmipVersion): TtlvItem {
  return structure(TAG.ResponseHeader, message.encodeVersion(version), integer(TAG.BatchCount, 1));
}

function yes(operation: number, ...payload: TtlvItem[]): Buffer {
  const status = [enumeration(TAG.Operation, operation), enumeration(TAG.ResultStatus, 0)];
  const item = structure(TAG.BatchItem, ...status, structure(TAG.ResponsePayload, ...payload));
  return encodeTtlv(structure(TAG.ResponseMessage, header({ major: 1, minor: 4 }), item));
}

function no(reason: number): Buffer {
  const status = [enumeration(TAG.ResultStatus, 1), enumeration(TAG.ResultReason, reason)];
  const item = structure(TAG.BatchItem, ...status, text(TAG.ResultMessage, 'because'));
  return encodeTtlv(structure(TAG.ResponseMessage, header({ major: 1, minor: 0 }), item));
}

interface Seen {
  readonly version: string;
  readonly operation: number;
  readonly payload: message.Payload;
}

function see(request: Buffer): Seen {
  const top = decodeTtlv(Buffer.from(request));
  const all = top.type === 'structure' ? top.value : [];
  const version = message.decodeVersion(
    message.findStructure(message.findStructure(all, TAG.RequestHeader), TAG.ProtocolVersion),
  );
  const item = message.findStructure(all, TAG.BatchItem);
  return {
    version: version ? message.formatVersion(version) : '',
    operation: message.findNumber(item, TAG.Operation) ?? 0,
    payload: message.findStructure(item, TAG.RequestPayload),
  };
}

type Answer = Buffer | Error;

/** Gives these answers in order, and repeats the last one; time passes only while the client sleeps. */
class Script implements KmipPort {
  readonly seen: Seen[] = [];
  readonly sent: Buffer[] = [];
  readonly given: Buffer[] = [];
  readonly pauses: number[] = [];
  readonly answers: Answer[];
  versions: KmipVersion[] | number = [{ major: 1, minor: 4 }];
  closed = 0;
  now = 0;

  constructor(...answers: Answer[]) {
    this.answers = answers;
  }

  #answer(operation: number): Answer {
    if (operation !== OPERATION.DiscoverVersions)
      return (this.answers.length > 1 && this.answers.shift()) || this.answers[0] || no(1);
    if (typeof this.versions === 'number') return no(this.versions);
    return yes(operation, ...this.versions.map(message.encodeVersion));
  }

  use<T>(_end: number, _tryMs: number, work: (connection: KmipConnection) => Promise<T>): Promise<T> {
    const exchange = async (request: Buffer): Promise<Buffer> => {
      const seen = see(request);
      this.seen.push(seen);
      this.sent.push(request);
      const answer = this.#answer(seen.operation);
      if (!Buffer.isBuffer(answer)) throw answer;
      const given = Buffer.from(answer);
      this.given.push(given);
      return given;
    };
    return work({ exchange, close: () => this.closed++ } as unknown as KmipConnection);
  }

  close(): void {}

  client(newest: KmipVersion = { major: 2, minor: 1 }): KmipCaller {
    const client = new KmipClient({
      provider: 'vault of keys',
      pool: this,
      newest,
      timeoutMs: 8000,
      tryMs: 3000,
      clock: { now: () => this.now, monotonic: () => this.now },
      sleep: async (ms) => {
        this.pauses.push(ms);
        this.now += ms;
      },
      random: randomBytes,
    });
    return client.begin();
  }

  calls(operation: number): number {
    return this.seen.filter((each) => each.operation === operation).length;
  }
}

const input = { keyId: 'kek-7', iv: Buffer.alloc(12, 1), aad: Buffer.from('aad') };
const state = (value: number): Buffer =>
  yes(
    OPERATION.GetAttributes,
    structure(TAG.Attribute, text(TAG.AttributeName, 'State'), enumeration(TAG.AttributeValue, value)),
  );
const REFUSED = { code: 'provider_refused' };
const UNREACHABLE = { code: 'provider_unreachable' };

for (const reason of [
  RESULT_REASON.InternalServerError,
  RESULT_REASON.ServerLimitExceeded,
  RESULT_REASON.GeneralFailure,
])
  t.test(`reason 0x${reason.toString(16)} is worth four tries, with growing pauses`, async (t) => {
    const script = new Script(no(reason));
    await t.rejects(encryptGcm(script.client(), input, Buffer.alloc(64)), {
      ...UNREACHABLE,
      message: /provider "vault of keys" \(key kek-7\), Encrypt: \w+: because/,
    });
    t.equal(script.calls(OPERATION.Encrypt), 4);
    t.ok(script.pauses.every((pause, i) => pause <= 100 * 2 ** i));
    const healed = new Script(no(reason), state(2));
    t.match(await getState(healed.client(), 'kek-7'), { state: 2 });
  });

t.test('a Decrypt that fails is a no, at once', async (t) => {
  for (const reason of [RESULT_REASON.GeneralFailure, RESULT_REASON.InternalServerError]) {
    const script = new Script(no(reason));
    await t.rejects(decryptGcm(script.client(), input, Buffer.alloc(64), Buffer.alloc(16)), REFUSED);
    t.equal(script.calls(OPERATION.Decrypt), 1);
  }
});

t.test('a Decrypt that the server has no room for is tried again', async (t) => {
  const script = new Script(no(RESULT_REASON.ServerLimitExceeded));
  await t.rejects(decryptGcm(script.client(), input, Buffer.alloc(64), Buffer.alloc(16)), UNREACHABLE);
  t.equal(script.calls(OPERATION.Decrypt), 4);
});

t.test('every other reason is a no, at once', async (t) => {
  for (const reason of [1, 3, 5, 7, 0x0c, 0x24, 0x36, 0x37, 0x39, 0x43, 0x4b, 0x8fff]) {
    const script = new Script(no(reason));
    await t.rejects(encryptGcm(script.client(), input, Buffer.alloc(64)), REFUSED);
    t.equal(script.calls(OPERATION.Encrypt), 1, `0x${reason.toString(16)}`);
  }
});

t.test('a lost connection is tried again, four times', async (t) => {
  const script = new Script(new KmipTransportError('reset'), state(2));
  t.match(await getState(script.client(), 'kek-7'), { state: 2 });
  const dead = new Script(new KmipTransportError('reset'));
  await t.rejects(getState(dead.client(), 'kek-7'), UNREACHABLE);
  t.equal(dead.calls(OPERATION.GetAttributes), 4);
});

t.test('a server that was exchanged is asked for its versions anew, once', async (t) => {
  for (const reason of [RESULT_REASON.UnsupportedProtocolVersion, RESULT_REASON.InvalidMessage]) {
    const script = new Script(no(reason), state(2));
    t.match(await getState(script.client(), 'kek-7'), { state: 2 });
    t.equal(script.calls(OPERATION.DiscoverVersions), 2);
    const stubborn = new Script(no(reason));
    await t.rejects(getState(stubborn.client(), 'kek-7'), REFUSED);
    t.equal(stubborn.calls(OPERATION.GetAttributes), 2);
  }
});

t.test('a data key that could not be wrapped is wiped', async (t) => {
  const keys: Buffer[] = [];
  const random = (length: number): Buffer => {
    const made = randomBytes(length);
    if (length === 32) keys.push(made);
    return made;
  };
  const [by, provider] = [new Script(no(RESULT_REASON.PermissionDenied)).client(), 'vault of keys'];
  const client = { begin: () => by, close: () => undefined } as unknown as KmipClient;
  const service = createKmipKeyService({
    provider,
    client,
    keyId: 'kek-7',
    macKeyId: null,
    atServer: false,
    random,
  });
  await t.rejects(service.generateDataKey('a'), REFUSED);
  t.strictSame(keys, [Buffer.alloc(32)]);
});

t.test('a refused certificate is a no', async (t) => {
  const alert = Object.assign(new Error('alert'), { code: 'ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED' });
  const script = new Script(toTransportError(alert, 'the connection failed'));
  await t.rejects(getState(script.client(), 'kek-7'), REFUSED);
  t.equal(script.calls(OPERATION.GetAttributes), 1);
});

t.test('the newest common version is spoken', async (t) => {
  const theirs = [2, 1].flatMap((major) => [1, 0, 4, 3, 2].map((minor) => ({ major, minor })));
  for (const [newest, expected] of [
    [{ major: 2, minor: 1 }, '2.1'],
    [{ major: 2, minor: 0 }, '2.0'],
    [{ major: 1, minor: 3 }, '1.3'],
  ] as const) {
    const script = new Script(state(2));
    script.versions = theirs;
    const { version } = await getState(script.client(newest), 'kek-7').catch(() => ({ version: null }));
    t.equal(script.seen[0]?.version, '1.1', 'Discover Versions');
    t.equal(script.seen[1]?.version, expected);
    if (version) t.equal(message.formatVersion(version), expected);
  }
});

t.test('2.1 names an attribute by its tag and answers under it', async (t) => {
  const script = new Script(
    yes(OPERATION.GetAttributes, structure(TAG.Attributes, enumeration(TAG.State, 2))),
  );
  script.versions = [{ major: 2, minor: 1 }];
  t.match(await getState(script.client(), 'kek-7'), { state: 2, version: { major: 2, minor: 1 } });
  t.equal(message.findNumber(script.seen[1]?.payload ?? [], TAG.AttributeReference), TAG.State);
});

t.test('a server of 1.0 is told apart from one that is broken', async (t) => {
  for (const reason of [RESULT_REASON.OperationNotSupported, RESULT_REASON.InvalidMessage]) {
    const old = new Script(state(2));
    old.versions = reason;
    t.match(await getState(old.client(), 'kek-7'), { version: { major: 1, minor: 0 } });
    await t.rejects(encryptGcm(old.client(), input, Buffer.alloc(64)), {
      ...REFUSED,
      message: /needs KMIP 1.4/,
    });
  }
  const foreign = new Script(state(2));
  foreign.versions = [{ major: 9, minor: 0 }];
  await t.rejects(getState(foreign.client(), 'kek-7'), { ...REFUSED, message: /UnsupportedProtocolVersion/ });
});

t.test('an answer that is no KMIP ends the connection', async (t) => {
  const other = yes(OPERATION.MAC);
  const empty = yes(OPERATION.GetAttributes);
  for (const answer of [Buffer.from('HTTP/1.1 400 Bad'), other, empty, other.subarray(0, -8)]) {
    const script = new Script(answer);
    await t.rejects(getState(script.client(), 'kek-7'), UNREACHABLE);
    t.equal(script.closed, 4);
  }
  const codec = new Script(no(RESULT_REASON.CodecError));
  await t.rejects(getState(codec.client(), 'kek-7'), REFUSED);
  t.equal(codec.closed, 1);
});

t.test('an answer to another operation, one that is pending, and two at once are not believed', async (t) => {
  const payload = structure(TAG.ResponsePayload, structure(TAG.Attributes, enumeration(TAG.State, 2)));
  const item = (operation: number, status: number) =>
    structure(
      TAG.BatchItem,
      enumeration(TAG.Operation, operation),
      enumeration(TAG.ResultStatus, status),
      payload,
    );
  const answer = (...items: TtlvItem[]) =>
    encodeTtlv(structure(TAG.ResponseMessage, header({ major: 2, minor: 1 }), ...items));
  const good = item(OPERATION.GetAttributes, 0);
  const asked = (bytes: Buffer) => {
    const script = new Script(bytes);
    script.versions = [{ major: 2, minor: 1 }];
    return getState(script.client(), 'kek-7');
  };
  t.match(await asked(answer(good)), { state: 2 });
  for (const bad of [
    answer(item(OPERATION.MAC, 0)),
    answer(item(OPERATION.GetAttributes, 2)),
    answer(good, good),
    answer(),
  ])
    await t.rejects(asked(bad), UNREACHABLE);
});

t.test('what makes a key is not asked for twice, for there might be two then', async (t) => {
  for (const answer of [no(RESULT_REASON.InternalServerError), new KmipTransportError('reset')]) {
    const script = new Script(answer);
    await t.rejects(createSecretKey(script.client(), 'new', []), UNREACHABLE);
    t.equal(script.calls(OPERATION.Create), 1);
  }
});

t.test('the answer with a key is wiped, and the key is a copy', async (t) => {
  const key = Buffer.alloc(64, 0x5a);
  const script = new Script(yes(OPERATION.Decrypt, bytes(TAG.Data, key)));
  const opened = await decryptGcm(script.client(), input, Buffer.alloc(64), Buffer.alloc(16));
  t.ok(opened.equals(key));
  t.notOk(script.given.some((answer) => answer.includes(key.subarray(0, 16))));
});
