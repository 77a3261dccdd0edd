/**
 * What neither Debian 12 nor npm has comes from a registry that a developer may be without: then the test says so in one line. With
 * SIDEKEY_REGISTRIES=demanded, which .ci/run says, it is a failure.
 */
import { stripVTControlCharacters } from 'node:util';
import type { Test } from 'tap';

const DEMANDED = process.env['SIDEKEY_REGISTRIES'] === 'demanded';

/** Without a demand nobody waits long for a network that is not there. */
const IMPATIENT = {
  ...{ PIP_RETRIES: '1', PIP_DEFAULT_TIMEOUT: '10' },
  ...{ CARGO_NET_RETRY: '1', CARGO_HTTP_TIMEOUT: '10' },
} as const;

/** What `fetch` gives, or null after the line. */
export function ofRegistry<T>(t: Test, what: string, fetch: () => T): T | null {
  if (!DEMANDED) Object.assign(process.env, IMPATIENT);
  try {
    return fetch();
  } catch (error) {
    if (DEMANDED) throw error;
    const said = stripVTControlCharacters(String(error)).trim();
    t.comment(`${what} is absent and not run here (.ci/run demands it): ${said.split('\n').at(-1)}`);
    t.pass('nothing to run');
    return null;
  }
}
