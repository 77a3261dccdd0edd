/** A logged-in session of a PKCS#11 program (pkcs11js) on an instance, in the test's own process. */
import pkcs11js from 'pkcs11js';
import type { Test } from 'tap';
import { MODULE, PIN, type Instance } from './instance.ts';

export interface Token {
  readonly p11: pkcs11js.PKCS11;
  readonly slot: pkcs11js.Handle;
  readonly session: pkcs11js.Handle;
}

export function loadModule(t: Test, instance: Instance): pkcs11js.PKCS11 {
  process.env['SIDEKEY_SOCKET'] = instance.socket;
  const p11 = new pkcs11js.PKCS11();
  p11.load(MODULE);
  p11.C_Initialize();
  t.teardown(() => {
    p11.C_Finalize();
    p11.close();
  });
  return p11;
}

export function openToken(t: Test, instance: Instance): Token {
  const p11 = loadModule(t, instance);
  const slot = p11.C_GetSlotList(true)[0];
  if (!slot) throw new Error('no token');
  const session = p11.C_OpenSession(slot, pkcs11js.CKF_SERIAL_SESSION | pkcs11js.CKF_RW_SESSION);
  p11.C_Login(session, pkcs11js.CKU_USER, PIN);
  return { p11, slot, session };
}

/** The CKR_ code that a call ended with; 0 when it did not throw. */
export function codeOf(call: () => unknown): number {
  try {
    call();
    return pkcs11js.CKR_OK;
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    if ('code' in error && typeof error.code === 'number') return error.code;
    // C_CreateObject and C_CopyObject of pkcs11js 2.1 give their code in the text alone.
    const code = /^CKR_\w+:(\d+)/.exec(error.message)?.[1];
    if (code === undefined) throw error;
    return Number(code);
  }
}
