/**
 * Agent, keeper or both are killed while keys are made, changed and destroyed (churned.ts says what must hold). SIDEKEY_KILLS says
 * how often each is killed, SIDEKEY_SEED (printed) when.
 */
import { randomInt } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { churnBeside } from './churned.ts';
import type { Instance } from './instance.ts';

const KILLS = Number(process.env['SIDEKEY_KILLS'] ?? 5);
const SEED = Number(process.env['SIDEKEY_SEED'] ?? randomInt(2 ** 31));

/** Numbers from 0 to 1 that are the same for the same seed (a linear congruence, Numerical Recipes' constants). */
function sequence(seed: number): () => number {
  let state = seed >>> 0;
  return () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
}

const VICTIMS = {
  keeper: async (sidekey: Instance): Promise<void> => {
    killKeeper(sidekey);
    await sidekey.ready();
  },
  agent: async (sidekey: Instance): Promise<void> => {
    await sidekey.stopAgent('SIGKILL');
    await sidekey.start();
  },
  both: async (sidekey: Instance): Promise<void> => {
    const ended = sidekey.stopAgent('SIGKILL');
    killKeeper(sidekey);
    await ended;
    await sidekey.start();
  },
};

function killKeeper(sidekey: Instance): void {
  const pid = sidekey.keeperPid();
  if (pid !== null) process.kill(pid, 'SIGKILL');
}

for (const [victim, kill] of Object.entries(VICTIMS)) {
  t.test(`${victim} killed ${KILLS} times`, { timeout: 900_000 }, async (t) => {
    t.comment(`SIDEKEY_SEED=${SEED}`);
    const random = sequence(SEED);
    await churnBeside(t, KILLS, async (sidekey) => {
      for (let i = 0; i < KILLS; i++) {
        await sleep(100 + random() * 400);
        await kill(sidekey);
      }
    });
  });
}
