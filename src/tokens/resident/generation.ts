/** Creates and destroys keys in the key service, through the standard's own functions. */
import type { Peer } from '../../access/peer.ts';
import { SidekeyError } from '../../errors.ts';
import { readBool, readUlong, type AttributeMap } from '../objects/attribute-value.ts';
import { actOf, type Caller } from '../caller.ts';
import { checkCreation } from '../key-use/key-access.ts';
import { CKA, CKK, CKO, MECHANISM_FLAG } from '../cryptoki.ts';
import { revoke, type Domain } from '../domain.ts';
import { typeGeneratedBy } from '../objects/key-types.ts';
import { findMechanism } from '../key-use/key-use.ts';
import { buildAttributes, identify } from '../objects/object-template.ts';
import type { Mechanism } from '../ports.ts';
import { recordResidentMade } from '../recorded.ts';
import type { ResidentKeys, ResidentUse } from '../resident-port.ts';
import type { TokenRow } from '../store-port.ts';
import type { ResidentOptions } from '../token-catalogue.ts';
import type { TokenObject } from '../objects/token-object.ts';
import { findSpec, type SpecRow } from './specs.ts';

const NAME = /^[A-Za-z0-9_./-]{1,255}$/;
const RSA_F4 = '010001';

/** A key's template and, for a pair, that of its public half. */
export interface Templates {
  readonly public: AttributeMap | null;
  readonly key: AttributeMap;
}

/** Whether a token object generated on this token is created in the service. */
export function isMadeInService(domain: Domain, { token }: Caller, template: AttributeMap): boolean {
  return readBool(template, CKA.TOKEN) && domain.resident.service(token)?.options.create === true;
}

function build(
  domain: Domain,
  caller: Caller,
  objectClass: number,
  keyType: number,
  template: AttributeMap,
): AttributeMap {
  identify(template, { objectClass, keyType });
  const attributes = buildAttributes({ origin: 'generate', objectClass, keyType, template });
  checkCreation(domain, caller, attributes);
  return attributes;
}

function checkSecrecy(attributes: AttributeMap): void {
  if (readBool(attributes, CKA.EXTRACTABLE) || !readBool(attributes, CKA.SENSITIVE))
    throw new SidekeyError(
      'template_inconsistent',
      'a resident key is always sensitive and never extractable',
    );
}

function demandSpec(service: ResidentKeys, keyType: number, attributes: AttributeMap): SpecRow {
  const exponent = attributes.get(CKA.PUBLIC_EXPONENT)?.toString('hex') ?? '';
  if (keyType === CKK.RSA && exponent !== '' && exponent.padStart(6, '0') !== RSA_F4)
    throw new SidekeyError(
      'attribute_value_invalid',
      'the service only generates keys with the exponent 65537',
    );
  const row = findSpec(keyType, attributes);
  if (row !== null && service.creates.includes(row.spec)) return row;
  const isCurve = attributes.has(CKA.EC_PARAMS);
  throw new SidekeyError(
    isCurve ? 'curve_not_supported' : 'key_size_range',
    'the service cannot generate keys of this type and size',
  );
}

function firstOf({ key, public: shown }: Templates, type: number): Buffer {
  const own = key.get(type);
  return own !== undefined && own.length > 0 ? own : (shown?.get(type) ?? Buffer.alloc(0));
}

/**
 * The complete name, prefix included; throws attribute_value_invalid unless every service would accept it.
 */
export function demandName(name: string): string {
  if (NAME.test(name)) return name;
  throw new SidekeyError(
    'attribute_value_invalid',
    'the name of a key may contain letters, digits and "-", "_", ".", "/"',
  );
}

function nameOf(templates: Templates, { prefix }: ResidentOptions): string {
  const label = firstOf(templates, CKA.LABEL).toString('utf8');
  if (label === '')
    throw new SidekeyError(
      'template_incomplete',
      'a resident key needs a CKA_LABEL: its name in the key service',
    );
  return demandName(prefix + label);
}

function idOf(templates: Templates, service: ResidentKeys): Buffer {
  const id = firstOf(templates, CKA.ID);
  if (id.length === 0 || service.keepsIds) return id;
  throw new SidekeyError(
    'template_inconsistent',
    'the service does not store CKA_ID: one is assigned to the key',
  );
}

/** The usages in the template, without its defaults; if it has none, the usual ones for such keys. */
function usesOf({ key }: Templates, keyType: number, service: ResidentKeys): ResidentUse[] {
  const isCipher = keyType === CKK.AES;
  const canAgree = keyType === CKK.EC && service.agree !== undefined;
  const asked: ResidentUse[] = [];
  if (readBool(key, CKA.SIGN)) asked.push('sign');
  if (readBool(key, CKA.DECRYPT) || readBool(key, CKA.ENCRYPT)) asked.push('decrypt');
  if (readBool(key, CKA.DERIVE) && canAgree) asked.push('agree');
  if (asked.length > 0) return asked;
  return isCipher ? ['decrypt'] : ['sign'];
}

/** The objects of the new key, the public one first. */
export async function generateResident(
  domain: Domain,
  caller: Caller,
  mechanism: Mechanism,
  templates: Templates,
): Promise<TokenObject[]> {
  const source = domain.resident.service(caller.token);
  if (source === null) throw new SidekeyError('internal', 'the token has no resident keys');
  const { service, options } = source;
  const isPair = templates.public !== null;
  const flag = isPair ? MECHANISM_FLAG.GENERATE_KEY_PAIR : MECHANISM_FLAG.GENERATE;
  const { keyType } = findMechanism(domain, caller.token.id, mechanism.type, flag);
  if (keyType === null || typeGeneratedBy(mechanism.type) !== null)
    throw new SidekeyError('mechanism_invalid', 'the service cannot generate keys with this mechanism');
  const shown = isPair ? build(domain, caller, CKO.PUBLIC_KEY, keyType, templates.public) : null;
  const hidden = build(domain, caller, isPair ? CKO.PRIVATE_KEY : CKO.SECRET_KEY, keyType, templates.key);
  checkSecrecy(hidden);
  const { spec, sizeBits } = demandSpec(service, keyType, shown ?? hidden);
  const key = await service.create({
    name: nameOf(templates, options),
    spec,
    sizeBits: sizeBits ?? 8 * (readUlong(hidden, CKA.VALUE_LEN) ?? 0),
    uses: usesOf(templates, keyType, service),
    ckaId: idOf(templates, service),
  });
  return recordResidentMade(domain, actOf(caller), { service, key });
}

/** C_DestroyObject on the object that holds the key; the service's answer goes to the audit log. */
export async function destroyResident(
  domain: Domain,
  peer: Peer,
  token: TokenRow,
  object: TokenObject,
): Promise<void> {
  const source = domain.resident.service(token);
  const key = object.resident;
  if (source === null || key === undefined)
    throw new SidekeyError('internal', 'the object is not a resident key');
  // First, as nothing restores the key if its line cannot be written.
  domain.audit.object('object-destroy-asked', peer, token, object, { service: key.id });
  const outcome = await source.service.destroy(key);
  const gone = domain.resident.objects(token).filter(({ resident }) => resident?.id === key.id);
  domain.resident.remove(token, key);
  for (const { handle } of gone) {
    domain.cells.forget(handle);
    await revoke(domain, token.slot, handle);
  }
  domain.audit.object('object-destroyed', peer, token, object, { service: key.id, outcome });
}
