import { test } from 'tap';
import { faultOf, FAULTS, faultOfStatus, Refusal } from '../../src/api/fault.ts';
import { ERRORS, SidekeyError, type ErrorCode } from '../../src/errors.ts';

test('every error code that tokens and keeper know has exactly one row', async (t) => {
  const rows = FAULTS.flatMap((row) => row.codes);
  const known = Object.entries(ERRORS).filter(([, { wire }]) => wire !== null);
  t.strictSame(rows.toSorted(), known.map(([code]) => code).toSorted());
});

test('no text of an error leaves, whatever failed', async (t) => {
  for (const code of Object.keys(ERRORS) as ErrorCode[]) {
    const { status, errors } = faultOf(new SidekeyError(code, 'an internal text'));
    t.ok(status >= 400 && status < 600);
    t.notMatch(errors.join(), 'internal text');
  }
  t.strictSame(faultOf(new Error('an internal text')), { status: 500, errors: ['internal error'] });
  t.strictSame(faultOf('an internal text'), { status: 500, errors: ['internal error'] });
});

test('a status of 4xx stays what it is, and everything unknown is 500', async (t) => {
  t.equal(faultOfStatus(413).status, 413);
  t.strictSame(faultOfStatus(418), { status: 418, errors: ['malformed request'] });
  t.equal(faultOfStatus(200).status, 500);
  t.strictSame(faultOf(new Refusal(404)), { status: 404, errors: [] });
});
