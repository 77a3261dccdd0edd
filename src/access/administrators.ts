/** Who may inspect and control the agent: its owner, root, and peers named by rules in the configuration. */
import type { Peer } from './peer.ts';
import { matchesRule, type AccessRule } from './rules.ts';

const ROOT = 0;

export function isAdministrator(peer: Peer, ownUid: number, rules: readonly AccessRule[]): boolean {
  return peer.uid === ownUid || peer.uid === ROOT || rules.some((rule) => matchesRule(rule, peer));
}
