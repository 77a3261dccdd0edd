/** Every kind of remote key service. A new one is a row here and a page in docs/providers.md. */
import { awsKind } from './aws/aws-key-service.ts';
import { azureKind } from './azure/azure-key-service.ts';
import { gcpKind } from './gcp/gcp-key-service.ts';
import { PKCS11_HSM } from './hsm/hsm-kind.ts';
import type { KeyServiceKind } from './key-service.ts';
import { KMIP } from './kmip/kmip-kind.ts';
import { vaultKind } from './vault/vault-key-service.ts';

export const KEY_SERVICE_KINDS: readonly KeyServiceKind[] = [
  PKCS11_HSM,
  KMIP,
  vaultKind,
  awsKind,
  gcpKind,
  azureKind,
];

/** Whose KEK others can use as Tink does (key-service.ts, bare). */
export const ENVELOPE_KINDS: readonly string[] = ['embedded', vaultKind.kind, awsKind.kind, gcpKind.kind];
