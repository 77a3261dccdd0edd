/** The configuration of a key of Google Cloud KMS. */
import { z } from 'zod';
import { httpKeys, serviceUrl } from '../http/http-options.ts';

const KEY =
  /^projects\/[a-z0-9:.-]+\/locations\/[a-z0-9-]+\/keyRings\/[A-Za-z0-9_-]{1,63}\/cryptoKeys\/[A-Za-z0-9_-]{1,63}$/;

export const gcpSchema = z.strictObject({
  kind: z.literal('gcp-kms'),
  key: z.string().regex(KEY, 'projects/P/locations/L/keyRings/R/cryptoKeys/K, without a version'),
  endpoint: serviceUrl.default('https://cloudkms.googleapis.com'),
  'credentials-file': z.string().min(1).optional(),
  'quota-project': z
    .string()
    .regex(/^[a-z0-9:.-]+$/)
    .optional(),
  // Of new resident keys.
  'resident-protection': z.enum(['software', 'hsm']).default('software'),
  ...httpKeys,
});

export type GcpOptions = z.output<typeof gcpSchema>;
