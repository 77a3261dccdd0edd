/** How long PKCS#11 operations take, as /metrics shows it: those that the keeper serves by itself are sampled there. */
import pkcs11js from 'pkcs11js';
import t from 'tap';
import { startInstance, type Instance } from './instance.ts';
import { openToken } from './token.ts';
import { send } from './transit-client.ts';

const NAME = 'sidekey_keeper_operation_seconds';
const OPERATIONS = 2000;
const ONE_OF = 64;

async function scrape({ api }: Instance): Promise<Map<string, number>> {
  const { bytes } = await send(api, 'GET', '/metrics', '');
  const lines = bytes.toString().split('\n');
  const values = lines.map((line) => /^([^#\s]+) (\S+)$/.exec(line)).filter((found) => found !== null);
  return new Map(values.map(([, name = '', value]) => [name, Number(value)]));
}

t.test('one of 64 operations is timed in the keeper, by operation', async (t) => {
  const sidekey = await startInstance(t);
  const { p11, session } = openToken(t, sidekey);
  const key = p11.C_GenerateKey(session, { mechanism: pkcs11js.CKM_AES_KEY_GEN }, [
    { type: pkcs11js.CKA_VALUE_LEN, value: 32 },
    { type: pkcs11js.CKA_ENCRYPT, value: true },
  ]);
  const cbc = { mechanism: pkcs11js.CKM_AES_CBC_PAD, parameter: Buffer.alloc(16) };
  for (let n = 0; n < OPERATIONS; n++) {
    p11.C_EncryptInit(session, cbc, key);
    p11.C_Encrypt(session, Buffer.alloc(64), Buffer.alloc(80));
  }
  const values = await scrape(sidekey);
  const count = values.get(`${NAME}_count{operation="encrypt"}`) ?? 0;
  t.ok(count > 0.8 * (OPERATIONS / ONE_OF) && count <= OPERATIONS / ONE_OF, `${count} were timed`);
  const sum = values.get(`${NAME}_sum{operation="encrypt"}`) ?? 0;
  t.ok(sum / count > 1e-7 && sum / count < 0.01, `${sum / count} s on the average`);
  const bucket = (le: string) => values.get(`${NAME}_bucket{le="${le}",operation="encrypt"}`) ?? -1;
  t.equal(bucket('+Inf'), count);
  const bounds = [...Array(23).keys()].map((i) => bucket(String(2 ** (8 + i) / 1e9)));
  t.same(
    bounds,
    bounds.toSorted((a, b) => a - b),
    'buckets add up',
  );
  t.equal(bounds.at(-1), count);
  t.equal(values.get(`${NAME}_count{operation="sign"}`), 0);
});
