/** The keys of SSL 3.0 to TLS 1.2, DH and DSA by SunPKCS11, each beside what the JDK's own providers make of the same. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { MODULE, PIN, ROOT, startInstance } from '../e2e/instance.ts';
import { must, openDirectory } from './application.ts';

const LEGACY = { edit: (yaml: string) => yaml.replace(/^( *)- label: .*$/m, '$&\n$1  legacy: true') };

t.test('SunPKCS11 and the JDK come to the same keys', { timeout: 120_000 }, async (t) => {
  const sidekey = await startInstance(t, LEGACY);
  const config = join(openDirectory(t), 'sidekey.cfg');
  const page = readFileSync(join(ROOT, 'docs/applications.md'), 'utf8');
  const documented = [...page.matchAll(/```properties\n([^`]*)```/g)].map(([, block]) => block).join('');
  t.match(documented, /CKK_DH/, 'what TLS and DH need is documented');
  writeFileSync(config, documented.replace(/^library = .*$/m, `library = ${MODULE}`));
  const source = join(import.meta.dirname, 'SunTls.java');
  const exported = ['--add-exports', 'java.base/sun.security.internal.spec=ALL-UNNAMED'];
  const printed = await must(t, 'java', [...exported, source, config, PIN], {
    env: { ...process.env, SIDEKEY_SOCKET: sidekey.socket },
    timeout: 100_000,
  });
  const said = (who: string) =>
    new Map(
      printed
        .split('\n')
        .filter((line) => line.startsWith(`${who} `))
        .map((line) => {
          const at = line.lastIndexOf(' ');
          return [line.slice(who.length + 1, at), line.slice(at + 1)] as const;
        }),
    );
  const [jdk, token, made] = [said('jdk'), said('token'), said('made')];
  t.equal(jdk.size, 4 * 9 + 2, 'four handshakes, an agreement and a signature');
  for (const [name, value] of jdk) t.equal(token.get(name), value, name);
  t.equal(made.size, 9, 'a premaster secret that the token makes comes to keys');
  t.not(made.get('client finished 1.2'), token.get('client finished 1.2'));
});
