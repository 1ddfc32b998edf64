/**
 * Builds the desired `inet romana` table of one host. Pure. The order of judgement:
 *
 * 1. `antispoof` (prerouting −300, before conntrack, whatever the state): a packet from an endpoint link must carry a source of that
 *    very link; an uplink may bring a Romana source only if its host CIDR is assigned to another host; other links may bring none.
 * 2. `judge` (forward): cut flows, then established, then the egress pass if the packet comes from an endpoint link, then the
 *    ingress pass if it leaves to one. What passes between two other hosts is theirs to judge.
 * 3. `to_host` (input): endpoints reach the gateway by ICMP; more only where infrastructure is allowed or the tenant is open.
 *
 * Base chains accept by policy and judge nothing that has no side in Romana. An endpoint link that no element names is dropped by 1,
 * also while no agent runs. Hosts, endpoints, tenants and segments are elements; rules grow with networks and link patterns alone. Shared identity: `shared.ts`.
 */
import {
  type Address,
  aggregate,
  type Cidr,
  type Family,
  formatAddress,
  formatCidr,
} from '#core/address/index.ts';
import { compileIdentityRules, type PolicyModel, type PolicyNetwork } from '#core/policy/index.ts';
import {
  type ChainSpec,
  cutSets,
  markerChain,
  othersRule,
  type RuleSpec,
  type Ruleset,
  type SetSpec,
} from './ruleset.ts';
import { sharedChains, sharedGates, sharedOpen, sharedSets } from './shared.ts';
import { addressType, families, inner, keyword, masked, rule } from './words.ts';

export interface LocalEndpoint {
  readonly tenant: string;
  readonly link: string;
  readonly addresses: readonly Address[];
  readonly sourcePrefixes: readonly Cidr[];
}

export interface RulesInput {
  readonly model: PolicyModel;
  readonly endpoints: readonly LocalEndpoint[];
  /** Host CIDRs of all other hosts. */
  readonly peers: readonly Cidr[];
  readonly uplinks: readonly string[];
  /** Link name patterns of endpoint links, such as `rom*`. */
  readonly endpointLinks: readonly string[];
  readonly gateways: { readonly 4: Address; readonly 6: Address };
  /** Per family: forwarding was off before Romana, so it is turned on for Romana alone. */
  readonly guardOthers: { readonly 4: boolean; readonly 6: boolean };
}

/** What the neighbour protocol needs; nothing else may come from `::` or a link-local source. */
const neighbourDiscovery = 'nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert';
const multicastReports = 'mld-listener-report, mld-listener-done, mld2-listener-report';

