/**
 * Is this host fit to run an agent? A pure judgement over facts, so that each reason can be tested, and the collector of the facts.
 * `refuse`: the agent must not start; it would not work or would cut the host off. `warn`: it works, with a trap.
 */
import {
  type Address,
  type Cidr,
  cidrOf,
  containsAddress,
  containsCidr,
  equalAddress,
  formatAddress,
  formatCidr,
  overlaps,
  parseCidr,
} from '#core/address/index.ts';
import { LINK_PREFIX, NFT_FAMILY, NFT_TABLE, ROUTE_PROTOCOL } from './owned.ts';
import type { HostFacts } from './ports.ts';

export interface Finding {
  readonly severity: 'refuse' | 'warn';
  /** Stable, e.g. `network_contains_host`. */
  readonly code: string;
  readonly message: string;
  readonly remedy: string;
}

export interface ForeignRoute {
  readonly cidr: Cidr;
  /** As `ip route` names it: `static`, `boot`, `bird`, … */
  readonly protocol: string;
  readonly link: string | null;
}

export interface PreflightFacts {
  /** `version` null: missing. */
  readonly programs: readonly {
    readonly name: string;
    readonly debianPackage: string;
    readonly version: string | null;
  }[];
  readonly netAdmin: boolean;
  /** Why the kernel would not take a table like ours; null: it does. */
  readonly tableProblem: string | null;
  readonly host: HostFacts;
  /** Routes of `main` that neither Romana nor the kernel itself made. */
  readonly routes: readonly ForeignRoute[];
  readonly networks: readonly { readonly name: string; readonly cidr: Cidr }[];
  /** The host's own (underlay) addresses, as the control plane has them. */
  readonly nodeAddresses: readonly Address[];
  readonly sysctls: {
    readonly arpIgnoreAll: number;
    readonly rpFilterAll: number;
    /** By link; the default is 1. */
    readonly acceptRa: ReadonlyMap<string, number>;
  };
  readonly conntrack: { readonly count: number; readonly max: number } | null;
  /** Chains of other tables at the forward hook whose policy is drop, as `ip filter FORWARD`. */
  readonly dropChains: readonly string[];
  /** `ours`: a table inet romana with the marker chain. */
  readonly table: 'absent' | 'ours' | 'foreign';
  /** Milliseconds since the epoch. */
  readonly now: number;
}

const CONNTRACK_NEARLY_FULL = 0.8;
const OLDEST_TIME = Date.UTC(2025, 0, 1);
const LINK_LOCAL6 = parseCidr('fe80::/10');
/** Protocols of routing daemons: their routes into Romana networks are what a BGP fabric is made of. */
const SPEAKERS: ReadonlySet<string> = new Set([
  'bird',
  'bgp',
  'zebra',
  'ospf',
  'isis',
  'rip',
  'babel',
  'eigrp',
  'openr',
]);

const checks: readonly ((facts: PreflightFacts) => Finding[])[] = [
  programs,
  privileges,
  kernelTable,
  foreignTable,
  arpIgnore,
  routerAdvertisements,
  nodeAddresses,
  networksAgainstHost,
  networksAgainstRoutes,
  dropChains,
  reversePath,
  conntrack,
  clock,
];

export function preflight(facts: PreflightFacts): Finding[] {
  return checks.flatMap((check) => check(facts));
}

function programs(facts: PreflightFacts): Finding[] {
  return facts.programs
    .filter(({ version }) => version === null)
    .map(({ name, debianPackage }) =>
      refuse(
        'program_missing',
        `The program ${name} is missing.`,
        `Install the Debian package ${debianPackage}.`,
      ),
    );
}

function privileges({ netAdmin }: PreflightFacts): Finding[] {
  if (netAdmin) return [];
  return [
    refuse(
      'not_privileged',
      'The agent may not change the network of this host.',
      'Run it as root or with CAP_NET_ADMIN, and with CAP_SYS_ADMIN to enter namespaces.',
    ),
  ];
}

function kernelTable({ tableProblem }: PreflightFacts): Finding[] {
  if (tableProblem === null) return [];
  return [
    refuse(
      'table_unsupported',
      `The kernel does not take the rules that isolate endpoints: ${tableProblem}`,
      'Use a kernel with nf_tables, concatenated verdict maps and connection tracking (5.10 or newer).',
    ),
  ];
}

function foreignTable({ table }: PreflightFacts): Finding[] {
  if (table !== 'foreign') return [];
  return [
    refuse(
      'table_foreign',
      `There is a table ${NFT_FAMILY} ${NFT_TABLE} that Romana did not make.`,
      `Find out whose it is, then: nft delete table ${NFT_FAMILY} ${NFT_TABLE}.`,
    ),
  ];
}

function arpIgnore({ sysctls, networks }: PreflightFacts): Finding[] {
  if (sysctls.arpIgnoreAll === 0 || !hasFamily(networks, 4)) return [];
  return [
    refuse(
      'arp_ignored',
      `net.ipv4.conf.all.arp_ignore is ${sysctls.arpIgnoreAll}: the gateway 169.254.1.1 would not answer endpoints.`,
      'Set net.ipv4.conf.all.arp_ignore=0.',
    ),
  ];
}

function routerAdvertisements({ host, sysctls, networks }: PreflightFacts): Finding[] {
  if (host.forwarding[6] || !hasFamily(networks, 6)) return [];
  return host.defaultRoutes
    .filter(({ family, fromRouterAdvertisement }) => family === 6 && fromRouterAdvertisement)
    .filter(({ link }) => (sysctls.acceptRa.get(link) ?? 1) !== 2)
    .map(({ link }) =>
      refuse(
        'router_advertisement',
        `The IPv6 default route through ${link} comes from router advertisements; turning forwarding on would end it and cut this host off.`,
        `Set net.ipv6.conf.${link}.accept_ra=2, or configure a static default route.`,
      ),
    );
}

