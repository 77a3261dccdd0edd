/** The two services without an HTTP API: a strict KMIP server over mutual TLS, and SoftHSM2 behind a library that fails on demand. */
import { writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Test } from 'tap';
import { PKCS11_HSM } from '../../../src/providers/hsm/hsm-kind.ts';
import { KMIP } from '../../../src/providers/kmip/kmip-kind.ts';
import { FakeKmip, type KmipScript } from '../../fakes/fake-kmip.ts';
import { FakeKmipKeys } from '../../fakes/fake-kmip-keys.ts';
import { HSM_PIN, SoftHsm } from '../softhsm.ts';
import {
  depsIn,
  makeName,
  type Authority,
  type Cast,
  type Casts,
  type FaultScene,
  type Times,
} from './scene.ts';

/** A Response Message whose only item is longer than the message. */
const HALF = Buffer.from('42007b010000001042007a010000004000000000000000ff', 'hex');
const HEAD = HALF.subarray(0, 12);

interface KmipStage {
  readonly server: FakeKmip;
  readonly held: FakeKmipKeys;
  readonly kek: string;
  /** What the server does instead of answering. */
  suffer(script: KmipScript | null): void;
}

function ofKmip({ server, held, kek, suffer }: KmipStage): Casts {
  const script =
    (wanted: KmipScript): Cast =>
    () => {
      suffer(wanted);
      return () => {
        suffer(null);
        for (const socket of server.sockets) socket.destroy();
      };
    };
  const trouble =
    (reason: NonNullable<FakeKmipKeys['trouble']>): Cast =>
    () => {
      held.trouble = reason;
      return () => void (held.trouble = null);
    };
  return {
    'is silent': script(() => undefined),
    'hangs after the head of its answer': script((socket) => socket.write(HEAD)),
    'resets the connection': script(() => server.reset()),
    'resets it amid the answer': script((socket) => socket.write(HEAD, () => socket.destroy())),
    'gives half an answer as a whole one': script((socket) => socket.write(HALF)),
    'asks for fewer requests (429)': trouble('ServerLimitExceeded'),
    'is in trouble (503)': trouble('InternalServerError'),
    'has the key disabled': () => {
      held.setState(kek, 'Deactivated');
      return () => held.setState(kek, 'Active');
    },
    'takes two seconds for every answer': script((socket, request) =>
      sleep(2000).then(() => held.script(socket, request)),
    ),
  };
}

/** Faults of connections: each closes those that are open. */
function ofConnections(server: FakeKmip, authority: Authority, name: ReturnType<typeof makeName>): Casts {
  const reopen = async (shown = server.certificates.server): Promise<void> => {
    await server.close();
    await server.open(shown);
  };
  return {
    'refuses connections': async () => {
      await server.close();
      return () => server.open();
    },
    'shows a certificate past its end': async () => {
      await reopen(authority.expired);
      return () => reopen();
    },
    'shows a certificate of another authority': async () => {
      await reopen(authority.foreign);
      return () => reopen();
    },
    'has a name that does not resolve': async () => {
      name.vanish();
      await reopen();
      return () => name.appear();
    },
  };
}

export async function kmipScene(t: Test, authority: Authority, times: Times): Promise<FaultScene> {
  const held = new FakeKmipKeys({ major: 2, minor: 1 });
  let instead: KmipScript | null = null;
  const script: KmipScript = (socket, request) => (instead ?? held.script)(socket, request);
  const server = await FakeKmip.start(authority, script);
  const name = makeName();
  const dir = t.testdir();
  const { ca, client } = authority;
  const files = { 'ca-file': ca, 'certificate-file': client.certificate, 'key-file': client.key };
  const options = { kind: 'kmip', host: name.name, port: server.port, ...files };
  const create = (keyId: string, more: object) =>
    KMIP.create(KMIP.schema.parse({ ...options, 'key-id': keyId, ...more }), depsIn(dir, 'kmip'));
  const maker = create('none', {});
  const wanted = { name: 'kek', spec: 'aes-256', sizeBits: 0, ckaId: Buffer.alloc(0) } as const;
  const kek = (await maker.resident?.create({ ...wanted, uses: ['decrypt'] }))?.id ?? '';
  await maker.close();
  const service = create(kek, times);
  t.teardown(async () => {
    await service.close();
    await server.close();
  });
  const stage = { server, held, kek, suffer: (wanted: KmipScript | null) => void (instead = wanted) };
  return { service, casts: { ...ofKmip(stage), ...ofConnections(server, authority, name) } };
}

/** `module`: path of the compiled hsm-fault.c. */
export function hsmScene(t: Test, module: string, times: Times): FaultScene {
  const hsm = new SoftHsm(t);
  hsm.writeKey('kek-1');
  const options = {
    kind: 'pkcs11-hsm',
    module,
    'token-label': 'kek',
    'key-label': 'kek-1',
    'pin-file': hsm.pinFile,
    environment: hsm.environment,
    ...times,
  };
  const service = PKCS11_HSM.create(PKCS11_HSM.schema.parse(options), depsIn(hsm.dir, 'pkcs11-hsm'));
  t.teardown(() => service.close());
  const fault =
    (name: string): Cast =>
    () => {
      hsm.fail(name);
      return () => hsm.mend();
    };
  return {
    service,
    casts: {
      'refuses connections': fault('absent'),
      'is silent': fault('hang'),
      'resets the connection': fault('crash'),
      'is in trouble (503)': fault('device-error'),
      // The library is initialised again, and logs in again.
      'takes the credentials for expired': () => {
        writeFileSync(hsm.pinFile, '111111');
        hsm.fail('crash-once');
        return () => writeFileSync(hsm.pinFile, HSM_PIN);
      },
      'has the key disabled': () => {
        hsm.deleteKey('kek-1');
        return () => hsm.writeKey('kek-1');
      },
      'takes two seconds for every answer': fault('slow'),
    },
  };
}
