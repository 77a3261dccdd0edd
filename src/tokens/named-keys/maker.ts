/**
 * Makes one version of a named key: a secret key or a pair, with the name as label and the version's number.
 */
import { encodeBool, encodeUlong } from '../objects/attribute-value.ts';
import { CKA } from '../cryptoki.ts';
import type { Domain } from '../domain.ts';
import { generateKey, generatePair } from '../objects/key-generation.ts';
import { DEFAULT_POLICY, writePolicy, type KeyFamily } from './family.ts';
import { isSecret, recipeFor } from './recipes.ts';
import type { NewNamedKey } from '../service.ts';
import type { TokenRow } from '../store-port.ts';
import type { TokenObject } from '../objects/token-object.ts';

export interface NewVersion extends NewNamedKey {
  readonly name: string;
  readonly version: number;
  /** The key of which this is the next version: it gets the same permissions as the latest. */
  readonly like: KeyFamily | null;
}

/** What the next version inherits: usage and access flags. Not the dates, which may have passed. */
const INHERITED: readonly number[] = [
  ...[CKA.PRIVATE, CKA.MODIFIABLE, CKA.COPYABLE, CKA.DESTROYABLE, CKA.SUBJECT],
  ...[CKA.ENCRYPT, CKA.DECRYPT, CKA.SIGN, CKA.VERIFY, CKA.SIGN_RECOVER, CKA.VERIFY_RECOVER],
  ...[CKA.WRAP, CKA.UNWRAP, CKA.DERIVE, CKA.WRAP_TEMPLATE, CKA.UNWRAP_TEMPLATE, CKA.DERIVE_TEMPLATE],
  ...[CKA.SENSITIVE, CKA.EXTRACTABLE, CKA.WRAP_WITH_TRUSTED, CKA.ALWAYS_AUTHENTICATE],
  ...[CKA.ALLOWED_MECHANISMS, CKA.KEY_TYPE],
];

function inherited(from: TokenObject | null | undefined): [number, Buffer][] {
  return INHERITED.flatMap((type): [number, Buffer][] => {
    const value = from?.attributes.get(type);
    return value === undefined ? [] : [[type, value]];
  });
}

/** Sidekey's own attributes of a version: its number and, on the latest version, the policy of the name. */
export function ownAttributes({ version, derived, like, autoRotateMs = 0 }: NewVersion): Map<number, Buffer> {
  const policy = like?.policy ?? (autoRotateMs > 0 ? { ...DEFAULT_POLICY, autoRotateMs } : null);
  return new Map<number, Buffer>([
    [CKA.SIDEKEY_VERSION, encodeUlong(version)],
    ...(derived ? [[CKA.SIDEKEY_DERIVED, encodeBool(true)] as const] : []),
    ...(policy === null ? [] : writePolicy(policy)),
  ]);
}

/** Durable when it resolves. */
export async function makeVersion(
  domain: Domain,
  token: TokenRow,
  wanted: NewVersion,
): Promise<TokenObject[]> {
  const { name, kind, exportable, derived, like } = wanted;
  const maker = { token, session: null, own: ownAttributes(wanted) };
  const common: [number, Buffer][] = [
    [CKA.TOKEN, encodeBool(true)],
    [CKA.LABEL, Buffer.from(name)],
    [CKA.ID, domain.random(16)],
  ];
  const guarded: [number, Buffer][] = [
    ...common,
    [CKA.SENSITIVE, encodeBool(true)],
    [CKA.EXTRACTABLE, encodeBool(exportable)],
    ...(derived ? [[CKA.DERIVE, encodeBool(true)] as [number, Buffer]] : []),
    ...inherited(like?.latest.main),
  ];
  const { mechanism, parameters } = recipeFor(kind, derived);
  const check = (): void => undefined;
  if (isSecret(kind))
    return [await generateKey(domain, maker, mechanism, new Map([...guarded, ...parameters]), check)];
  const open = new Map([...common, ...inherited(like?.latest.shown), ...parameters]);
  const pair = await generatePair(
    domain,
    maker,
    mechanism,
    { public: open, private: new Map(guarded) },
    check,
  );
  return [pair.public, pair.private];
}
