/** The public half of a named key, as SubjectPublicKeyInfo, from its description in the Transit dialect. */
import { createPublicKey, type KeyObject } from 'node:crypto';
import { SidekeyError } from '../errors.ts';
import { jsonAt, parseJson, textAt } from '../providers/http/json-secret.ts';
import type { Invocation } from './command.ts';
import { callTransit } from './transit-client.ts';

/** What precedes the 32 bytes of the key (RFC 8410, 4), which are all that Vault's format has. */
const RAW_PREFIXES: Readonly<Record<string, string>> = {
  ed25519: '302a300506032b6570032100',
  x25519: '302a300506032b656e032100',
};

export interface PublicKey {
  /** The Transit name of the type: rsa-2048, ecdsa-p256, ed25519. */
  readonly type: string;
  readonly version: number;
  readonly key: KeyObject;
}

function readPublicKey(type: string, text: string): KeyObject {
  const prefix = RAW_PREFIXES[type];
  if (prefix === undefined) return createPublicKey(text);
  const der = Buffer.concat([Buffer.from(prefix, 'hex'), Buffer.from(text, 'base64')]);
  return createPublicKey({ key: der, format: 'der', type: 'spki' });
}

/**
 * `version` null: the latest. Rejects with request_refused if there is no such key, or it has no public half.
 */
export async function fetchPublicKey(
  invocation: Invocation,
  name: string,
  version: number | null = null,
): Promise<PublicKey> {
  const data = jsonAt(parseJson(await callTransit(invocation, 'GET', ['keys', name])), 'data');
  const type = textAt(data, 'type');
  const wanted = version ?? Number(jsonAt(data, 'latest_version'));
  const text = textAt(data, 'keys', String(wanted), 'public_key');
  if (text === '')
    throw new SidekeyError(
      'request_refused',
      `key ${name} (${type}) has no public half in version ${wanted}`,
    );
  return { type, version: wanted, key: readPublicKey(type, text) };
}
