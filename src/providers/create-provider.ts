/** Makes the provider that a part of the configuration describes. */
import { randomBytes } from 'node:crypto';
import { resolve } from 'node:path';
import type { EmbeddedConfig, ProviderConfig, RemoteConfig } from '../config/config.ts';
import { SidekeyError } from '../errors.ts';
import type { Logger } from '../log/logger.ts';
import { SYSTEM_CLOCK } from '../clock.ts';
import type { Keeper, Provider } from '../tokens/ports.ts';
import { createEmbeddedProvider } from './embedded/embedded-provider.ts';
import type { KeyService } from './key-service.ts';
import { KEY_SERVICE_KINDS } from './kinds.ts';
import { createRemoteProvider } from './remote-provider.ts';

export interface ProviderDeps {
  readonly keeper: Keeper;
  readonly log: Logger;
  readonly ownUid: number;
  /** Of the configuration file. */
  readonly directory: string;
}

export function isEmbedded(config: ProviderConfig): config is EmbeddedConfig {
  return config.kind === 'embedded';
}

export function createKeyService(
  name: string,
  config: RemoteConfig,
  directory: string,
  log: Logger,
): KeyService {
  const kind = KEY_SERVICE_KINDS.find((each) => each.kind === config.kind);
  if (!kind)
    throw new SidekeyError('config_invalid', `provider "${name}" is of unknown kind "${config.kind}"`);
  const resolvePath = (path: string): string => resolve(directory, path);
  return kind.create(config.options, { name, log, clock: SYSTEM_CLOCK, random: randomBytes, resolvePath });
}

export function createProvider(name: string, config: ProviderConfig, deps: ProviderDeps): Provider {
  const { keeper, log, ownUid, directory } = deps;
  if (isEmbedded(config)) return createEmbeddedProvider({ ...config, name, ownUid, keeper, log });
  return createRemoteProvider(name, config.kind, createKeyService(name, config, directory, log), keeper);
}
