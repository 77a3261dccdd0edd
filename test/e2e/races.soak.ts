/** Hard use by threads with keeper, module and program under ThreadSanitizer, SIDEKEY_RACE_SECONDS long: `npm run test:soak` runs it. */
import './tsan-build.ts';
import t from 'tap';
import { runMixed } from './mixed.ts';

const SECONDS = Number(process.env['SIDEKEY_RACE_SECONDS'] ?? 600);

t.setTimeout(SECONDS * 1000 + 300_000);
t.test(`${SECONDS}: seconds of 64 threads that create, use, find and destroy, without a race`, (t) =>
  runMixed(t, SECONDS),
);