export function buildRuleset(input: RulesInput): Ruleset {
  const identity = compileIdentityRules(input.model, new Set(input.endpoints.map(({ tenant }) => tenant)));
  const fromEndpoint = `iifname ${linkPattern(input.endpointLinks)}`;
  const toEndpoint = `oifname ${linkPattern(input.endpointLinks)}`;
  const sets = new Map<string, SetSpec>();
  const add = (name: string, type: string, elements: Iterable<string>, flags: SetSpec['flags'] = []) =>
    sets.set(name, { type, flags, elements: new Set(elements) });

  add('uplinks', 'ifname', input.uplinks);
  for (const family of families) {
    const type = addressType[family];
    const networks = input.model.networks.filter(({ plan }) => plan.family === family);
    const infrastructure = networks.filter((network) => network.infrastructure === 'allow');
    add(
      `endpoints${family}`,
      `ifname . ${type}`,
      perLink(input.endpoints, (endpoint) => addressesOf(endpoint, family)),
    );
    add(
      `sources${family}`,
      `ifname . ${type}`,
      perLink(input.endpoints, (endpoint) => prefixesOf(endpoint, family)),
      ['interval'],
    );
    add(`networks${family}`, type, networks.map(cidrText), ['interval']);
    add(`infrastructure${family}`, type, infrastructure.map(cidrText), ['interval']);
    add(`peers${family}`, type, texts(input.peers, family), ['interval']);
    add(cutSets[family], `${type} . ${type} . inet_proto . inet_service . inet_service`, [], ['timeout']);
  }
  for (const { from, to, segments, tenants } of identity.pairs) {
    const type = `${addressType[from.plan.family]} . ${addressType[to.plan.family]}`;
    const elements = (pairs: typeof segments) =>
      pairs.map(({ source, destination }) => `${formatAddress(source)} . ${formatAddress(destination)}`);
    add(segmentSet(from, to), type, elements(segments));
    add(tenantSet(from, to), type, elements(tenants));
  }
  for (const { network, tenants } of identity.open) {
    add(openSet(network), addressType[network.plan.family], tenants.map(formatAddress));
  }
  for (const [name, set] of sharedSets(identity.shared, identity.networks)) sets.set(name, set);

  const pairRules = (verdict: string): RuleSpec[] =>
    identity.pairs.flatMap(({ from, to }) => [
      rule(
        segmentSet(from, to),
        `${masked('saddr', from, 'identityMask')} . ${masked('daddr', to, 'identityMask')} @${segmentSet(from, to)} ${verdict}`,
      ),
      rule(
        tenantSet(from, to),
        `${masked('saddr', from, 'tenantMask')} . ${masked('daddr', to, 'tenantMask')} @${tenantSet(from, to)} ${verdict}`,
      ),
    ]);
  const openRules = (side: 'saddr' | 'daddr', verdict: string): RuleSpec[] => [
    ...identity.networks.map((network) =>
      rule(openSet(network), `${masked(side, network, 'tenantMask')} @${openSet(network)} ${verdict}`),
    ),
    ...sharedOpen(side, verdict),
  ];
  const cutRules = families.map((family) =>
    rule(
      cutSets[family],
      `meta l4proto { tcp, udp, sctp } ${keyword[family]} saddr . ${keyword[family]} daddr . meta l4proto . th sport . th dport @${cutSets[family]} counter name cut drop`,
    ),
  );
  const inRomana = (side: 'saddr' | 'daddr', verdict: string): RuleSpec[] =>
    families.map((family) =>
      rule(`${side}${family}`, `${keyword[family]} ${side} @networks${family} ${verdict}`),
    );
  const pass = (name: 'egress' | 'ingress'): RuleSpec[] =>
    ['admin', 'tenant', 'baseline'].map((tier) => rule(tier, `jump ${name}_${tier}`));

  const chains = new Map<string, ChainSpec>([
    [markerChain, inner([])],
    [
      'antispoof',
      {
        base: { hook: 'prerouting', priority: -300 },
        rules: [
          rule('local', 'iifname "lo" accept'),
          rule('endpoint', `${fromEndpoint} goto from_endpoint`),
          ...inRomana('saddr', 'goto from_elsewhere'),
        ],
      },
    ],
    ['from_endpoint', inner(antispoofRules(input))],
    [
      'from_elsewhere',
      inner([
        ...families.map((family) =>
          rule(`peer${family}`, `iifname @uplinks ${keyword[family]} saddr @peers${family} accept`),
        ),
        rule('spoofed', 'counter name uplink_spoofed drop'),
      ]),
    ],
    [
      'forward',
      {
        base: { hook: 'forward', priority: 0 },
        rules: [
          rule('from', `${fromEndpoint} goto judge`),
          rule('to', `${toEndpoint} goto judge`),
          // Between two other hosts: they judge. Answers may come another way, so that conntrack here takes half a flow for invalid.
          ...inRomana('saddr', 'accept'),
          ...inRomana('daddr', 'accept'),
          ...families
            .filter((family) => input.guardOthers[family])
            .map((family) => rule(othersRule[family], `meta nfproto ipv${family} counter name others drop`)),
        ],
      },
    ],
    [
      'judge',
      inner([
        ...cutRules,
        rule('established', 'ct state established,related accept'),
        rule('invalid', 'ct state invalid counter name invalid drop'),
        rule('egress', `${fromEndpoint} goto egress`),
        rule('passed', 'goto egress_passed'),
      ]),
    ],
    ['egress', inner([...pass('egress'), rule('isolation', 'goto egress_isolation')])],
    ['egress_admin', inner([])],
    ['egress_tenant', inner([])],
    ['egress_baseline', inner([])],
    [
      'egress_isolation',
      inner([
        ...pairRules('goto egress_passed'),
        ...openRules('saddr', 'goto egress_passed'),
        ...sharedGates(identity.networks, 'egress'),
        ...inRomana('daddr', 'counter name egress_denied drop'),
        rule('outside', 'goto egress_passed'),
      ]),
    ],
    ...sharedChains(identity.networks, 'egress', 'goto egress_passed'),
    ['egress_passed', inner([rule('ingress', `${toEndpoint} goto ingress`), rule('accept', 'accept')])],
    ['ingress', inner([...pass('ingress'), rule('isolation', 'goto ingress_isolation')])],
    ['ingress_admin', inner([])],
    ['ingress_tenant', inner([])],
    ['ingress_baseline', inner([])],
    [
      'ingress_isolation',
      inner([
        ...pairRules('accept'),
        ...openRules('daddr', 'accept'),
        ...sharedGates(identity.networks, 'ingress'),
        rule('denied', 'counter name ingress_denied drop'),
      ]),
    ],
    ...sharedChains(identity.networks, 'ingress', 'accept'),
    [
      'input',
      {
        base: { hook: 'input', priority: 0 },
        rules: [
          rule('from', `${fromEndpoint} goto to_host`),
          rule('local', 'iifname "lo" accept'),
          ...inRomana('saddr', 'goto to_host'),
        ],
      },
    ],
    [
      'to_host',
      inner([
        rule('neighbours', `icmpv6 type { ${neighbourDiscovery}, ${multicastReports} } accept`),
        ...cutRules,
        rule('established', 'ct state established,related accept'),
        rule('gateway4', `ip daddr ${formatAddress(input.gateways[4])} icmp type echo-request accept`),
        rule('gateway6', `ip6 daddr ${formatAddress(input.gateways[6])} icmpv6 type echo-request accept`),
        ...families.map((family) =>
          rule(`infrastructure${family}`, `${keyword[family]} saddr @infrastructure${family} accept`),
        ),
        ...openRules('saddr', 'accept'),
        rule('denied', 'counter name host_denied drop'),
      ]),
    ],
  ]);
  return {
    counters: [
      'cut',
      'egress_denied',
      'host_denied',
      'ingress_denied',
      'invalid',
      'others',
      'spoofed',
      'uplink_spoofed',
    ],
    sets,
    chains,
  };
}

