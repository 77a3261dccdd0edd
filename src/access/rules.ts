/**
 * Who may use which token. A token is open to a peer when one of its rules matches; without rules, to the uid that owns the agent
 * alone. Root is not special: it is admitted by a rule like everybody else (though it can become any uid that is).
 */
import type { AccessPolicy } from '../tokens/ports.ts';
import type { Peer } from './peer.ts';

/** Every condition of a rule must hold; names were resolved when the configuration was read. */
export interface AccessRule {
  readonly uid?: number;
  /** The primary group or a supplementary one. */
  readonly gid?: number;
  /** The absolute path of the program, links resolved. Whoever may replace the file is admitted with it. */
  readonly executable?: string;
  readonly unit?: string;
  readonly any?: true;
}

export interface TokenAccess {
  readonly label: string;
  /** Empty: the agent's own uid alone. */
  readonly allow: readonly AccessRule[];
}

type Condition = (rule: AccessRule, peer: Peer) => boolean;

const CONDITIONS: { readonly [Name in keyof AccessRule]-?: Condition } = {
  uid: (rule, peer) => peer.uid === rule.uid,
  gid: (rule, peer) => rule.gid !== undefined && [peer.gid, ...peer.groups].includes(rule.gid),
  executable: (rule, peer) => peer.executable === rule.executable,
  unit: (rule, peer) => peer.unit === rule.unit,
  any: (rule) => rule.any === true,
};

/** A rule without a condition matches nobody. */
export function matchesRule(rule: AccessRule, peer: Peer): boolean {
  const names = (Object.keys(CONDITIONS) as (keyof AccessRule)[]).filter((name) => rule[name] !== undefined);
  return names.length > 0 && names.every((name) => CONDITIONS[name](rule, peer));
}

export function createAccessPolicy(options: {
  readonly ownUid: number;
  readonly tokens: () => readonly TokenAccess[];
  readonly createTokens: () => boolean;
}): AccessPolicy {
  const own: readonly AccessRule[] = [{ uid: options.ownUid }];
  return {
    admits(peer, label) {
      const token = options.tokens().find((each) => each.label === label);
      const rules = token && token.allow.length > 0 ? token.allow : own;
      return rules.some((rule) => matchesRule(rule, peer));
    },
    mayCreateTokens: (peer) => options.createTokens() && peer.uid === options.ownUid,
  };
}
