/** The configuration of a key of AWS KMS, and where it is served. */
import { z } from 'zod';
import { httpKeys, serviceUrl } from '../http/http-options.ts';

const region = z.string().regex(/^[a-z]{2,5}(-[a-z]+)+-\d$/, 'a region: eu-central-1');
/** Key id, key ARN, alias name or alias ARN. */
const keyId = z
  .string()
  .regex(/^[A-Za-z0-9:/_-]{1,2048}$/, 'a key id, a key ARN, alias/NAME or an alias ARN');

const place = { region, 'key-id': keyId, endpoint: serviceUrl.optional() };

export const awsSchema = z.strictObject({
  kind: z.literal('aws-kms'),
  ...place,
  fips: z.boolean().default(false),
  replicas: z.array(z.strictObject(place)).max(8).default([]),
  profile: z.string().min(1).optional(),
  'credentials-file': z.string().min(1).optional(),
  'grant-tokens-file': z.string().min(1).optional(),
  'encryption-context': z.record(z.string().min(1).max(256), z.string().max(1024)).default({}),
  ...httpKeys,
});

export type AwsOptions = z.output<typeof awsSchema>;
export type AwsPlace = Pick<AwsOptions, 'region' | 'key-id' | 'endpoint'>;

const SUFFIXES = [
  ['cn-', 'amazonaws.com.cn'],
  ['eusc-', 'amazonaws.eu'],
  ['us-iso-', 'c2s.ic.gov'],
  ['us-isob-', 'sc2s.sgov.gov'],
] as const;

export function endpointOf(place: AwsPlace, fips: boolean): URL {
  if (place.endpoint !== undefined) return new URL(place.endpoint);
  const [, suffix] = SUFFIXES.find(([prefix]) => place.region.startsWith(prefix)) ?? ['', 'amazonaws.com'];
  return new URL(`https://kms${fips ? '-fips' : ''}.${place.region}.${suffix}/`);
}
