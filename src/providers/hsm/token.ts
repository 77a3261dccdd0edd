/**
 * One token of one PKCS#11 library: its sessions, the login, the KEK. Runs in the process that is made for the library, and may block or
 * crash with it. One operation per session at a time (PKCS#11 3.1, 5.6.1); faults are HsmFaults.
 */
import { randomBytes } from 'node:crypto';
import pkcs11js from 'pkcs11js';
import { IV_BYTES, WRAP_MECHANISMS, type WrapMechanism } from './mechanism.ts';
import { CKR_USER_ALREADY_LOGGED_IN, HsmFault, isOfDevice, toHsmFault } from './return-codes.ts';
import { describeKey, type WorkerOptions } from './worker-options.ts';
import { CKA, CKK, CKO, CKU } from '../../tokens/cryptoki.ts';

const CKF_SERIAL_SESSION = 4;
const CKF_RW_SESSION = 2;
const CKF_OS_LOCKING_OK = 2;
const CK_PARAMS_GCM = pkcs11js.CK_PARAMS_GCM;
const TAG_BITS = 128;
const ROOM = 1024;

interface Session {
  readonly handle: Buffer;
  key: Buffer | null;
}

export interface Crypt {
  readonly mechanism: WrapMechanism;
  readonly iv: Buffer;
  readonly aad: Buffer;
  readonly data: Buffer;
}

type Direction = 'encrypt' | 'decrypt';

function isTrue(value: Buffer | undefined): boolean {
  return value?.[0] === 1;
}

export class HsmToken {
  readonly #module = new pkcs11js.PKCS11();
  readonly #options: WorkerOptions;
  readonly #pin: Buffer | null;
  readonly #idle: Session[] = [];
  readonly #waiters: ((session: Session) => void)[] = [];
  #slot: Buffer = Buffer.alloc(0);
  #open = 0;

  constructor(options: WorkerOptions, pin: Buffer | null) {
    this.#options = options;
    this.#pin = pin;
  }

  /** Loads the library, logs in, finds the key. Gives the mechanism for new data keys; null: the token has none, and serves resident keys alone. */
  start(): WrapMechanism | null {
    const { module, libraryParameters } = this.#options;
    const nss = libraryParameters === null ? {} : { libraryParameters };
    this.#module.load(module);
    this.#module.C_Initialize({ flags: CKF_OS_LOCKING_OK, ...nss });
    this.#slot = this.#findSlot();
    const session = this.#openSession();
    this.#release(session);
    return this.#chooseMechanism(session);
  }

  /** Rejects with an HsmFault. The caller wipes data and result. */
  encrypt(crypt: Crypt): Promise<Buffer> {
    return this.#withSession((session) => this.#run('encrypt', session, crypt));
  }

  /**
   * A blob that does not open has no code of its own: modules answer with CKR_GENERAL_ERROR (SoftHSM), CKR_DEVICE_ERROR and vendors' codes. So
   * the key is tried: where it works, the blob is to blame.
   */
  async decrypt(crypt: Crypt): Promise<Buffer> {
    try {
      return await this.#withSession((session) => this.#run('decrypt', session, crypt));
    } catch (error) {
      const fault = toHsmFault(error);
      if (fault.meaning === 'data') throw new HsmFault('refused', fault.message);
      if (fault.meaning !== 'lost') throw fault;
      await this.#probe(crypt.mechanism);
      throw new HsmFault('refused', `the key cannot decrypt this (${fault.message})`);
    }
  }

  /** Finds the key anew, without using it. */
  health(): string {
    const session = this.#idle.at(-1);
    const { label, firmwareVersion } = this.#module.C_GetTokenInfo(this.#slot);
    const probe = session ?? this.#openSession();
    if (!session) this.#release(probe);
    this.#findKey(probe.handle);
    return `${describeKey(this.#options.key)} on token "${label.trim()}", firmware ${firmwareVersion.major}.${firmwareVersion.minor}`;
  }

  /** A session for `work`, and once more another one when the first was stale. Rejects with what `work` rejects with. */
  perform<T>(work: (module: pkcs11js.PKCS11, session: Buffer) => Promise<T>): Promise<T> {
    return this.#withSession(({ handle }) => work(this.#module, handle));
  }

