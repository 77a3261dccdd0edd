/** derive_key: a new key, or data, from one or two keys. */
import { SidekeyError } from '../../errors.ts';
import { WireReader } from '../../wire/buffer.ts';
import { readMechanism, readTemplate } from '../../wire/template.ts';
import { encodeUlong } from '../objects/attribute-value.ts';
import { actOf, findCaller, readPlace, type Caller } from '../caller.ts';
import { CKA, CKM, CKO, MECHANISM_FLAG } from '../cryptoki.ts';
import type { Domain } from '../domain.ts';
import {
  checkLengthSaid,
  checkPrf,
  inheritSecrecy,
  isRevealing,
  isTlsKey,
  refusePieces,
  takeAfterMaster,
} from './derivation-rules.ts';
import { recordedUse, useOf } from '../key-use/each-use.ts';
import { checkCreation, demandUse } from '../key-use/key-access.ts';
import { checkUse, findMechanism, KEY_ERRORS } from '../key-use/key-use.ts';
import { buildAttributes, collect, identify, mergeDemanded } from '../objects/object-template.ts';
import { draftPlain, keep, wantedLength, type Make } from '../objects/object-maker.ts';
import type { Mechanism } from '../ports.ts';
import { classOf, type TokenObject } from '../objects/token-object.ts';
import { deriveAgreed } from '../resident/agreement.ts';
import { isUsedInService, type Shown } from '../resident/named.ts';
import type { Handler } from './handler.ts';
import { findKey, makeFrom } from './key-messages.ts';
import { makerOf, replyHandle } from './object-messages.ts';
import { recordMade } from '../recorded.ts';

/**
 * Mechanisms whose parameter begins with the handle of a second key, or 0 (native-shim/wire/params.h: key,
 * hkdf, ike).
 */
const TWO_KEYS: readonly number[] = [
  CKM.CONCATENATE_BASE_AND_KEY,
  CKM.HKDF_DERIVE,
  CKM.HKDF_DATA,
  CKM.IKE_PRF_DERIVE,
  CKM.IKE2_PRF_PLUS_DERIVE,
];

function findOther(domain: Domain, caller: Caller, { type, params }: Mechanism): TokenObject | null {
  if (!TWO_KEYS.includes(type)) return null;
  const handle = new WireReader(params).number();
  return handle === 0 ? null : findKey(domain, caller, handle, KEY_ERRORS.handle);
}

function checkDeriving(domain: Domain, key: TokenObject, mechanism: number): void {
  checkUse(domain, key, 'derive', mechanism, domain.clock.now());
  if (classOf(key) === CKO.PUBLIC_KEY)
    throw new SidekeyError('key_type_inconsistent', 'a public key cannot be used for derivation');
}

/**
 * A data object with the derived bytes. CKA_VALUE_LEN is not one of its attributes, but a template may use it
 * to say how much to derive.
 */
async function makeData(
  domain: Domain,
  caller: Caller,
  template: Map<number, Buffer>,
  derive: (lengthBytes: number | null) => Promise<Buffer>,
): Promise<TokenObject> {
  const { objectClass } = identify(template, { objectClass: CKO.DATA });
  if (template.has(CKA.VALUE))
    throw new SidekeyError('template_inconsistent', 'CKA_VALUE cannot be set: the derivation produces it');
  template.set(CKA.CLASS, encodeUlong(objectClass));
  const lengthBytes = wantedLength(template);
  template.delete(CKA.VALUE_LEN);
  const attributes = buildAttributes({ origin: 'derive', objectClass, keyType: null, template });
  checkCreation(domain, caller, attributes);
  attributes.set(CKA.VALUE, await derive(lengthBytes));
  const draft = await draftPlain(domain, makerOf(caller), attributes, { origin: 'derive' });
  const [object] = await keep(domain, makerOf(caller), [draft]);
  if (object === undefined) throw new SidekeyError('internal', 'no key was created');
  return object;
}

