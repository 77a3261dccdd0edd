/**
 * The envelope key of a token by name: access checks, and how it is described next to the token's other keys.
 */
import type { Peer } from '../../access/peer.ts';
import { SidekeyError } from '../../errors.ts';
import type { Domain } from '../domain.ts';
import { recordedNamedUse } from '../key-use/each-use.ts';
import { demandAccess } from '../key-use/key-access.ts';
import { DEFAULT_POLICY } from './family.ts';
import type { NamedKey } from '../service.ts';
import type { TokenRow } from '../store-port.ts';

/**
 * It has one version: versions of the KEK are the key service's own business, and its ciphertexts name them.
 */
export function describeEnvelope({ name: token, createdAt }: TokenRow, name: string): NamedKey {
  const made = new Date(createdAt).toISOString();
  return {
    ...{ name, token, kind: 'envelope', sizeBits: 256, operations: ['encrypt', 'decrypt'] },
    ...{ extractable: false, derived: false, imported: false, policy: DEFAULT_POLICY, latestVersion: 1 },
    versions: [{ version: 1, createdAt: made, publicKeyInfo: null, certificate: null }],
  };
}

export class NamedEnvelopes {
  readonly #domain: Domain;

  constructor(domain: Domain) {
    this.#domain = domain;
  }

  seal(peer: Peer, tokenName: string, name: string, aad: Buffer, plaintext: Buffer): Promise<Buffer> {
    return this.#use(peer, tokenName, name, 'encrypt', (token) =>
      this.#domain.envelopes.seal(token, aad, plaintext),
    );
  }

  open(peer: Peer, tokenName: string, name: string, aad: Buffer, message: Buffer): Promise<Buffer> {
    return this.#use(peer, tokenName, name, 'decrypt', (token) =>
      this.#domain.envelopes.open(token, aad, message),
    );
  }

  async #use(
    peer: Peer,
    tokenName: string,
    name: string,
    use: 'encrypt' | 'decrypt',
    work: (token: TokenRow) => Promise<Buffer>,
  ): Promise<Buffer> {
    const token = this.#domain.catalogue.byName(tokenName);
    if (token === null || !this.#domain.catalogue.admits(peer, token))
      throw new SidekeyError('token_not_recognized', `there is no token ${tokenName} for this process`);
    if (!this.#domain.envelopes.isEnvelope(token, name))
      throw new SidekeyError('key_handle_invalid', `${name} is not the envelope of token ${tokenName}`);
    return recordedNamedUse(this.#domain, { peer, token, name, use }, async () => {
      demandAccess(this.#domain, peer, token, name, use);
      return work(token);
    });
  }
}
