/** The configuration of a key in Azure Key Vault or Managed HSM. */
import { z } from 'zod';
import { httpKeys, serviceUrl } from '../http/http-options.ts';

const id = z.string().regex(/^[A-Za-z0-9.-]+$/, 'an id or a domain');
const file = z.string().min(1);

const auth = z.discriminatedUnion('method', [
  z.strictObject({
    method: z.literal('client-secret'),
    'tenant-id': id,
    'client-id': id,
    'client-secret-file': file,
  }),
  z.strictObject({
    method: z.literal('client-certificate'),
    'tenant-id': id,
    'client-id': id,
    'certificate-file': file,
    'key-file': file,
  }),
  z.strictObject({
    method: z.literal('workload-identity'),
    'tenant-id': id.optional(),
    'client-id': id.optional(),
    'token-file': file.optional(),
  }),
  z.strictObject({ method: z.literal('managed-identity'), 'client-id': id.optional() }),
]);

export const azureSchema = z.strictObject({
  kind: z.literal('azure-key-vault'),
  vault: serviceUrl,
  key: z.string().regex(/^[0-9A-Za-z-]{1,127}$/, 'the name of a key, without a version'),
  auth,
  authority: serviceUrl.optional(),
  resource: z.url().optional(),
  // Of new resident keys; a managed HSM has no other than `hsm`.
  'resident-protection': z.enum(['software', 'hsm']).default('software'),
  ...httpKeys,
});

export type AzureOptions = z.output<typeof azureSchema>;
export type AzureAuth = AzureOptions['auth'];
