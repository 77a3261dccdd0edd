/** Errors from below a provider (a file that cannot be read, a blob that is malformed) name no provider by themselves. */
import { SidekeyError } from '../errors.ts';

/** The error under the name of its provider, which is put before it unless it stands there. */
export function ofProvider(name: string, error: SidekeyError): SidekeyError {
  return ofCall(`provider "${name}"`, error);
}

/** `what` begins with the provider. Other codes than those of providers (a keeper that is away) are left alone. */
export function ofCall(what: string, error: SidekeyError): SidekeyError {
  const isNamed = error.message.startsWith('provider "') || error.message.startsWith(what);
  if (isNamed || !error.code.startsWith('provider_')) return error;
  return new SidekeyError(error.code, `${what}: ${error.message}`, { cause: error });
}
