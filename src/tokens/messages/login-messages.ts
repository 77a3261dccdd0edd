/** login, logout, init_token, init_pin, set_pin, session_closed. PINs are wiped from the frame after use. */
import { SidekeyError } from '../../errors.ts';
import { LIMITS } from '../../wire/tables.ts';
import { bindObject, CONTEXT_CREDITS } from '../key-use/binder.ts';
import { findCaller, getObject, type Caller } from '../caller.ts';
import { connectionOf, type Client } from '../clients.ts';
import type { Role } from '../login/logins.ts';
import { CKA, CKU } from '../cryptoki.ts';
import { revoke, type Domain } from '../domain.ts';
import { demandAccess } from '../key-use/key-access.ts';
import { checkPin } from '../login/pin-check.ts';
import { checkPinLength, hashPin } from '../login/pins.ts';
import type { TokenRow } from '../store-port.ts';
import { has } from '../objects/token-object.ts';
import { EMPTY_REPLY, type Handler } from './handler.ts';

function callerIn(domain: Domain, client: bigint, slot: number): Promise<Caller> {
  return findCaller(domain, client, { slot, session: 0, readWrite: true });
}

async function wiping<T>(pins: readonly (Buffer | null)[], work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } finally {
    for (const pin of pins) pin?.fill(0);
  }
}

function toRole(userType: number): Role {
  if (userType === CKU.USER) return 'user';
  if (userType === CKU.SO) return 'so';
  throw new SidekeyError('user_type_invalid', `there is no user of type ${userType}`);
}

async function remember(domain: Domain, client: Client): Promise<void> {
  await domain.keeper.noteClient(client.id, domain.clients.noteOf(client));
}

export const handleLogin: Handler = async (domain, request, reader) => {
  const slot = reader.number();
  const userType = reader.number();
  const pin = reader.optionalBytes(LIMITS.pinMax);
  const handle = reader.number();
  reader.end();
  const caller = await callerIn(domain, request.client, slot);
  await wiping([pin], () =>
    userType === CKU.CONTEXT_SPECIFIC
      ? loginForKey(domain, caller, handle, pin)
      : login(domain, caller, toRole(userType), pin),
  );
  return EMPTY_REPLY;
};

async function login(domain: Domain, caller: Caller, role: Role, pin: Buffer | null): Promise<void> {
  const { client, token } = caller;
  if (caller.role === role) throw new SidekeyError('user_already_logged_in', `the ${role} is logged in`);
  if (caller.role !== null)
    throw new SidekeyError('user_another_already_logged_in', `the ${caller.role} is logged in`);
  await checkRolePin(domain, caller, role, pin);
  const now = domain.logins.role(client.process, token.serial);
  if (now !== null && now !== role)
    throw new SidekeyError('user_another_already_logged_in', `the ${now} is logged in`);
  domain.logins.begin(connectionOf(client), token.serial, role);
  try {
    domain.audit.token('login', client.peer, token, { role });
    await allAtOnce(domain, client, token, domain.audit.durable());
  } catch (error) {
    domain.logins.takeBack(client.process, token.serial);
    await allAtOnce(domain, client, token, Promise.resolve()).catch(() => undefined);
    throw error;
  }
}

/** The keeper is told while the audit line is being written to disk. */
async function allAtOnce(
  domain: Domain,
  client: Client,
  token: TokenRow,
  line: Promise<void>,
): Promise<void> {
  await Promise.all([line, revokeOfProcess(domain, client, token), remember(domain, client)]);
}

async function checkRolePin(
  domain: Domain,
  { client, token }: Caller,
  role: Role,
  pin: Buffer | null,
): Promise<void> {
  // Programs log in to any token they find; where there is nothing to protect, any PIN is accepted.
  if (role === 'user' && !domain.catalogue.needsLogin(token)) return;
  if (pin === null) throw new SidekeyError('arguments_bad', 'the only way to log in is with a PIN');
  await checkPin(domain, client.peer, token.id, role, pin);
}

/** CKU_CONTEXT_SPECIFIC: one operation with a key that has CKA_ALWAYS_AUTHENTICATE. */
async function loginForKey(
  domain: Domain,
  caller: Caller,
  handle: number,
  pin: Buffer | null,
): Promise<void> {
  if (!caller.view.seesPrivate)
    throw new SidekeyError(
      'user_not_logged_in',
      'the user must be logged in before a context-specific login',
    );
  const object = getObject(domain, caller, handle, 'operation_not_initialized');
  if (!has(object, CKA.ALWAYS_AUTHENTICATE))
    throw new SidekeyError('operation_not_initialized', 'this key needs no context-specific login');
  await checkRolePin(domain, caller, 'user', pin);
  domain.audit.object('login-for-key', caller.client.peer, caller.token, object);
  await bindObject(domain, caller, handle, CONTEXT_CREDITS);
}

/** A login affects all connections of a process: a program may have loaded the module twice. */
async function revokeOfProcess(domain: Domain, client: Client, token: TokenRow): Promise<void> {
  const ids = await domain.clients.sharing(client);
  await Promise.all(ids.map((id) => revoke(domain, token.slot, null, id)));
}

