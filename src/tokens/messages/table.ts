/**
 * Every message that the keeper routes to the agent, with its handler. A message without a row is refused.
 */
import type { MessageName } from '../../wire/tables.ts';
import type { Handler } from './handler.ts';
import { handleDecapsulateKey, handleEncapsulateKey } from './kem-messages.ts';
import { handleDeriveKey } from './derive-messages.ts';
import {
  handleGenerateDomain,
  handleGenerateKey,
  handleGenerateKeyPair,
  handlePasswordKey,
  handleUnwrapKey,
  handleWrapKey,
} from './key-messages.ts';
import {
  handleInitPin,
  handleInitToken,
  handleLogin,
  handleLogout,
  handleSessionClosed,
  handleSetPin,
} from './login-messages.ts';
import {
  handleCopy,
  handleCreate,
  handleDestroy,
  handleFind,
  handleGetAttributes,
  handleObjectSize,
  handleSetAttributes,
} from './object-messages.ts';
import { handleResidentCheck, handleResidentOperate } from './resident-messages.ts';
import { handleResolve } from './resolve-message.ts';
import { handleMechanisms, handleSlots } from './slot-messages.ts';

export const HANDLERS: ReadonlyMap<string, Handler> = new Map(
  Object.entries({
    slots: handleSlots,
    mechanisms: handleMechanisms,
    login: handleLogin,
    logout: handleLogout,
    init_token: handleInitToken,
    init_pin: handleInitPin,
    set_pin: handleSetPin,
    session_closed: handleSessionClosed,
    find: handleFind,
    get_attributes: handleGetAttributes,
    set_attributes: handleSetAttributes,
    create: handleCreate,
    copy: handleCopy,
    destroy: handleDestroy,
    object_size: handleObjectSize,
    generate_key: handleGenerateKey,
    generate_key_pair: handleGenerateKeyPair,
    wrap_key: handleWrapKey,
    unwrap_key: handleUnwrapKey,
    derive_key: handleDeriveKey,
    resident_check: handleResidentCheck,
    resident_operate: handleResidentOperate,
    password_key: handlePasswordKey,
    generate_domain: handleGenerateDomain,
    encapsulate_key: handleEncapsulateKey,
    decapsulate_key: handleDecapsulateKey,
    resolve: handleResolve,
  } satisfies Partial<Record<MessageName, Handler>>),
);
