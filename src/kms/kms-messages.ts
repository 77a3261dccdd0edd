/**
 * The Kubernetes KMS v2 API (package v2, KeyManagementService) as a descriptor: only names, field numbers and
 * types.
 */
import { fromJSON, type PackageDefinition } from '@grpc/proto-loader';
import type { ServiceDefinition, UntypedServiceImplementation } from '@grpc/grpc-js';

export interface StatusResponse {
  readonly version: string;
  readonly healthz: string;
  readonly key_id: string;
}

export interface EncryptRequest {
  readonly plaintext: Buffer;
  readonly uid: string;
}

export interface EncryptResponse {
  readonly ciphertext: Buffer;
  readonly key_id: string;
}

export interface DecryptRequest {
  readonly ciphertext: Buffer;
  readonly uid: string;
  readonly key_id: string;
}

export interface DecryptResponse {
  readonly plaintext: Buffer;
}

type Fields = Readonly<
  Record<string, { readonly type: string; readonly id: number; readonly keyType?: string }>
>;

const annotations = (id: number) => ({ keyType: 'string', type: 'bytes', id });
const MESSAGES: Readonly<Record<string, Fields>> = {
  StatusRequest: {},
  StatusResponse: {
    version: { type: 'string', id: 1 },
    healthz: { type: 'string', id: 2 },
    key_id: { type: 'string', id: 3 },
  },
  EncryptRequest: { plaintext: { type: 'bytes', id: 1 }, uid: { type: 'string', id: 2 } },
  EncryptResponse: {
    ciphertext: { type: 'bytes', id: 1 },
    key_id: { type: 'string', id: 2 },
    annotations: annotations(3),
  },
  DecryptRequest: {
    ciphertext: { type: 'bytes', id: 1 },
    uid: { type: 'string', id: 2 },
    key_id: { type: 'string', id: 3 },
    annotations: annotations(4),
  },
  DecryptResponse: { plaintext: { type: 'bytes', id: 1 } },
};

const METHODS = ['Status', 'Encrypt', 'Decrypt'] as const;

const messages = Object.entries(MESSAGES).map(([name, fields]) => [name, { fields }]);
const methods = METHODS.map((name) => [
  name,
  { requestType: `${name}Request`, responseType: `${name}Response` },
]);
const DESCRIPTOR = {
  nested: {
    v2: {
      nested: {
        ...Object.fromEntries(messages),
        KeyManagementService: { methods: Object.fromEntries(methods) },
      },
    },
  },
};

const definitions: PackageDefinition = fromJSON(DESCRIPTOR, { keepCase: true, defaults: true });

export const KMS_SERVICE = definitions[
  'v2.KeyManagementService'
] as ServiceDefinition<UntypedServiceImplementation>;
