/** Words of nft that the parts of the table have in common. */
import { formatAddress } from '#core/address/index.ts';
import type { PolicyNetwork } from '#core/policy/index.ts';
import type { ChainSpec, RuleSpec } from './ruleset.ts';

export const families = [4, 6] as const;
export const keyword = { 4: 'ip', 6: 'ip6' } as const;
export const addressType = { 4: 'ipv4_addr', 6: 'ipv6_addr' } as const;
export type Side = 'saddr' | 'daddr';

export function rule(id: string, text: string): RuleSpec {
  return { id, text };
}

export function inner(rules: readonly RuleSpec[]): ChainSpec {
  return { base: null, rules };
}

export function masked(side: Side, network: PolicyNetwork, mask: 'identityMask' | 'tenantMask'): string {
  return `${keyword[network.plan.family]} ${side} & ${formatAddress(network.plan[mask])}`;
}
