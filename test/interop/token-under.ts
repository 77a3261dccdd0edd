/** An instance whose token "remote" lies under a key service, and the unchanged program that uses it: pkcs11-tool. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import {
  compile,
  initInstance,
  MODULE,
  temporaryDirectory,
  type Instance,
  type Outcome,
} from '../e2e/instance.ts';

const LABEL = ['--token-label', 'remote'];

/** `provider`: the YAML of one provider, indented by four, named "service". Its leases last a second. `more`: of the token. */
export async function startUnder(t: Test, provider: string, more = '', cache = 'any: 1s'): Promise<Instance> {
  const token = `label: "remote"\n    provider: service\n    login: none\n    cache: { ${cache} }\n${more}`;
  const instance = initInstance(t, {
    edit: (yaml) =>
      yaml
        .replace(/label: "test"\n    provider: local\n/, token)
        .replace(/^providers:\n/m, `providers:\n  service:\n${provider}`),
  });
  await instance.start();
  return instance;
}

export function makePair(instance: Instance): Outcome {
  const pair = ['--keypairgen', '--key-type', 'EC:prime256v1', '--label', 'pair', '--id', '01'];
  return instance.pkcs11Tool(...LABEL, ...pair);
}

export function sign(t: Test, instance: Instance): Outcome {
  const dir = temporaryDirectory(t);
  const [data, signature] = [join(dir, 'data'), join(dir, 'signature')];
  writeFileSync(data, 'to be signed');
  const files = ['--input-file', data, '--output-file', signature];
  return instance.pkcs11Tool(...LABEL, '--sign', '--mechanism', 'ECDSA-SHA256', '--label', 'pair', ...files);
}

/** Uses the pair, breaks the service, sees a clear error once the lease is over, mends the service, uses the pair again. */
export async function outlives(
  t: Test,
  instance: Instance,
  name: string,
  fault: { break: () => unknown; mend: () => unknown },
): Promise<void> {
  const before = sign(t, instance);
  t.equal(before.status, 0, `before ${name}: ${before.stdout}${before.stderr}`);
  await fault.break();
  await new Promise((resolve) => setTimeout(resolve, 1200));
  const failed = sign(t, instance);
  t.not(failed.status, 0, `fails while ${name}`);
  t.match(failed.stdout + failed.stderr, /CKR_DEVICE_ERROR/, 'by a clear code');
  await fault.mend();
  // The agent knows within a second, a busy machine later.
  let after = sign(t, instance);
  for (let tries = 0; tries < 8 && after.status !== 0; tries++) {
    await new Promise((resolve) => setTimeout(resolve, 500));
    after = sign(t, instance);
  }
  t.equal(after.status, 0, `after ${name}: ${after.stdout}${after.stderr}`);
  const told = instance.log.split('\n').filter((line) => line.includes('the key service failed'));
  t.match(
    told[0],
    /"provider":"service","code":"provider_\w+","reason":"provider \\"service\\"/,
    'the log says so',
  );
  t.ok(told.length <= 4, `${told.length} lines, for no code more than one a minute`);
}

/**
 * What resident.c, which is the same for every provider, says of a token whose keys live in the service: by name, "ok" or "not offered" or what went
 * wrong.
 */
export async function runResident(t: Test, provider: string): Promise<Record<string, string>> {
  const program = compile(t, '../interop/resident.c');
  const resident = '    resident: { prefix: "proof-", create: true, destroy: true }\n';
  const instance = await startUnder(t, provider, resident);
  const { status, stdout, stderr } = instance.run(program, [MODULE, 'remote']);
  t.equal(status, 0, stderr);
  const lines = stdout.trim().split('\n');
  return Object.fromEntries(lines.map((line) => /^(.*?): (.*)$/.exec(line)?.slice(1) ?? ['', line]));
}

/** What every service has that makes pairs of P-256 and RSA-2048. */
export const PAIRS_OK = {
  'the token': 'ok',
  'EC P-256': 'ok',
  ECDSA_SHA256: 'ok',
  'ECDSA_SHA256 of 100000 bytes in parts': 'ok',
  'ECDSA of a digest': 'ok',
  'RSA-2048 for signing': 'ok',
  SHA256_RSA_PKCS: 'ok',
  'RSA_PKCS of a DigestInfo': 'ok',
  SHA256_RSA_PKCS_PSS: 'ok',
  'RSA-2048 for decryption': 'ok',
  RSA_PKCS_OAEP: 'ok',
  'keys wrapped by RSA_PKCS_OAEP': 'ok',
  'keys wrapped by RSA_AES_KEY_WRAP': 'ok',
} as const;