export const handleLogout: Handler = async (domain, request, reader) => {
  const caller = await callerIn(domain, request.client, reader.number());
  reader.end();
  const { client, token, role } = caller;
  if (role === null) throw new SidekeyError('user_not_logged_in', 'nobody is logged in');
  domain.logins.end(client.process, token.serial);
  destroySessionObjects(domain, client.id, token, CKA.PRIVATE);
  const record = async (): Promise<void> => {
    domain.audit.token('logout', client.peer, token, { role });
    await domain.audit.durable();
  };
  await allAtOnce(domain, client, token, record());
  return EMPTY_REPLY;
};

/** `flag` null: all of them. */
function destroySessionObjects(domain: Domain, client: bigint, token: TokenRow, flag: number | null): void {
  for (const object of domain.sessionObjects.list(client, token.id)) {
    if (flag !== null && !has(object, flag)) continue;
    domain.sessionObjects.remove(object);
    if (object.session?.cell != null) domain.cells.drop(object.session.cell);
  }
}

export const handleSessionClosed: Handler = async (domain, request, reader) => {
  const caller = await callerIn(domain, request.client, reader.number());
  const session = reader.number();
  reader.end();
  for (const object of domain.sessionObjects.list(request.client, caller.token.id)) {
    if (object.session?.number !== session) continue;
    domain.sessionObjects.remove(object);
    if (object.session.cell !== null) domain.cells.drop(object.session.cell);
    await revoke(domain, caller.token.slot, object.handle, request.client);
  }
  return EMPTY_REPLY;
};

export const handleInitToken: Handler = async (domain, request, reader) => {
  const slot = reader.number();
  const pin = reader.bytes(LIMITS.pinMax);
  const label = reader.text(32).trimEnd();
  reader.end();
  const client = await domain.clients.find(request.client);
  await wiping([pin], () =>
    slot === domain.catalogue.freeSlot(client.peer)
      ? createToken(domain, client, pin, label)
      : resetToken(domain, client, slot, pin, label),
  );
  return EMPTY_REPLY;
};

async function createToken(domain: Domain, client: Client, pin: Buffer, label: string): Promise<void> {
  checkPinLength(pin);
  if (label === '') throw new SidekeyError('arguments_bad', 'a token needs a label');
  const soPin = await hashPin(pin, domain.random, domain.pinCost);
  const what = {
    name: label,
    provider: domain.createProvider,
    soPin,
    userPin: null,
    createdAt: domain.clock.now(),
  };
  const token = domain.catalogue.add(what);
  domain.audit.token('token-created', client.peer, token, { label });
}

async function resetToken(
  domain: Domain,
  client: Client,
  slot: number,
  pin: Buffer,
  label: string,
): Promise<void> {
  const token = domain.catalogue.inSlot(client.peer, slot);
  demandAccess(domain, client.peer, token, '', 'administer');
  checkPinLength(pin);
  if (token.soPin !== null) await checkPin(domain, client.peer, token.id, 'so', pin);
  const soPin = token.soPin ?? (await hashPin(pin, domain.random, domain.pinCost));
  const clean = { userPin: null, userFailures: 0, soFailures: 0 };
  domain.tokenKeys.forget(token);
  for (const id of domain.clients.ids()) destroySessionObjects(domain, id, token, null);
  domain.logins.endToken(token.serial);
  domain.catalogue.reset(token.id, { ...clean, soPin, label, serial: domain.catalogue.newSerial() });
  domain.objects.forgetAll();
  domain.audit.token('token-initialized', client.peer, token, { label });
  await revoke(domain, slot);
}

export const handleInitPin: Handler = async (domain, request, reader) => {
  const slot = reader.number();
  const pin = reader.bytes(LIMITS.pinMax);
  reader.end();
  const { client, token, role } = await callerIn(domain, request.client, slot);
  await wiping([pin], async () => {
    if (role !== 'so')
      throw new SidekeyError('user_not_logged_in', 'only the security officer can set the first PIN');
    checkPinLength(pin);
    const userPin = await hashPin(pin, domain.random, domain.pinCost);
    domain.logins.pinChanged(token.serial, 'user', client.process);
    domain.catalogue.update(token.id, { userPin, userFailures: 0 });
  });
  domain.audit.token('pin-initialized', client.peer, token);
  return EMPTY_REPLY;
};

export const handleSetPin: Handler = async (domain, request, reader) => {
  const slot = reader.number();
  const role = toRole(reader.number());
  const oldPin = reader.bytes(LIMITS.pinMax);
  const newPin = reader.bytes(LIMITS.pinMax);
  reader.end();
  const { client, token } = await callerIn(domain, request.client, slot);
  await wiping([oldPin, newPin], async () => {
    await checkPin(domain, client.peer, token.id, role, oldPin);
    checkPinLength(newPin);
    const record = await hashPin(newPin, domain.random, domain.pinCost);
    domain.logins.pinChanged(token.serial, role, client.process);
    domain.catalogue.update(token.id, role === 'user' ? { userPin: record } : { soPin: record });
  });
  domain.audit.token('pin-changed', client.peer, token, { role });
  return EMPTY_REPLY;
};
