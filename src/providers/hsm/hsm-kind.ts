/** The configuration of a PKCS#11 HSM. */
import { z } from 'zod';
import { callDuration } from '../call-duration.ts';
import { defineKind } from '../key-service.ts';
import { createHsmKeyService } from './hsm-key-service.ts';
import { MECHANISM_NAMES } from './mechanism.ts';
import { PinSource } from './pin.ts';

const text = z.string().min(1).max(255);

const schema = z
  .strictObject({
    kind: z.literal('pkcs11-hsm'),
    module: text,
    'token-label': text.max(32).optional(),
    'token-serial': text.max(16).optional(),
    slot: z
      .int()
      .min(0)
      .max(2 ** 48)
      .optional(),
    'key-label': text.optional(),
    'key-id': z
      .string()
      .regex(/^([0-9a-fA-F]{2}){1,64}$/, 'a CKA_ID is written in hexadecimal')
      .optional(),
    'pin-file': text.optional(),
    'systemd-credential': z
      .string()
      .regex(/^[A-Za-z0-9._-]+$/, 'the name of a credential')
      .optional(),
    mechanism: z.enum(MECHANISM_NAMES).optional(),
    sessions: z.int().min(1).max(64).default(8),
    environment: z.record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/), z.string()).default({}),
    'library-parameters': z
      .string()
      .min(1)
      .max(4096)
      .refine((given) => !given.includes('\0'), 'no byte of zero')
      .optional(),
    timeout: callDuration.default(8000),
    'try-timeout': callDuration.default(4000),
  })
  .refine(
    (given) =>
      given['token-label'] !== undefined || given['token-serial'] !== undefined || given.slot !== undefined,
    'a token is named by token-label, token-serial or slot',
  )
  .refine(
    (given) => given['key-label'] !== undefined || given['key-id'] !== undefined,
    'a key is named by key-label, key-id or both',
  )
  .refine(
    (given) => given['pin-file'] === undefined || given['systemd-credential'] === undefined,
    'the PIN comes from one place: pin-file or systemd-credential',
  );

export const PKCS11_HSM = defineKind('pkcs11-hsm', schema, (options, deps) => {
  const pinFile = options['pin-file'];
  return createHsmKeyService({
    provider: deps.name,
    worker: {
      module: deps.resolvePath(options.module),
      libraryParameters: options['library-parameters'] ?? null,
      token: {
        label: options['token-label'] ?? null,
        serial: options['token-serial'] ?? null,
        slot: options.slot ?? null,
      },
      key: { label: options['key-label'] ?? null, id: options['key-id'] ?? null },
      mechanism: options.mechanism ?? null,
      sessions: options.sessions,
    },
    environment: options.environment,
    timeoutMs: options.timeout,
    tryMs: options['try-timeout'],
    pin: new PinSource({
      provider: deps.name,
      file: pinFile === undefined ? null : deps.resolvePath(pinFile),
      systemdCredential: options['systemd-credential'] ?? null,
      ownUid: process.geteuid?.() ?? 0,
    }),
    log: deps.log,
    clock: deps.clock,
    random: deps.random,
  });
});