export const handleDeriveKey: Handler = async (domain, request, reader) => {
  const place = readPlace(reader);
  const mechanism = readMechanism(reader);
  const handle = reader.number();
  const template = collect(readTemplate(reader));
  reader.end();
  const caller = await findCaller(domain, request.client, place);
  const base = findKey(domain, caller, handle, KEY_ERRORS.handle);
  const other = findOther(domain, caller, mechanism);
  const work = (): Promise<Buffer> => derive(domain, caller, { mechanism, template, base, other });
  return recordedUse(domain, useOf(caller, base, 'derive', mechanism.type), () =>
    other === null ? work() : recordedUse(domain, useOf(caller, other, 'derive', mechanism.type), work),
  );
};

/** The secret from the service enters the keeper just as a data key does. */
async function deriveInService(
  domain: Domain,
  caller: Caller,
  mechanism: Mechanism,
  template: Map<number, Buffer>,
  base: Shown,
): Promise<Buffer> {
  const source = domain.resident.service(caller.token);
  if (source === null) throw new SidekeyError('key_handle_invalid', 'the token no longer has resident keys');
  const make = (lengthBytes: number | null): Make => {
    return async (key) => {
      const value = await deriveAgreed(source.service, base.resident, mechanism, lengthBytes);
      return domain.keeper.importComponents(key, [{ type: CKA.VALUE, value }]).finally(() => value.fill(0));
    };
  };
  const from = { origin: 'derive', bases: [base.attributes] } as const;
  const object = await makeFrom(domain, caller, template, from, make);
  recordMade(domain, actOf(caller), 'key-derived', [object], { of: base.uniqueId });
  return replyHandle(object);
}

interface Derivation {
  readonly mechanism: Mechanism;
  readonly template: Map<number, Buffer>;
  readonly base: TokenObject;
  /** The second key, if the mechanism's parameter names one. */
  readonly other: TokenObject | null;
}

/** Everything that may forbid the derivation; completes the template by what the keys demand of it. */
function permitDerivation(domain: Domain, caller: Caller, derivation: Derivation): readonly TokenObject[] {
  const { mechanism, template, base, other } = derivation;
  findMechanism(domain, caller.token.id, mechanism.type, MECHANISM_FLAG.DERIVE);
  const bases = other === null ? [base] : [base, other];
  for (const each of bases) checkDeriving(domain, each, mechanism.type);
  for (const each of bases) demandUse(domain, caller, each, 'derive');
  for (const { attributes } of bases) mergeDemanded(template, attributes.get(CKA.DERIVE_TEMPLATE));
  if (isRevealing(mechanism.type)) {
    for (const each of bases) demandUse(domain, caller, each, 'export');
    inheritSecrecy(bases, template);
    refusePieces(mechanism, bases, template);
  }
  checkPrf(mechanism, base);
  if (isTlsKey(mechanism)) takeAfterMaster(base, template);
  return bases;
}

async function derive(domain: Domain, caller: Caller, derivation: Derivation): Promise<Buffer> {
  const { mechanism, template, base, other } = derivation;
  const bases = permitDerivation(domain, caller, derivation);
  if (isUsedInService(base)) return deriveInService(domain, caller, mechanism, template, base);
  checkLengthSaid(mechanism.type, template);
  const cell = await domain.cells.take(caller.token, base);
  const otherCell = other === null ? null : await domain.cells.take(caller.token, other);
  if (mechanism.type === CKM.HKDF_DATA) {
    const data = await makeData(domain, caller, template, (lengthBytes) =>
      domain.keeper.deriveData(cell, mechanism, lengthBytes, otherCell),
    );
    recordMade(domain, actOf(caller), 'data-derived', [data], { of: base.uniqueId });
    return replyHandle(data);
  }
  const from = { origin: 'derive', bases: bases.map(({ attributes }) => attributes) } as const;
  const object = await makeFrom(
    domain,
    caller,
    template,
    from,
    (lengthBytes) => (key) => domain.keeper.derive(key, cell, mechanism, lengthBytes, otherCell),
  );
  recordMade(domain, actOf(caller), 'key-derived', [object], { of: base.uniqueId });
  return replyHandle(object);
}
