import { randomBytes } from 'node:crypto';
import { SidekeyError } from '../../errors.ts';
import {
  countOption,
  listOption,
  requiredOption,
  textOption,
  type Command,
  type Invocation,
} from '../command.ts';
import { OUT_OPTION, readMessage, writeMessage } from '../message-io.ts';
import { fetchPublicKey } from '../public-key.ts';
import {
  askTransit,
  bytesOfVersioned,
  callTransit,
  KEY,
  textField,
  TRANSIT_OPTIONS,
} from '../transit-client.ts';
import {
  algorithmFor,
  assemble,
  certificateToSign,
  parseName,
  requestToSign,
  toPem,
  type SignatureAlgorithm,
  type Subject,
} from '../x509/certificate.ts';

const DAY_MS = 86_400_000;
const USUAL_DAYS = 365;
const DAYS_MAX = 36_500;
/** Certificates are backdated, as other hosts' clocks may be slow. */
const BACKDATED_MS = 300_000;
const CHAIN_MAX_BYTES = 256 * 1024;

const SUBJECT_OPTIONS = {
  san: {
    type: 'string',
    multiple: true,
    value: 'NAME',
    help: 'subject alternative name: DNS:www.example.org, IP:10.0.0.1, EMAIL:, URI:',
  },
  ca: { type: 'boolean', help: 'request or create a CA certificate' },
} as const;

interface Signer {
  readonly subject: Subject;
  readonly version: number;
  readonly algorithm: SignatureAlgorithm;
}

async function prepare(invocation: Invocation, name: string): Promise<Signer> {
  const { type, version, key } = await fetchPublicKey(invocation, name);
  const subject = {
    name: parseName(requiredOption(invocation.values, 'subject')),
    alternatives: listOption(invocation.values, 'san'),
    isAuthority: invocation.values['ca'] === true,
    publicKey: key,
  };
  return { subject, version, algorithm: algorithmFor(type) };
}

async function sign(invocation: Invocation, name: string, signer: Signer, bytes: Buffer): Promise<Buffer> {
  const { algorithm, version } = signer;
  const fields = { ...algorithm.fields, key_version: version };
  const data = await askTransit(invocation, ['sign', name], fields, { field: 'input', bytes });
  return assemble(bytes, algorithm, bytesOfVersioned(textField(data, 'signature')));
}

async function writePem(invocation: Invocation, field: string, pem: string): Promise<void> {
  if (invocation.values['json'] && textOption(invocation.values, 'out') === undefined)
    return invocation.say(JSON.stringify({ [field]: pem }));
  await writeMessage(invocation, Buffer.from(pem));
}

export const keysCsrCommand: Command = {
  name: 'keys csr',
  summary: 'create a certificate signing request for a key',
  help: 'Prints a PKCS #10 request in PEM, signed in the token. Store the issued certificate with `sidekey keys cert KEY --in FILE`.',
  options: {
    subject: { type: 'string', value: 'NAME', required: true, help: 'CN=www.example.org,O=Example' },
    ...SUBJECT_OPTIONS,
    ...OUT_OPTION,
    ...TRANSIT_OPTIONS,
  },
  positionals: [KEY],
  examples: ['sidekey keys csr web --subject CN=www.example.org --san DNS:www.example.org --out web.csr'],
  async run(invocation) {
    const [name = ''] = invocation.positionals;
    const signer = await prepare(invocation, name);
    const request = await sign(invocation, name, signer, requestToSign(signer.subject));
    await writePem(invocation, 'request', toPem(request, 'CERTIFICATE REQUEST'));
    return 0;
  },
};

async function makeCertificate(
  invocation: Invocation,
  name: string,
): Promise<{ pem: string; version: number }> {
  const signer = await prepare(invocation, name);
  const now = Date.now();
  const days = countOption(invocation.values, 'days', USUAL_DAYS, DAYS_MAX);
  const validity = {
    from: new Date(now - BACKDATED_MS),
    until: new Date(now + days * DAY_MS),
    serial: randomBytes(16),
  };
  const wanted = certificateToSign(signer.subject, signer.algorithm, validity);
  const certificate = await sign(invocation, name, signer, wanted);
  return { pem: toPem(certificate, 'CERTIFICATE'), version: signer.version };
}

export const keysCertCommand: Command = {
  name: 'keys cert',
  summary: 'store a certificate for a key: self-signed, or issued by a certificate authority',
  help: 'Stores the certificate in the token under the CKA_ID and CKA_LABEL of the key, where nginx, Java and p11-kit look for it,\nreplacing any earlier one, and prints it. The file for --in contains the issued certificate followed by its chain.',
  options: {
    subject: {
      type: 'string',
      value: 'NAME',
      help: 'create a self-signed certificate for this subject: CN=www.example.org',
    },
    ...SUBJECT_OPTIONS,
    days: { type: 'string', value: 'N', help: `validity in days; default: ${USUAL_DAYS}` },
    in: {
      type: 'string',
      value: 'FILE',
      help: 'store this certificate instead: PEM, the certificate of the key first',
    },
    ...OUT_OPTION,
    ...TRANSIT_OPTIONS,
  },
  positionals: [KEY],
  examples: [
    'sidekey keys cert web --subject CN=localhost --san DNS:localhost --days 30',
    'sidekey keys cert web --in web.pem',
  ],
  async run(invocation) {
    const [name = ''] = invocation.positionals;
    const { values } = invocation;
    if ((values['subject'] === undefined) === (values['in'] === undefined))
      throw new SidekeyError('usage', 'keys cert: either --subject or --in');
    const { pem, version } =
      values['in'] === undefined
        ? await makeCertificate(invocation, name)
        : { pem: (await readMessage(invocation, CHAIN_MAX_BYTES)).toString('latin1'), version: 0 };
    const fields = { certificate_chain: pem, version };
    await callTransit(invocation, 'POST', ['keys', name, 'set-certificate'], fields);
    await writePem(invocation, 'certificate', pem);
    return 0;
  },
};
