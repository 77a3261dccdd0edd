/** Remedies for failing key services, by error code, the code closest to the cause first. */
import { SidekeyError } from '../../errors.ts';

const CAUSES_MAX = 8;

/** The codes along the chain of causes, outermost first. */
function codesOf(error: unknown): string[] {
  const codes: string[] = [];
  for (let at = error, depth = 0; at instanceof Error && depth < CAUSES_MAX; at = at.cause, depth++) {
    const code: unknown = Reflect.get(at, 'code');
    if (typeof code === 'string') codes.push(code);
  }
  return codes;
}

const BY_CAUSE: readonly (readonly [RegExp, string])[] = [
  [
    /^ENOENT$/,
    'create that file, or configure another one (paths are relative to the configuration file): docs/key-services.md',
  ],
  [/^(EACCES|EPERM)$/, "give the agent's user read access to that file"],
  [
    /^(ENOTFOUND|EAI_)/,
    "the service's name does not resolve: check its address in the configuration, and this host's DNS",
  ],
  [
    /^ECONNREFUSED$/,
    'nothing listens there: check host and port in the configuration, and whether the service is running',
  ],
  [
    /^(EHOSTUNREACH|ENETUNREACH|ETIMEDOUT)$/,
    'the host is unreachable: check routes, firewalls, HTTPS_PROXY and NO_PROXY',
  ],
  [/^CERT_(HAS_EXPIRED|NOT_YET_VALID)$/, "renew the service's certificate, or correct this host's clock"],
  [
    /^ERR_TLS_CERT_ALTNAME_INVALID$/,
    'the certificate is for another name: configure the service by that name',
  ],
  [
    /^(CERT_|DEPTH_ZERO_SELF_SIGNED_CERT$|SELF_SIGNED_CERT_IN_CHAIN$|UNABLE_TO_)/,
    "set ca-file to the authority that issued the service's certificate",
  ],
];

/** By kind of provider. */
const WHEN_REFUSED: Readonly<Record<string, string>> = {
  vault: 'auth (its files, role and mount), and what the policy of its token permits with the key',
  'aws-kms': "the credentials of the agent's environment or credentials-file, and the key's policy",
  'gcp-kms': "credentials-file or the host's service account, and its roles on the key",
  'azure-key-vault': 'auth, and the roles of its identity on the key',
  kmip: 'certificate-file and key-file: the server must know them, and let their subject use the key',
  'pkcs11-hsm': 'pin-file, and whether the token has the key',
  embedded: 'key-file and its passphrase',
};

const UNREACHABLE =
  'check the service, the network, HTTPS_PROXY and NO_PROXY: sidekey explain provider_unreachable';

/** `kind` is the provider's. */
export function cureOf(kind: string, error: unknown): string {
  const codes = codesOf(error);
  const known = BY_CAUSE.find(([pattern]) => codes.some((code) => pattern.test(code)));
  if (known !== undefined) return known[1];
  const isRefused = error instanceof SidekeyError && error.code === 'provider_refused';
  if (!isRefused) return UNREACHABLE;
  return `check ${WHEN_REFUSED[kind] ?? 'its credentials'}: sidekey explain provider_refused`;
}