function antispoofRules(input: RulesInput): RuleSpec[] {
  return [
    ...families.flatMap((family) => [
      rule(`endpoint${family}`, `iifname . ${keyword[family]} saddr @endpoints${family} accept`),
      rule(`source${family}`, `iifname . ${keyword[family]} saddr @sources${family} accept`),
    ]),
    rule('dad', `ip6 saddr :: icmpv6 type { nd-neighbor-solicit, ${multicastReports} } accept`),
    rule(
      'neighbours',
      `ip6 saddr fe80::/10 icmpv6 type { ${neighbourDiscovery}, ${multicastReports} } accept`,
    ),
    rule(
      'gateway',
      `ip6 saddr fe80::/10 ip6 daddr ${formatAddress(input.gateways[6])} icmpv6 type echo-request accept`,
    ),
    rule('spoofed', 'counter name spoofed drop'),
  ];
}

function linkPattern(patterns: readonly string[]): string {
  const quoted = patterns.map((pattern) => `"${pattern}"`);
  return quoted.length === 1 ? quoted[0]! : `{ ${quoted.join(', ')} }`;
}

function segmentSet(from: PolicyNetwork, to: PolicyNetwork): string {
  return `segments/${from.name}/${to.name}`;
}
function tenantSet(from: PolicyNetwork, to: PolicyNetwork): string {
  return `tenants/${from.name}/${to.name}`;
}
function openSet(network: PolicyNetwork): string {
  return `open/${network.name}`;
}

function cidrText(network: PolicyNetwork): string {
  return elementText(network.plan.cidr);
}

/** As the kernel lists it: a range of one address has no length. */
function elementText(cidr: Cidr): string {
  return cidr.length === (cidr.address.family === 4 ? 32 : 128)
    ? formatAddress(cidr.address)
    : formatCidr(cidr);
}

function texts(cidrs: readonly Cidr[], family: Family): string[] {
  return cidrs.filter(({ address }) => address.family === family).map(elementText);
}

function addressesOf(endpoint: LocalEndpoint, family: Family): string[] {
  return endpoint.addresses.filter((address) => address.family === family).map(formatAddress);
}

/** Joined, because the kernel refuses overlapping intervals. */
function prefixesOf(endpoint: LocalEndpoint, family: Family): string[] {
  return texts(aggregate(endpoint.sourcePrefixes), family);
}

function perLink(
  endpoints: readonly LocalEndpoint[],
  values: (endpoint: LocalEndpoint) => string[],
): string[] {
  return endpoints.flatMap((endpoint) => values(endpoint).map((value) => `${endpoint.link} . ${value}`));
}