  /** A session that is closed afterwards with whatever was begun in it. */
  inOwnSession<T>(work: (session: Buffer) => T): T {
    const session = this.#module.C_OpenSession(this.#slot, CKF_SERIAL_SESSION | CKF_RW_SESSION);
    try {
      return work(session);
    } finally {
      this.#module.C_CloseSession(session);
    }
  }

  /** CKM_ */
  mechanisms(): number[] {
    return this.#module.C_GetMechanismList(this.#slot);
  }

  stop(): void {
    this.#module.C_Finalize();
  }

  #findSlot(): Buffer {
    const { label, serial, slot } = this.#options.token;
    const slots = this.#module.C_GetSlotList(true);
    const found = slots.filter((each) => {
      if (slot !== null) return each.readBigUInt64LE() === BigInt(slot);
      const info = this.#module.C_GetTokenInfo(each);
      const matches = (wanted: string | null, seen: string) => wanted === null || seen.trim() === wanted;
      return matches(label, info.label) && matches(serial, info.serialNumber);
    });
    const name = label ?? serial ?? `in slot ${slot}`;
    if (found.length > 1)
      throw new HsmFault(
        'refused',
        `${found.length} tokens are named ${name}: token-serial tells them apart`,
      );
    if (!found[0]) throw new HsmFault('lost', `there is no token ${name} in any of ${slots.length} slots`);
    return found[0];
  }

  #login(session: Buffer): void {
    if (!this.#pin) return;
    try {
      // pkcs11js takes a PIN as a string only; this process holds nothing else for long, and dumps no core.
      this.#module.C_Login(session, CKU.USER, this.#pin.toString('utf8'));
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === CKR_USER_ALREADY_LOGGED_IN))
        throw error;
    }
  }

  #openSession(): Session {
    const handle = this.#module.C_OpenSession(this.#slot, CKF_SERIAL_SESSION | CKF_RW_SESSION);
    try {
      this.#login(handle);
      const key = this.#findKey(handle);
      this.#open++;
      return { handle, key };
    } catch (error) {
      this.#close(handle);
      throw error;
    }
  }

  #close(handle: Buffer): void {
    try {
      this.#module.C_CloseSession(handle);
    } catch {
      // It is gone already.
    }
  }

  #findKey(session: Buffer): Buffer {
    const { label, id } = this.#options.key;
    this.#module.C_FindObjectsInit(session, [
      { type: CKA.CLASS, value: CKO.SECRET_KEY },
      { type: CKA.KEY_TYPE, value: CKK.AES },
      { type: CKA.TOKEN, value: true },
      ...(label === null ? [] : [{ type: CKA.LABEL, value: Buffer.from(label, 'utf8') }]),
      ...(id === null ? [] : [{ type: CKA.ID, value: Buffer.from(id, 'hex') }]),
    ]);
    const found = this.#module.C_FindObjects(session, 2);
    this.#module.C_FindObjectsFinal(session);
    const name = describeKey(this.#options.key);
    if (found.length > 1)
      throw new HsmFault('refused', `the token has more than one ${name}: key-id tells them apart`);
    if (!found[0]) throw new HsmFault('refused', `the token has no AES ${name}`);
    return found[0];
  }

  #chooseMechanism({ handle, key }: Session): WrapMechanism | null {
    if (!key) throw new HsmFault('refused', 'no key');
    const listed = new Set(this.#module.C_GetMechanismList(this.#slot));
    const types = [CKA.ENCRYPT, CKA.DECRYPT, CKA.WRAP, CKA.UNWRAP];
    const read = this.#module.C_GetAttributeValue(
      handle,
      key,
      types.map((type) => ({ type })),
    );
    const may = read.map(({ value }) => isTrue(value as Buffer));
    const permits = { encrypt: may[0] && may[1], wrap: may[2] && may[3] };
    const fits = (row: WrapMechanism) => listed.has(row.ckm) && permits[row.how];
    const wanted = this.#options.mechanism;
    return WRAP_MECHANISMS.find((row) => fits(row) && (wanted === null || row.name === wanted)) ?? null;
  }

  async #take(): Promise<Session> {
    const idle = this.#idle.pop();
    if (idle) return idle;
    if (this.#open < this.#options.sessions) return this.#openSession();
    return new Promise((resolve) => this.#waiters.push(resolve));
  }

  #release(session: Session): void {
    const waiter = this.#waiters.shift();
    if (waiter) waiter(session);
    else this.#idle.push(session);
  }

  /** Once more in a session of its own when the first was stale or said that the device is in trouble. */
  async #withSession<T>(work: (session: Session) => Promise<T>): Promise<T> {
    let session = await this.#take();
    try {
      return await work(session);
    } catch (error) {
      const fault = toHsmFault(error);
      if (fault.meaning !== 'stale' && fault.meaning !== 'lost') throw fault;
      session = this.#replace(session);
      return await work(session);
    } finally {
      this.#release(session);
    }
  }

  /** The number of open sessions stays: a failure to open leaves the stale one in its place, to be replaced by its next user. */
  #replace(stale: Session): Session {
    this.#close(stale.handle);
    stale.key = null;
    const fresh = this.#openSession();
    this.#open--;
    return fresh;
  }

  /** It has just encrypted: a module that replaces our IV is there, and opens nothing. */
  #tellProbe(error: unknown): never {
    const fault = toHsmFault(error);
    if (isOfDevice(fault)) throw fault;
    const cure = 'a module that replaces the IV needs a key wrap as mechanism';
    throw new HsmFault(
      'refused',
      `the module cannot decrypt what it has just encrypted (${fault.message}): ${cure}`,
    );
  }

  async #probe(mechanism: WrapMechanism): Promise<void> {
    // A nonce must never come twice under GCM, not even for a probe.
    const iv = randomBytes(mechanism.how === 'encrypt' ? IV_BYTES : 0);
    const [aad, data] = [Buffer.from('sidekey probe'), randomBytes(64)];
    const body = await this.encrypt({ mechanism, iv, aad, data });
    const again = await this.#withSession((s) =>
      this.#run('decrypt', s, { mechanism, iv, aad, data: body }),
    ).catch((error: unknown) => this.#tellProbe(error));
    if (!again.equals(data))
      throw new HsmFault('lost', 'the module decrypted to other bytes than it had encrypted');
  }

  #run(direction: Direction, session: Session, crypt: Crypt): Promise<Buffer> {
    const { key } = session;
    if (!key) throw new HsmFault('stale', 'the session was closed');
    if (crypt.mechanism.how === 'wrap') return this.#keyWrap(direction, session.handle, key, crypt);
    return this.#gcm(direction, session.handle, key, crypt);
  }

  async #gcm(direction: Direction, session: Buffer, key: Buffer, crypt: Crypt): Promise<Buffer> {
    const { iv, aad, data } = crypt;
    const parameter = { type: CK_PARAMS_GCM, iv, ivBits: iv.length * 8, aad, tagBits: TAG_BITS };
    const mechanism = { mechanism: crypt.mechanism.ckm, parameter };
    const room = Buffer.alloc(ROOM);
    const module = this.#module;
    try {
      if (direction === 'encrypt') module.C_EncryptInit(session, mechanism, key);
      else module.C_DecryptInit(session, mechanism, key);
      const done =
        direction === 'encrypt'
          ? await module.C_EncryptAsync(session, data, room)
          : await module.C_DecryptAsync(session, data, room);
      return Buffer.from(done);
    } finally {
      // Also keeps the parameter's buffers alive for modules that read them late.
      room.fill(0, 0, Math.max(ROOM, parameter.iv.length, parameter.aad.length));
    }
  }

  async #keyWrap(direction: Direction, session: Buffer, key: Buffer, crypt: Crypt): Promise<Buffer> {
    const mechanism = { mechanism: crypt.mechanism.ckm };
    const secret = [
      { type: CKA.CLASS, value: CKO.SECRET_KEY },
      { type: CKA.KEY_TYPE, value: CKK.GENERIC_SECRET },
      { type: CKA.TOKEN, value: false },
      { type: CKA.SENSITIVE, value: false },
      { type: CKA.EXTRACTABLE, value: true },
    ];
    const module = this.#module;
    const object =
      direction === 'encrypt'
        ? module.C_CreateObject(session, [...secret, { type: CKA.VALUE, value: crypt.data }])
        : module.C_UnwrapKey(session, mechanism, key, crypt.data, secret);
    try {
      if (direction === 'encrypt')
        return Buffer.from(module.C_WrapKey(session, mechanism, key, object, Buffer.alloc(ROOM)));
      const [value] = module.C_GetAttributeValue(session, object, [{ type: CKA.VALUE }]);
      return value?.value as Buffer;
    } finally {
      module.C_DestroyObject(session, object);
    }
  }
}
