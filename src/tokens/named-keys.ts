/**
 * Keys by name, as the Transit dialect of HTTP has them: the secret key, or the pair, whose CKA_LABEL is the name. The same
 * objects as in PKCS#11; access rules take the place of the PIN, as nobody can type one for a service.
 */
import { SidekeyError } from '../errors.ts';
import type { Peer } from '../access/peer.ts';
import { encodeBool, encodeUlong, readUlong, type AttributeMap } from './attribute-value.ts';
import { CKA, CKK, CKM, CKO } from './cryptoki.ts';
import type { Domain } from './domain.ts';
import { generateKey, generatePair } from './key-generation.ts';
import { checkUse } from './key-use.ts';
import { permittedOperations } from './binder.ts';
import type { View } from './objects.ts';
import type { Mechanism, Operation } from './ports.ts';
import { isGenericKind } from './key-types.ts';
import type { NamedKey, NewNamedKeyKind } from './service.ts';
import type { TokenRow } from './store-port.ts';
import { classOf, has, keyTypeOf, labelOf, type TokenObject } from './token-object.ts';

type Kind = NamedKey['kind'];

const KINDS: ReadonlyMap<number, Kind> = new Map<number, Kind>([
  [CKK.AES, 'aes'],
  [CKK.GENERIC_SECRET, 'generic'],
  [CKK.RSA, 'rsa'],
  [CKK.EC, 'ec'],
  [CKK.EC_EDWARDS, 'ed25519'],
  [CKK.EC_MONTGOMERY, 'x25519'],
]);

export function kindOfKey(object: TokenObject): Kind {
  const keyType = keyTypeOf(object) ?? CKK.GENERIC_SECRET;
  return isGenericKind(keyType) ? 'generic' : (KINDS.get(keyType) ?? 'generic');
}

/** Named curves by the DER of their object identifier. */
const CURVE_BITS: ReadonlyMap<string, number> = new Map([
  ['06082a8648ce3d030107', 256],
  ['06052b81040022', 384],
  ['06052b81040023', 521],
]);
const CURVE_OF_BITS = new Map([...CURVE_BITS].map(([der, bits]) => [bits, Buffer.from(der, 'hex')]));
const ED25519 = Buffer.from('06032b6570', 'hex');

/** null: a certificate, or a key of which it is not known. */
export function sizeBitsOf(object: TokenObject): number | null {
  const { attributes } = object;
  const bytes = readUlong(attributes, CKA.VALUE_LEN);
  if (bytes !== null) return bytes * 8;
  const modulus = attributes.get(CKA.MODULUS);
  if (modulus !== undefined) return modulus.length * 8;
  const curve = attributes.get(CKA.EC_PARAMS);
  return curve === undefined ? null : (CURVE_BITS.get(curve.toString('hex')) ?? 255);
}

const RAW_CURVES: readonly string[] = ['06032b6570', '06032b656e'];

/** Whether the HTTP API has a name for the key's type: it has none for curves beyond these, XTS or ChaCha20. */
function isNameable(object: TokenObject): boolean {
  const keyType = keyTypeOf(object) ?? CKK.GENERIC_SECRET;
  const curve = object.attributes.get(CKA.EC_PARAMS)?.toString('hex');
  if (curve !== undefined) return CURVE_BITS.has(curve) || RAW_CURVES.includes(curve);
  return KINDS.has(keyType) || isGenericKind(keyType);
}

/** Both halves of a pair, or the one secret key. */
interface Members {
  readonly main: TokenObject;
  readonly shown: TokenObject | null;
}

export class NamedKeys {
  readonly #domain: Domain;
  /** Names being made: the second of two creations waits, and then finds the key. */
  readonly #making = new Map<string, Promise<void>>();

  constructor(domain: Domain) {
    this.#domain = domain;
  }

  #token(peer: Peer, name: string): TokenRow {
    const token = this.#domain.catalogue.byName(name);
    if (token !== null && this.#domain.catalogue.admits(peer, token)) return token;
    if (token !== null) this.#domain.audit.token('denied', peer, token, { reason: 'not admitted' });
    throw new SidekeyError('token_not_recognized', `there is no token ${name} for this process`);
  }

