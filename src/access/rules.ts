/**
 * Who may do what with which keys of a token. A peer may do what any of the token's rules permits; without
 * rules, only the uid that owns the agent has access, to everything. A rule without keys or operations covers
 * all of them. Root is not special: it needs a rule like everybody else (though it can become any admitted
 * uid).
 */
import type { AccessPolicy } from '../tokens/ports.ts';
import { matchesGlob } from './glob.ts';
import type { AccessOperation } from './operations.ts';
import type { Peer } from './peer.ts';

/** Every condition of a rule must match; names were resolved when the configuration was read. */
export interface AccessRule {
  readonly uid?: number;
  /** The primary group or a supplementary one. */
  readonly gid?: number;
  /** Absolute path of the program, links resolved. Whoever can replace the file is admitted too. */
  readonly executable?: string;
  readonly unit?: string;
  /**
   * Pattern (glob.ts) for the path in the unified hierarchy, by which containers and Kubernetes pods can be
   * told apart.
   */
  readonly cgroup?: string;
  readonly any?: true;
  /** Label patterns; absent: every key. */
  readonly keys?: readonly string[];
  /** Absent: every operation. */
  readonly operations?: readonly AccessOperation[];
}

export interface TokenAccess {
  readonly label: string;
  /** Empty: only the agent's own uid. */
  readonly allow: readonly AccessRule[];
}

type Limit = 'keys' | 'operations';
type ConditionName = Exclude<keyof AccessRule, Limit>;
type Condition = (rule: AccessRule, peer: Peer) => boolean;

const CONDITIONS: { readonly [Name in ConditionName]-?: Condition } = {
  uid: (rule, peer) => peer.uid === rule.uid,
  gid: (rule, peer) => rule.gid !== undefined && [peer.gid, ...peer.groups].includes(rule.gid),
  executable: (rule, peer) => peer.executable === rule.executable,
  unit: (rule, peer) => peer.unit === rule.unit,
  cgroup: (rule, peer) =>
    rule.cgroup !== undefined && peer.cgroup != null && matchesGlob(peer.cgroup, rule.cgroup),
  any: (rule) => rule.any === true,
};
const NAMES = Object.keys(CONDITIONS) as ConditionName[];

/** Which conditions a rule has: each request asks several times. */
const CONDITIONS_OF = new WeakMap<AccessRule, readonly ConditionName[]>();

function conditionsOf(rule: AccessRule): readonly ConditionName[] {
  const known = CONDITIONS_OF.get(rule);
  if (known !== undefined) return known;
  const names = NAMES.filter((name) => rule[name] !== undefined);
  CONDITIONS_OF.set(rule, names);
  return names;
}

/** The first condition that does not match; null: all match. A rule without conditions matches nobody. */
function failedCondition(rule: AccessRule, peer: Peer): ConditionName | null {
  const names = conditionsOf(rule);
  if (names.length === 0) return 'any';
  for (const name of names) if (!CONDITIONS[name](rule, peer)) return name;
  return null;
}

export function matchesRule(rule: AccessRule, peer: Peer): boolean {
  return failedCondition(rule, peer) === null;
}

/** `label` null: every key. */
function coversKey({ keys }: AccessRule, label: string | null): boolean {
  if (keys === undefined) return true;
  return label !== null && keys.some((pattern) => matchesGlob(label, pattern));
}

function coversOperation({ operations }: AccessRule, operation: AccessOperation): boolean {
  return operations === undefined || operations.includes(operation);
}

/** A rule and its effect. */
export interface Considered {
  /** Its place in the configuration: tokens[0].allow[2]. */
  readonly rule: string;
  /** Why it does not apply; null: it permits. */
  readonly because: ConditionName | Limit | null;
}

export interface Decision {
  readonly allowed: boolean;
  /** The rule that permits; null: none. */
  readonly rule: string | null;
  readonly considered: readonly Considered[];
}

export interface RulePolicy extends AccessPolicy {
  /** For `sidekey access explain`: what permits() would answer, and why. */
  decide(peer: Peer, tokenLabel: string, key: string, operation: AccessOperation): Decision;
}

export function createAccessPolicy(options: {
  readonly ownUid: number;
  readonly tokens: () => readonly TokenAccess[];
  readonly createTokens: () => boolean;
}): RulePolicy {
  const own: readonly AccessRule[] = [{ uid: options.ownUid }];
  const rulesOf = (label: string): readonly AccessRule[] => {
    const token = options.tokens().find((each) => each.label === label);
    return token && token.allow.length > 0 ? token.allow : own;
  };
  const namedRulesOf = (label: string): (readonly [string, AccessRule])[] => {
    const at = options.tokens().findIndex((each) => each.label === label);
    return rulesOf(label).map((rule, i) => {
      const isOwn = rule === own[0];
      return [isOwn ? 'no rules: the uid that owns the agent' : `tokens[${at}].allow[${i}]`, rule] as const;
    });
  };
  return {
    admits: (peer, label) => rulesOf(label).some((rule) => matchesRule(rule, peer)),
    sees: (peer, label, key) =>
      rulesOf(label).some((rule) => coversKey(rule, key) && matchesRule(rule, peer)),
    permits: (peer, label, key, operation) =>
      rulesOf(label).some(
        (rule) => coversOperation(rule, operation) && coversKey(rule, key) && matchesRule(rule, peer),
      ),
    permitsSome: (peer, label, operations) =>
      rulesOf(label).some(
        (rule) => operations.some((each) => coversOperation(rule, each)) && matchesRule(rule, peer),
      ),
    decide(peer, label, key, operation) {
      const considered = namedRulesOf(label).map(([name, rule]): Considered => {
        const failed = failedCondition(rule, peer) ?? (coversKey(rule, key) ? null : 'keys');
        return { rule: name, because: failed ?? (coversOperation(rule, operation) ? null : 'operations') };
      });
      const rule = considered.find(({ because }) => because === null)?.rule ?? null;
      return { allowed: rule !== null, rule, considered };
    },
    mayCreateTokens: (peer) => options.createTokens() && peer.uid === options.ownUid,
  };
}
