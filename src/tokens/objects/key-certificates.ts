/**
 * Certificates of named keys as PKCS#11 objects: the key's certificate has its CKA_ID and CKA_LABEL, by which
 * nginx and Java find the pair; issuer certificates are stored separately, and chained by subject name.
 */
import { recordMade, removeRecorded } from '../recorded.ts';
import { SidekeyError } from '../../errors.ts';
import type { Peer } from '../../access/peer.ts';
import { encodeBool, encodeUlong } from './attribute-value.ts';
import type { Certificate } from './certificate.ts';
import { CKA, CKO } from '../cryptoki.ts';
import type { Domain } from '../domain.ts';
import { draftPlain, keep, type Draft } from './object-maker.ts';
import { buildAttributes } from './object-template.ts';
import type { TokenRow } from '../store-port.ts';
import type { TokenObject } from './token-object.ts';

const X_509 = 0;
/** CKA_CERTIFICATE_CATEGORY (PKCS#11 3.1, 4.6.2). */
const CATEGORY = { tokenUser: 1, authority: 2 } as const;

function attributesOf({ der, subject, issuer, serial, publicKeyInfo }: Certificate, own: [number, Buffer][]) {
  return buildAttributes({
    origin: 'create',
    objectClass: CKO.CERTIFICATE,
    keyType: null,
    template: new Map([
      [CKA.TOKEN, encodeBool(true)],
      [CKA.CERTIFICATE_TYPE, encodeUlong(X_509)],
      [CKA.SUBJECT, subject],
      [CKA.ISSUER, issuer],
      [CKA.SERIAL_NUMBER, serial],
      [CKA.PUBLIC_KEY_INFO, publicKeyInfo],
      [CKA.VALUE, der],
      ...own,
    ]),
  });
}

function findCertificates(domain: Domain, token: TokenRow, ...asked: [number, Buffer][]): TokenObject[] {
  const view = { tokenId: token.id, client: null, seesPrivate: true };
  return [...domain.objects.find(view, new Map([[CKA.CLASS, encodeUlong(CKO.CERTIFICATE)], ...asked]))];
}

/**
 * The first certificate of the chain is the key's own and replaces the previous one; issuers already stored
 * are left alone. Durable when it resolves. attribute_value_invalid if the key has no CKA_ID, without which
 * its certificate could not be found.
 */
export async function keepCertificates(
  domain: Domain,
  peer: Peer,
  token: TokenRow,
  key: TokenObject,
  chain: readonly Certificate[],
): Promise<void> {
  const id = key.attributes.get(CKA.ID) ?? Buffer.alloc(0);
  const label = key.attributes.get(CKA.LABEL) ?? Buffer.alloc(0);
  if (id.length === 0) throw new SidekeyError('attribute_value_invalid', 'the key has no CKA_ID');
  const before = findCertificates(domain, token, [CKA.ID, id], [CKA.LABEL, label]);
  const maker = { token, session: null };
  const draft = (certificate: Certificate, own: [number, Buffer][]): Promise<Draft> =>
    draftPlain(domain, maker, attributesOf(certificate, own), { origin: 'create' });
  const drafts: Draft[] = [];
  for (const [i, certificate] of chain.entries()) {
    const category = [
      CKA.CERTIFICATE_CATEGORY,
      encodeUlong(i === 0 ? CATEGORY.tokenUser : CATEGORY.authority),
    ] as [number, Buffer];
    if (i === 0) drafts.push(await draft(certificate, [[CKA.ID, id], [CKA.LABEL, label], category]));
    else if (findCertificates(domain, token, [CKA.VALUE, certificate.der]).length === 0)
      drafts.push(
        await draft(certificate, [[CKA.LABEL, Buffer.concat([label, Buffer.from(' issuer')])], category]),
      );
  }
  recordMade(domain, { peer, token }, 'object-created', await keep(domain, maker, drafts));
  for (const object of before) removeRecorded(domain, peer, token, object);
}

/** The key's own certificate, in DER. */
export function certificateOf(domain: Domain, token: TokenRow, key: TokenObject): Buffer | null {
  const id = key.attributes.get(CKA.ID) ?? Buffer.alloc(0);
  const label = key.attributes.get(CKA.LABEL) ?? Buffer.alloc(0);
  if (id.length === 0) return null;
  return (
    findCertificates(domain, token, [CKA.ID, id], [CKA.LABEL, label])[0]?.attributes.get(CKA.VALUE) ?? null
  );
}
