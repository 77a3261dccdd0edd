/**
 * The unchanged program on a token that shows the keys of a key service: pkcs11-tool makes a key pair there, finds it, signs with it, reads its
 * public half and destroys it. Only the provider's part of the configuration differs between services.
 */
import { createPublicKey, verify, type KeyObject } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { initInstance, temporaryDirectory, type Instance } from '../e2e/instance.ts';

const TOKEN = ['--token-label', 'remote'];

/** `provider`: the YAML of one provider, indented by four, named "service". */
export async function startResident(t: Test, provider: string): Promise<Instance> {
  const resident = 'resident: { prefix: app-, refresh: 1s, create: true, destroy: true }';
  const token = `label: "remote"\n    provider: service\n    login: none\n    ${resident}\n`;
  const instance = initInstance(t, {
    edit: (yaml) =>
      yaml
        .replace(/label: "test"\n    provider: local\n/, token)
        .replace(/^providers:\n/m, `providers:\n  service:\n${provider}`),
  });
  await instance.start();
  return instance;
}

export interface PairProgram {
  /** As pkcs11-tool calls them. */
  readonly keyType: string;
  readonly mechanism: string;
  readonly hash: string;
}

export async function usePair(t: Test, instance: Instance, program: PairProgram): Promise<void> {
  const dir = temporaryDirectory(t);
  const [data, signature, info] = ['data', 'signature', 'info'].map((name) => join(dir, name)) as [
    string,
    string,
    string,
  ];
  writeFileSync(data, 'to be signed');
  const run = (what: string, ...args: string[]): string => {
    const { status, stdout, stderr } = instance.pkcs11Tool(...TOKEN, ...args);
    t.equal(status, 0, `${what}: ${stdout}${stderr}`);
    return stdout;
  };
  run('makes a pair', '--keypairgen', '--key-type', program.keyType, '--label', 'pair', '--usage-sign');
  t.match(run('lists it', '--list-objects'), /Private Key Object[^]*label: +pair/);
  run('reads the public key', '--read-object', '--type', 'pubkey', '--label', 'pair', '-o', info);
  const key: KeyObject = createPublicKey({ key: readFileSync(info), format: 'der', type: 'spki' });
  const files = ['--input-file', data, '--output-file', signature];
  run('signs', '--sign', '--mechanism', program.mechanism, '--label', 'pair', ...files);
  const dsaEncoding = 'ieee-p1363';
  const isGood = verify(program.hash, readFileSync(data), { key, dsaEncoding }, readFileSync(signature));
  t.ok(isGood, 'the signature is of the data, by the key that was read');
  run('destroys it', '--delete-object', '--type', 'privkey', '--label', 'pair');
  t.notMatch(run('lists nothing', '--list-objects'), /pair/);
}
