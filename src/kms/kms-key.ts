/**
 * The key behind KMS v2: one named AES key of one token. A key_id contains token, key, version and that
 * version's creation time, so that a key destroyed and recreated is a different one; it is also the
 * associated data. A ciphertext is nonce, AES-256-GCM ciphertext and tag.
 */
import type { Peer } from '../access/peer.ts';
import { gcmMechanism, GCM_NONCE_BYTES, GCM_TAG_BYTES } from '../api/mechanism.ts';
import { SidekeyError } from '../errors.ts';
import type { NamedKey, NamedKeyVersion, TokenService } from '../tokens/service.ts';

export interface KmsKeyOptions {
  readonly tokens: TokenService;
  readonly token: string;
  readonly key: string;
  readonly random: (bytes: number) => Buffer;
}

export class KmsKey {
  readonly #options: KmsKeyOptions;

  constructor(options: KmsKeyOptions) {
    this.#options = options;
  }

  /**
   * key_handle_invalid if the peer may not use it, or it does not exist; function_not_supported if it is not
   * an AES key.
   */
  async #demand(peer: Peer): Promise<NamedKey> {
    const { tokens, token, key } = this.#options;
    await tokens.settleNamedKeys(peer, token, key);
    const found = tokens.findNamedKey(peer, token, key);
    if (found === null)
      throw new SidekeyError('key_handle_invalid', `there is no key ${key} in token ${token}`);
    if (found.kind !== 'aes' || found.derived)
      throw new SidekeyError('function_not_supported', `key ${key} is not a plain AES key`);
    return found;
  }

  #idOf({ version, createdAt }: NamedKeyVersion): string {
    const { token, key } = this.#options;
    const made = Date.parse(createdAt);
    return ['sidekey', token, key, `v${version}`, made.toString(36)].map(encodeURIComponent).join('/');
  }

  /** The key_id for new ciphertexts. */
  async currentId(peer: Peer): Promise<string> {
    return this.#idOf(latestOf(await this.#demand(peer)));
  }

  async encrypt(peer: Peer, plaintext: Buffer): Promise<{ ciphertext: Buffer; keyId: string }> {
    const { tokens, token, key, random } = this.#options;
    const latest = latestOf(await this.#demand(peer));
    const keyId = this.#idOf(latest);
    const nonce = random(GCM_NONCE_BYTES);
    const mechanism = gcmMechanism(nonce, Buffer.from(keyId));
    const use = { operation: 'encrypt', mechanism, version: latest.version } as const;
    const sealed = await tokens.operateNamedKey(peer, token, key, use, plaintext);
    return { ciphertext: Buffer.concat([nonce, sealed]), keyId };
  }

  /** encrypted_data_invalid for a foreign key_id, as for a ciphertext that cannot be decrypted. */
  async decrypt(peer: Peer, ciphertext: Buffer, keyId: string): Promise<Buffer> {
    const { tokens, token, key } = this.#options;
    const found = await this.#demand(peer);
    const version = found.versions.find((each) => this.#idOf(each) === keyId);
    if (version === undefined || ciphertext.length < GCM_NONCE_BYTES + GCM_TAG_BYTES)
      throw new SidekeyError('encrypted_data_invalid', 'the ciphertext belongs to another key');
    if (version.version < found.policy.minDecryptionVersion)
      throw new SidekeyError('key_function_not_permitted', 'this version can no longer decrypt');
    const mechanism = gcmMechanism(ciphertext.subarray(0, GCM_NONCE_BYTES), Buffer.from(keyId));
    const use = { operation: 'decrypt', mechanism, version: version.version } as const;
    return tokens.operateNamedKey(peer, token, key, use, ciphertext.subarray(GCM_NONCE_BYTES));
  }
}

function latestOf({ name, versions, latestVersion }: NamedKey): NamedKeyVersion {
  const latest = versions.find(({ version }) => version === latestVersion);
  if (latest === undefined) throw new SidekeyError('internal', `key ${name} has no latest version`);
  return latest;
}
