/** The configuration of a Vault or OpenBao server that holds a KEK in a Transit mount. */
import { z } from 'zod';
import { httpKeys, serviceUrl } from '../http/http-options.ts';

const name = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/, 'letters, digits, ".", "_" and "-"');
const mount = z
  .string()
  .regex(/^[A-Za-z0-9._-]+(\/[A-Za-z0-9._-]+)*$/, 'a mount is a path without a slash at its ends');
const file = z.string().min(1);

const auth = z.discriminatedUnion('method', [
  z.strictObject({ method: z.literal('token'), 'token-file': file }),
  z.strictObject({
    method: z.literal('approle'),
    mount: mount.default('approle'),
    'role-id': z.string().min(1),
    'secret-id-file': file,
  }),
  z.strictObject({
    method: z.literal('kubernetes'),
    mount: mount.default('kubernetes'),
    role: z.string().min(1),
    'jwt-file': file.default('/var/run/secrets/kubernetes.io/serviceaccount/token'),
  }),
  z.strictObject({
    method: z.literal('jwt'),
    mount: mount.default('jwt'),
    role: z.string().min(1),
    'jwt-file': file,
  }),
  z.strictObject({
    method: z.literal('certificate'),
    mount: mount.default('cert'),
    role: z.string().min(1).optional(),
  }),
]);

export const vaultSchema = z.strictObject({
  kind: z.literal('vault'),
  address: serviceUrl,
  namespace: mount.optional(),
  mount: mount.default('transit'),
  key: name,
  derived: z.boolean().default(false),
  auth,
  events: z
    .strictObject({
      type: z.string().regex(/^[A-Za-z0-9*_-]+(\/[A-Za-z0-9*_-]+)*$/, 'a type of event: kv-v2/data-write'),
      filter: z.string().min(1).max(1024).optional(),
    })
    .optional(),
  'client-certificate-file': file.optional(),
  'client-key-file': file.optional(),
  ...httpKeys,
});

export type VaultOptions = z.output<typeof vaultSchema>;
export type VaultAuth = VaultOptions['auth'];
