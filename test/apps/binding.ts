/**
 * What the tests of bindings share: a program of ./bindings in each language makes keys and uses them, all print the same report, and
 * Node, which has no token, checks what came out.
 */
import { spawnSync } from 'node:child_process';
import { createDecipheriv, createHmac, createPublicKey, verify, type KeyObject } from 'node:crypto';
import { join } from 'node:path';
import type { Test } from 'tap';
import { MODULE, PIN, type Instance } from '../e2e/instance.ts';

export const BINDINGS = join(import.meta.dirname, 'bindings');
const DATA = Buffer.from('signed by a token');
const AES = Buffer.from(Array.from({ length: 32 }, (_, i) => i));
const P256 = '3059301306072a8648ce3d020106082a8648ce3d030107034200';

/** Bytes are in hex. A binding that hands out public keys gives them whole (`spki`), with ECDSA's signatures as X.509 has them. */
export interface Report {
  readonly data: string;
  readonly refused: string;
  readonly rsa: { n?: string; e?: string; spki?: string; signature: string };
  readonly ec: { point?: string; spki?: string; signature: string };
  readonly gcm: string;
  readonly opened: string;
  readonly hmac: string;
  readonly [more: string]: unknown;
}

export function report(t: Test, { socket }: Instance, program: string, ...args: string[]): Report {
  const env = { ...process.env, SIDEKEY_SOCKET: socket };
  const words = [...args, MODULE, 'test', PIN];
  const { status, stdout, stderr } = spawnSync(program, words, { env, encoding: 'utf8', timeout: 60_000 });
  t.equal(status, 0, stderr);
  const said: Report = JSON.parse(stdout);
  t.equal(said.data, DATA.toString('hex'));
  return said;
}

const bytes = (hex: string | undefined): Buffer => Buffer.from(hex ?? '', 'hex');

function rsaKey({ n, e, spki }: Report['rsa']): KeyObject {
  if (spki !== undefined) return createPublicKey({ key: bytes(spki), format: 'der', type: 'spki' });
  const [modulus, exponent] = [bytes(n).toString('base64url'), bytes(e).toString('base64url')];
  return createPublicKey({ key: { kty: 'RSA', n: modulus, e: exponent }, format: 'jwk' });
}

/** CKA_EC_POINT is an OCTET STRING of 65 octets: two of DER before the point. */
function ecKey({ point, spki }: Report['ec']): KeyObject {
  const key = bytes(spki ?? `${P256}${point?.slice(4)}`);
  return createPublicKey({ key, format: 'der', type: 'spki' });
}

export function checkSignatures(t: Test, { rsa, ec }: Report): void {
  t.ok(verify('sha256', DATA, rsaKey(rsa), bytes(rsa.signature)), 'RSA');
  const dsaEncoding = ec.spki === undefined ? 'ieee-p1363' : 'der';
  t.ok(verify('sha256', DATA, { key: ecKey(ec), dsaEncoding }, bytes(ec.signature)), 'ECDSA');
  t.notOk(verify('sha256', Buffer.from('else'), rsaKey(rsa), bytes(rsa.signature)));
}

export function checkAll(t: Test, said: Report): void {
  t.match(said.refused, /CKR_PIN_INCORRECT/);
  checkSignatures(t, said);
  const sealed = bytes(said.gcm);
  const open = createDecipheriv('aes-256-gcm', AES, AES.subarray(0, 12)).setAAD(Buffer.from('aad'));
  open.setAuthTag(sealed.subarray(-16));
  t.ok(Buffer.concat([open.update(sealed.subarray(0, -16)), open.final()]).equals(DATA), 'AES-GCM');
  t.equal(said.opened, said.data);
  t.equal(said.hmac, createHmac('sha256', 'a key for a code').update(DATA).digest('hex'));
}
