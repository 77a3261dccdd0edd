/** Threads that create, use, find and destroy the same keys. For ten minutes and under ThreadSanitizer: races.soak.ts. */
import t from 'tap';
import { runMixed } from './mixed.ts';

t.test('64 threads create, use, find and destroy the same keys', (t) => runMixed(t, 2));
