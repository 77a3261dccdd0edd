/** keys/:name/set-certificate: stores the certificate that a CA issued for a key, for PKCS#11 programs. */
import { z } from 'zod';
import { readCertificate, type Certificate } from '../../tokens/objects/certificate.ts';
import type { NamedKey } from '../../tokens/service.ts';
import { integer } from './field.ts';
import { Refusal } from '../fault.ts';
import { describeKey, keyAnswer } from './key-type.ts';
import { defineTransitRoute, requireKey, type TransitCall, type TransitRoute } from './call.ts';
import type { Reply } from '../route.ts';

const CHAIN_MAX_CHARACTERS = 256 * 1024;
const CHAIN_MAX = 10;
const PEM = /-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/g;

const body = z.object({
  certificate_chain: z.string().max(CHAIN_MAX_CHARACTERS),
  version: integer,
});

function readChain(text: string): [Certificate, ...Certificate[]] {
  const blocks = text.match(PEM) ?? [];
  if (blocks.length > CHAIN_MAX)
    throw new Refusal(400, `field "certificate_chain": more than ${CHAIN_MAX} certificates`);
  try {
    const [first, ...rest] = blocks.map((block) => readCertificate(block));
    if (first !== undefined) return [first, ...rest];
  } catch {
    throw new Refusal(400, 'field "certificate_chain": not X.509');
  }
  throw new Refusal(400, 'field "certificate_chain": no PEM certificate');
}

function versionOf(key: NamedKey, wanted: number | null | undefined): NamedKey['versions'][number] {
  const number = wanted == null || wanted === 0 ? key.latestVersion : wanted;
  const found = key.versions.find(({ version }) => version === number);
  if (found === undefined) throw new Refusal(400, 'field "version": no such version');
  return found;
}

async function setCertificate(call: TransitCall, request: z.output<typeof body>): Promise<Reply> {
  const key = requireKey(call);
  const { version, publicKeyInfo } = versionOf(key, request.version);
  const chain = readChain(request.certificate_chain);
  if (publicKeyInfo === null || !publicKeyInfo.equals(chain[0].publicKeyInfo))
    throw new Refusal(400, 'the first certificate belongs to another key');
  const { tokens, peer, token } = call;
  return { data: describeKey(await tokens.setNamedKeyCertificates(peer, token, key.name, version, chain)) };
}

export const CERTIFICATE_ROUTES: readonly TransitRoute[] = [
  defineTransitRoute({
    methods: ['POST', 'PUT'],
    path: '/keys/:name/set-certificate',
    summary: 'Store the certificate of a key, and those of its issuers',
    body,
    answer: keyAnswer,
    handle: setCertificate,
  }),
];