  #view(token: TokenRow): View {
    return { tokenId: token.id, client: null, seesPrivate: true };
  }

  list(peer: Peer, tokenName: string): NamedKey[] {
    const token = this.#token(peer, tokenName);
    const members = new Map<string, Members>();
    for (const objectClass of [CKO.SECRET_KEY, CKO.PRIVATE_KEY]) {
      const template = new Map([[CKA.CLASS, encodeUlong(objectClass)]]);
      for (const main of this.#domain.objects.find(this.#view(token), template)) {
        const name = labelOf(main);
        if (name !== '' && !members.has(name))
          members.set(name, { main, shown: this.#publicHalf(token, main) });
      }
    }
    return [...members.values()].map((found) => this.#describe(token, found));
  }

  #publicHalf(token: TokenRow, main: TokenObject): TokenObject | null {
    if (classOf(main) !== CKO.PRIVATE_KEY) return null;
    const asked: [number, Buffer][] = [[CKA.CLASS, encodeUlong(CKO.PUBLIC_KEY)]];
    for (const type of [CKA.ID, CKA.LABEL]) asked.push([type, main.attributes.get(type) ?? Buffer.alloc(0)]);
    for (const shown of this.#domain.objects.find(this.#view(token), new Map(asked)))
      if (keyTypeOf(shown) === keyTypeOf(main)) return shown;
    return null;
  }

  #find(token: TokenRow, name: string): Members | null {
    if (name === '') return null;
    for (const objectClass of [CKO.SECRET_KEY, CKO.PRIVATE_KEY]) {
      const template = new Map([
        [CKA.CLASS, encodeUlong(objectClass)],
        [CKA.LABEL, Buffer.from(name)],
      ]);
      for (const main of this.#domain.objects.find(this.#view(token), template))
        if (isNameable(main)) return { main, shown: this.#publicHalf(token, main) };
    }
    return null;
  }

  find(peer: Peer, tokenName: string, name: string): NamedKey | null {
    const token = this.#token(peer, tokenName);
    const found = this.#find(token, name);
    return found === null ? null : this.#describe(token, found);
  }

  #describe(token: TokenRow, { main, shown }: Members): NamedKey {
    const operations = [main, shown].flatMap((object) =>
      object === null ? [] : permittedOperations(this.#domain, object),
    );
    const info = main.attributes.get(CKA.PUBLIC_KEY_INFO) ?? null;
    return {
      name: labelOf(main),
      token: token.name,
      kind: kindOfKey(main),
      sizeBits: sizeBitsOf(main) ?? 0,
      operations: [...new Set(operations)],
      createdAt: new Date(main.createdAt).toISOString(),
      publicKeyInfo: info === null || info.length === 0 ? null : info,
      extractable: has(main, CKA.EXTRACTABLE),
    };
  }

  /** An existing name is left as it is and answered; the caller sees by its kind whether it is what it wanted. */
  async create(
    peer: Peer,
    tokenName: string,
    name: string,
    kind: NewNamedKeyKind,
    exportable: boolean,
  ): Promise<NamedKey> {
    const token = this.#token(peer, tokenName);
    if (name === '') throw new SidekeyError('arguments_bad', 'a key needs a name');
    const ticket = `${token.id} ${name}`;
    const before = this.#making.get(ticket) ?? Promise.resolve();
    const making = before
      .catch(() => undefined)
      .then(() =>
        this.#find(token, name) === null ? this.#make(peer, token, name, kind, exportable) : undefined,
      );
    this.#making.set(ticket, making);
    await making.finally(() => this.#making.get(ticket) === making && this.#making.delete(ticket));
    const found = this.#find(token, name);
    if (found === null) throw new SidekeyError('internal', `key ${name} was made and is not there`);
    return this.#describe(token, found);
  }

  async #make(
    peer: Peer,
    token: TokenRow,
    name: string,
    kind: NewNamedKeyKind,
    exportable: boolean,
  ): Promise<void> {
    const maker = { token, session: null };
    const common: [number, Buffer][] = [
      [CKA.TOKEN, encodeBool(true)],
      [CKA.LABEL, Buffer.from(name)],
      [CKA.ID, this.#domain.random(16)],
    ];
    const guarded = [
      ...common,
      [CKA.SENSITIVE, encodeBool(true)],
      [CKA.EXTRACTABLE, encodeBool(exportable)],
    ] as const;
    const { mechanism, parameters } = recipe(kind);
    const made: TokenObject[] = [];
    if (kind.kind === 'aes' || kind.kind === 'generic') {
      const template = new Map([...guarded, ...parameters]);
      made.push(await generateKey(this.#domain, maker, mechanism, template, () => undefined));
    } else {
      const templates = { public: new Map([...common, ...parameters]), private: new Map(guarded) };
      const pair = await generatePair(this.#domain, maker, mechanism, templates, () => undefined);
      made.push(pair.public, pair.private);
    }
    for (const object of made) this.#domain.audit.object('key-generated', peer, token, object);
  }

  async operate(
    peer: Peer,
    tokenName: string,
    name: string,
    operation: Operation,
    mechanism: Mechanism,
    data: Buffer,
    signature?: Buffer,
  ): Promise<Buffer> {
    const token = this.#token(peer, tokenName);
    const object = this.#forOperation(this.#find(token, name), name, operation);
    if (operation === 'digest') throw new SidekeyError('function_not_supported', 'a digest needs no key');
    checkUse(this.#domain, object, operation, mechanism.type, this.#domain.clock.now());
    if (has(object, CKA.ALWAYS_AUTHENTICATE))
      throw new SidekeyError('user_not_logged_in', `key ${name} asks for a PIN at each use`);
    return this.#operate(token, object, operation, mechanism, data, signature);
  }

  #forOperation(found: Members | null, name: string, operation: Operation): TokenObject {
    const isPublic = operation === 'encrypt' || operation === 'verify';
    const usesShown = isPublic && found !== null && classOf(found.main) === CKO.PRIVATE_KEY;
    const object = usesShown ? found.shown : (found?.main ?? null);
    if (object === null) throw new SidekeyError('key_handle_invalid', `there is no key ${name} for this`);
    return object;
  }

  /** A cell may end between opening and use; once more is enough, since its lease is then new. */
  async #operate(
    token: TokenRow,
    object: TokenObject,
    operation: Operation,
    mechanism: Mechanism,
    data: Buffer,
    signature?: Buffer,
  ): Promise<Buffer> {
    const { cells, keeper } = this.#domain;
    const attempt = async (): Promise<Buffer> =>
      keeper.operate(await cells.take(token, object), operation, mechanism, data, signature);
    return attempt().catch((error: unknown) => {
      if (!(error instanceof SidekeyError) || error.code !== 'cell_unknown') throw error;
      cells.forget(object.handle);
      return attempt();
    });
  }
}

/** What makes a key of this kind. */
function recipe(wanted: NewNamedKeyKind): { mechanism: Mechanism; parameters: AttributeMap } {
  const make = (type: number, parameters: [number, Buffer][]) => ({
    mechanism: { type, params: Buffer.alloc(0) },
    parameters: new Map(parameters),
  });
  switch (wanted.kind) {
    case 'aes':
      return make(CKM.AES_KEY_GEN, [[CKA.VALUE_LEN, encodeUlong(wanted.sizeBits / 8)]]);
    case 'generic':
      return make(CKM.GENERIC_SECRET_KEY_GEN, [[CKA.VALUE_LEN, encodeUlong(Math.ceil(wanted.sizeBits / 8))]]);
    case 'rsa':
      return make(CKM.RSA_PKCS_KEY_PAIR_GEN, [[CKA.MODULUS_BITS, encodeUlong(wanted.sizeBits)]]);
    case 'ec':
      return make(CKM.EC_KEY_PAIR_GEN, [
        [CKA.EC_PARAMS, CURVE_OF_BITS.get(wanted.sizeBits) ?? Buffer.alloc(0)],
      ]);
    case 'ed25519':
      return make(CKM.EC_EDWARDS_KEY_PAIR_GEN, [[CKA.EC_PARAMS, ED25519]]);
  }
}
