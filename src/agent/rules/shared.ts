/**
 * Isolation of endpoints under the shared identity (tenant id 0), whose addresses say nothing of tenant and segment. The number of
 * rules depends on networks alone; each shared endpoint that this host needs is two elements, whoever it may talk to.
 *
 * Two look-ups judge a pair: a map leads from one side's address to its group, and a set says whether the other side is in that group,
 * by its address (`shared/members`) or, for encoded ones, by its masked value (`shared/encoded`). nft 1.0.6 cannot hand the value of a
 * map to a second look-up within one expression, so it has to wait in a field of the packet's metadata. That is the *priority*: the
 * mark belongs to others (service proxies, policy routing), while the kernel itself sets the priority anew, from the type of service,
 * when it begins to forward an IPv4 packet. It is 0 again before anybody else sees the packet, and only packets that begin a flow and
 * have a side under the shared identity come here at all.
 *
 * 1. The map stands in the same rule as the look-up of its value: an address that is in no group ends the rule, so a priority that
 *    somebody else had set is never taken for a group.
 * 2. Every way out of a chain here sets the priority to 0.
 * 3. Encoded members are looked up in a set of their network, with its mask: the mask of one network makes nonsense of another's
 *    addresses, which could equal a member by chance.
 */
import { type Family, formatAddress, tenantIdentity } from '#core/address/index.ts';
import type { PolicyNetwork, SharedGroup, SharedRules } from '#core/policy/index.ts';
import type { ChainSpec, RuleSpec, SetSpec } from './ruleset.ts';
import { addressType, families, inner, keyword, masked, rule, type Side } from './words.ts';

const groupMap = (family: Family): string => `shared${family}`;
const memberSet = (family: Family): string => `shared_members${family}`;
const openSet = (family: Family): string => `shared_open${family}`;
const encodedSet = ({ name }: PolicyNetwork): string => `shared_encoded/${name}`;

export function sharedSets(
  { groups, open }: SharedRules,
  networks: readonly PolicyNetwork[],
): Map<string, SetSpec> {
  const sets = new Map<string, SetSpec>();
  const add = (name: string, type: string, elements: readonly string[]): unknown =>
    sets.set(name, { type, flags: [], elements: new Set(elements) });
  for (const family of families) {
    const type = addressType[family];
    const addresses = groups.flatMap((group) =>
      group.addresses
        .filter((address) => address.family === family)
        .map((address) => ({ group, text: formatAddress(address) })),
    );
    add(
      groupMap(family),
      `${type} : classid`,
      addresses.map(({ group, text }) => `${text} : ${classOf(group)}`),
    );
    add(
      memberSet(family),
      `classid . ${type}`,
      addresses.map(({ group, text }) => `${classOf(group)} . ${text}`),
    );
    add(openSet(family), type, open.filter((address) => address.family === family).map(formatAddress));
  }
  for (const network of networks) {
    const members = groups.flatMap((group) =>
      group.encoded
        .filter((member) => member.network.name === network.name)
        .map(({ value }) => `${classOf(group)} . ${formatAddress(value)}`),
    );
    add(encodedSet(network), `classid . ${addressType[network.plan.family]}`, members);
  }
  return sets;
}

/** Packets with a side under the shared identity take the way of its chain, and come back if nothing there lets them pass. */
export function sharedGates(networks: readonly PolicyNetwork[], pass: 'egress' | 'ingress'): RuleSpec[] {
  return networks.flatMap((network) =>
    (['saddr', 'daddr'] as const).map((side) =>
      rule(
        `shared ${side} ${network.name}`,
        `${masked(side, network, 'tenantMask')} ${formatAddress(tenantIdentity(network.plan, 0))} jump ${chainName(pass, network.plan.family)}`,
      ),
    ),
  );
}

export function sharedOpen(side: Side, verdict: string): RuleSpec[] {
  return families.map((family) =>
    rule(openSet(family), `${keyword[family]} ${side} @${openSet(family)} ${verdict}`),
  );
}

export function sharedChains(
  networks: readonly PolicyNetwork[],
  pass: 'egress' | 'ingress',
  verdict: string,
): [string, ChainSpec][] {
  return families.map((family) => {
    const ip = keyword[family];
    const pair = (id: string, grouped: Side, other: string, set: string): RuleSpec =>
      rule(
        id,
        `meta priority set ${ip} ${grouped} map @${groupMap(family)} meta priority . ${other} @${set} meta priority set 0 ${verdict}`,
      );
    const encoded = networks
      .filter(({ plan }) => plan.family === family)
      .flatMap((network) =>
        (['identityMask', 'tenantMask'] as const).flatMap((mask) => {
          const set = encodedSet(network);
          return [
            pair(`to ${mask} ${set}`, 'saddr', masked('daddr', network, mask), set),
            pair(`from ${mask} ${set}`, 'daddr', masked('saddr', network, mask), set),
          ];
        }),
      );
    const chain = inner([
      pair('both', 'saddr', `${ip} daddr`, memberSet(family)),
      ...encoded,
      rule('none', 'meta priority set 0'),
    ]);
    return [chainName(pass, family), chain];
  });
}

function chainName(pass: 'egress' | 'ingress', family: Family): string {
  return `${pass}_shared${family}`;
}

/** A group's number as nft lists a priority: two halves, hexadecimal. */
function classOf({ number }: SharedGroup): string {
  return `${(number >>> 16).toString(16)}:${(number & 0xffff).toString(16)}`;
}