function nodeAddresses({ host, nodeAddresses: wanted }: PreflightFacts): Finding[] {
  return wanted
    .filter((address) => !ownAddresses(host).some((own) => equalAddress(own.address, address)))
    .map((address) =>
      refuse(
        'node_address_missing',
        `The control plane says that this host has the address ${formatAddress(address)}, but no link has it.`,
        'Correct the addresses of the host in the control plane, or configure the address here.',
      ),
    );
}

function networksAgainstHost({ host, networks }: PreflightFacts): Finding[] {
  const findings: Finding[] = [];
  for (const { name, cidr } of networks) {
    for (const { link, address, length } of ownAddresses(host)) {
      const connected = cidrOf(address, length);
      if (address.family !== cidr.address.family || !overlaps(cidr, connected)) continue;
      const inside = containsAddress(cidr, address);
      findings.push(
        inside
          ? refuse(
              'network_contains_host',
              `Network ${name} (${formatCidr(cidr)}) contains this host's own address ${formatAddress(address)} on ${link}.`,
              'Choose another range for the network.',
            )
          : refuse(
              'network_overlaps_link',
              `Network ${name} (${formatCidr(cidr)}) overlaps ${formatCidr(connected)}, which is connected on ${link}.`,
              'Choose another range for the network.',
            ),
      );
    }
  }
  return findings;
}

function networksAgainstRoutes({ networks, routes }: PreflightFacts): Finding[] {
  const findings: Finding[] = [];
  for (const { name, cidr } of networks) {
    for (const route of routes) {
      if (
        route.cidr.length === 0 ||
        SPEAKERS.has(route.protocol) ||
        route.protocol === String(ROUTE_PROTOCOL)
      )
        continue;
      if (!overlaps(cidr, route.cidr)) continue;
      const what = `Network ${name} (${formatCidr(cidr)})`;
      const whose = `the ${route.protocol} route to ${formatCidr(route.cidr)}${route.link === null ? '' : ` on ${route.link}`}`;
      findings.push(
        containsCidr(cidr, route.cidr)
          ? refuse(
              'network_overlaps_route',
              `${what} overlaps ${whose}.`,
              'Remove the route, or choose another range.',
            )
          : warn(
              'network_inside_route',
              `${what} lies inside ${whose}: its addresses are not reached by that route any more.`,
              'Make sure that nothing behind that route uses the range of the network.',
            ),
      );
    }
  }
  return findings;
}

function dropChains({ dropChains: chains, networks }: PreflightFacts): Finding[] {
  return chains.map((chain) => {
    // A chain of family ip cannot speak of IPv6, nor the other way round.
    const fits = networks.find(({ cidr }) => !chain.startsWith(cidr.address.family === 4 ? 'ip6 ' : 'ip '));
    const rule =
      fits === undefined
        ? 'ip saddr NETWORK accept'
        : `${fits.cidr.address.family === 4 ? 'ip' : 'ip6'} saddr ${formatCidr(fits.cidr)} accept`;
    return warn(
      'forward_dropped',
      `The chain ${chain} drops forwarded packets by policy; an accept of Romana does not overrule that.`,
      `Accept each Romana network there in both directions, e.g. nft insert rule ${chain} ${rule} (with Docker: in the chain DOCKER-USER).`,
    );
  });
}

function reversePath({ sysctls }: PreflightFacts): Finding[] {
  if (sysctls.rpFilterAll !== 1) return [];
  return [
    warn(
      'rp_filter_strict',
      'net.ipv4.conf.all.rp_filter is 1: the kernel drops packets of endpoints from further source prefixes, and asymmetric paths.',
      'Set net.ipv4.conf.all.rp_filter=0 and the wanted value on each uplink; Romana checks the sources of endpoints itself.',
    ),
  ];
}

function conntrack({ conntrack: table }: PreflightFacts): Finding[] {
  if (table === null || table.max === 0 || table.count < table.max * CONNTRACK_NEARLY_FULL) return [];
  return [
    warn(
      'conntrack_nearly_full',
      `${table.count} of ${table.max} tracked connections are in use; when none is left new ones are dropped.`,
      'Raise net.netfilter.nf_conntrack_max.',
    ),
  ];
}

function clock({ now }: PreflightFacts): Finding[] {
  if (now >= OLDEST_TIME) return [];
  return [
    warn(
      'clock_wrong',
      `The clock of this host says ${new Date(now).toISOString()}: certificates will seem not to be valid yet.`,
      'Set the clock, e.g. with systemd-timesyncd or chrony.',
    ),
  ];
}

/** Without those of endpoint links that we made, of loopback, and link-local ones: they cannot meet a network. */
function ownAddresses(host: HostFacts): { link: string; address: Address; length: number }[] {
  return host.links
    .filter(({ name }) => !name.startsWith(LINK_PREFIX))
    .flatMap(({ name, addresses }) =>
      addresses.map(({ address, length }) => ({ link: name, address, length })),
    )
    .filter(({ address }) => !containsAddress(LINK_LOCAL6, address));
}

function hasFamily(networks: PreflightFacts['networks'], family: 4 | 6): boolean {
  return networks.some(({ cidr }) => cidr.address.family === family);
}

function refuse(code: string, message: string, remedy: string): Finding {
  return { severity: 'refuse', code, message, remedy };
}

function warn(code: string, message: string, remedy: string): Finding {
  return { severity: 'warn', code, message, remedy };
}
