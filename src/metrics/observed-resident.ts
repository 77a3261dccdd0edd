/** ResidentKeys that report each call: what, how long, result. */
import type { ResidentKeys } from '../tokens/resident-port.ts';

type Method =
  | 'list'
  | 'publicKey'
  | 'create'
  | 'rotate'
  | 'destroy'
  | 'sign'
  | 'verify'
  | 'encrypt'
  | 'decrypt'
  | 'agree';

/** Their names in the metrics, distinct from the calls for data keys. */
const CALLS = {
  list: 'resident-list',
  publicKey: 'resident-public-key',
  create: 'resident-create',
  rotate: 'resident-rotate',
  destroy: 'resident-destroy',
  sign: 'resident-sign',
  verify: 'resident-verify',
  encrypt: 'resident-encrypt',
  decrypt: 'resident-decrypt',
  agree: 'resident-agree',
} as const satisfies Record<Method, string>;

export type ResidentCall = (typeof CALLS)[Method];

type Timed = <T>(call: ResidentCall, work: () => Promise<T>) => Promise<T>;

export function observeResident(keys: ResidentKeys, timed: Timed): ResidentKeys {
  const rotate = keys.rotate?.bind(keys);
  const agree = keys.agree?.bind(keys);
  const verify = keys.verify?.bind(keys);
  const verifies = keys.verifies?.bind(keys);
  return {
    ...(rotate === undefined ? {} : { rotate: (key) => timed(CALLS.rotate, () => rotate(key)) }),
    ...(agree === undefined ? {} : { agree: (...asked) => timed(CALLS.agree, () => agree(...asked)) }),
    ...(verify === undefined ? {} : { verify: (...asked) => timed(CALLS.verify, () => verify(...asked)) }),
    ...(verifies === undefined
      ? {}
      : { verifies: (...asked) => timed(CALLS.publicKey, () => verifies(...asked)) }),
    creates: keys.creates,
    keepsIds: keys.keepsIds,
    list: (...asked) => timed(CALLS.list, () => keys.list(...asked)),
    publicKey: (...asked) => timed(CALLS.publicKey, () => keys.publicKey(...asked)),
    create: (...asked) => timed(CALLS.create, () => keys.create(...asked)),
    destroy: (...asked) => timed(CALLS.destroy, () => keys.destroy(...asked)),
    sign: (...asked) => timed(CALLS.sign, () => keys.sign(...asked)),
    encrypt: (...asked) => timed(CALLS.encrypt, () => keys.encrypt(...asked)),
    decrypt: (...asked) => timed(CALLS.decrypt, () => keys.decrypt(...asked)),
  };
}
