/**
 * Rotates named keys whose policy has a period (`auto_rotate_period` of Transit) once the latest version is
 * that old. Checked hourly, in small steps, so that a token with many objects delays nobody.
 */
import { setImmediate as turn } from 'node:timers/promises';
import { SidekeyError } from '../../errors.ts';
import { readUlong } from '../objects/attribute-value.ts';
import { CKA } from '../cryptoki.ts';
import type { Domain } from '../domain.ts';
import { findFamily, mainObjects, type KeyFamily } from './family.ts';
import type { Timer } from '../ports.ts';
import type { TokenRow } from '../store-port.ts';
import { labelOf } from '../objects/token-object.ts';

const FIRST_LOOK_MS = 60_000;
const LOOK_MS = 3_600_000;
const PIECE = 200;

export type RotateNext = (token: TokenRow, name: string) => Promise<void>;

export class AutoRotation {
  readonly #domain: Domain;
  readonly #rotate: RotateNext;
  readonly #timer: Timer;
  #cancel: () => void = () => undefined;
  #isStarted = false;
  #isClosed = false;

  constructor(domain: Domain, timer: Timer, rotate: RotateNext) {
    this.#domain = domain;
    this.#timer = timer;
    this.#rotate = rotate;
  }

  /** Called once a keeper is attached: without one, nothing can be made. */
  start(): void {
    if (this.#isStarted || this.#isClosed) return;
    this.#isStarted = true;
    this.#wait(FIRST_LOOK_MS);
  }

  close(): void {
    this.#isClosed = true;
    this.#cancel();
  }

  #wait(ms: number): void {
    this.#cancel = this.#timer(
      ms,
      () => void this.look().finally(() => this.#isClosed || this.#wait(LOOK_MS)),
    );
  }

  /** A key that cannot be rotated now is recorded, and retried at the next check. Never rejects. */
  async look(): Promise<void> {
    for (const token of this.#domain.catalogue.all()) {
      for (const name of await this.#namesWithPeriod(token)) {
        if (this.#isClosed) return;
        await this.#rotateIfDue(token, name).catch((error: unknown) => {
          const reason = error instanceof SidekeyError ? error.code : 'internal';
          this.#domain.audit.token('rotation-failed', null, token, { label: name, reason });
        });
      }
    }
  }

  async #namesWithPeriod({ id }: TokenRow): Promise<Set<string>> {
    const names = new Set<string>();
    let seen = 0;
    const view = { tokenId: id, client: null, seesPrivate: true };
    for (const object of mainObjects(this.#domain.objects, view, null)) {
      if ((readUlong(object.attributes, CKA.SIDEKEY_AUTO_ROTATE) ?? 0) > 0) names.add(labelOf(object));
      if (++seen % PIECE === 0) await turn();
      if (this.#isClosed) break;
    }
    return names;
  }

  async #rotateIfDue(token: TokenRow, name: string): Promise<void> {
    const view = { tokenId: token.id, client: null, seesPrivate: true };
    const family = findFamily(this.#domain.objects, view, name);
    if (family !== null && isDue(family, this.#domain.clock.now())) await this.#rotate(token, name);
  }
}

function isDue({ policy, latest }: KeyFamily, now: number): boolean {
  return policy.autoRotateMs > 0 && now - latest.main.createdAt >= policy.autoRotateMs;
}
