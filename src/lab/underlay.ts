/**
 * How the lab is wired: links, addresses, and the routes that a site has before Romana comes. Pure.
 *
 * 1. On `l2` the hosts of a rack share a link, the leaf's bridge. On the others each has a link of its own to the leaf and knows no
 *    neighbour on it but the leaf: what goes from host to host goes over the leaf.
 * 2. Racks, spine and control meet by routing alone. What is here leads to addresses of hosts and switches, never into a range that
 *    Romana gives out.
 * 3. Whatever Romana does or undoes, hosts and control reach each other.
 */
import { SPINE } from './fabric.ts';
import { type HostPlan, type LabPlan, type LeafPlan, leavesOf, type Pair4And6 } from './plan.ts';

/** Lines for `ip -batch`, all run in one namespace, and the sysctls to set there before it has links. */
export interface NamespacePlan {
  readonly name: string;
  readonly sysctls: readonly string[];
  readonly lines: readonly string[];
}
export interface Wiring {
  /** Links between namespaces, made from outside of them. */
  readonly links: readonly string[];
  readonly namespaces: readonly NamespacePlan[];
}

const quiet = [
  'net.ipv4.conf.all.rp_filter=0',
  'net.ipv4.conf.default.rp_filter=0',
  'net.ipv4.conf.all.send_redirects=0',
  'net.ipv4.conf.default.send_redirects=0',
  'net.ipv6.conf.all.accept_dad=0',
  'net.ipv6.conf.default.accept_dad=0',
  'net.ipv6.conf.all.accept_ra=0',
  'net.ipv6.conf.default.accept_ra=0',
  // as IPv4 has it: a link that goes down and comes back keeps its addresses
  'net.ipv6.conf.all.keep_addr_on_down=1',
  'net.ipv6.conf.default.keep_addr_on_down=1',
];
/** Flows keep to one of several next hops, by addresses and ports; a link without carrier is none. */
const severalPaths = [
  'net.ipv4.fib_multipath_hash_policy=1',
  'net.ipv6.fib_multipath_hash_policy=1',
  'net.ipv4.conf.all.ignore_routes_with_linkdown=1',
  'net.ipv4.conf.default.ignore_routes_with_linkdown=1',
  'net.ipv6.conf.all.ignore_routes_with_linkdown=1',
  'net.ipv6.conf.default.ignore_routes_with_linkdown=1',
];
const routing = ['net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1'];

function address(text: string, link: string): string {
  return `address add ${text} dev ${link}${text.includes(':') ? ' nodad' : ''}`;
}

function up(link: string, ...addresses: string[]): string[] {
  return [`link set ${link} mtu 1500 up`, ...addresses.map((text) => address(text, link))];
}

/** Of a link with nobody on it but the other end. */
const facing = (own: Pair4And6, other: Pair4And6): string[] => [
  `${own.address4} peer ${other.address4}/32`,
  `${own.address6} peer ${other.address6}/128`,
];

/** One route with a next hop, or several. Those over a link that is not up yet are taken at their word. */
function route(to: string, hops: readonly string[]): string {
  if (hops.length === 1) return `route add ${to} ${hops[0]}`;
  return `route add ${to} ${hops.map((hop) => `nexthop ${hop}`).join(' ')}`;
}

function routes(to4: string, to6: string, via: readonly (Pair4And6 & { readonly dev?: string })[]): string[] {
  const hops = (six: boolean): string[] =>
    via.map(({ address4, address6, dev }) => {
      const hop = `via ${six ? address6 : address4}`;
      return dev === undefined ? hop : `${hop} dev ${dev} onlink`;
    });
  return [route(to4, hops(false)), route(to6, hops(true))];
}

function hostNamespace(plan: LabPlan, { name, address4, address6, links }: HostPlan): NamespacePlan {
  const own = plan.fabric.dualHomed ? [`${address4}/32`, `${address6}/128`] : [];
  return {
    name,
    sysctls: plan.fabric.dualHomed ? [...quiet, ...severalPaths] : quiet,
    lines: [
      ...up('lo', ...own),
      ...links.flatMap((link) =>
        plan.fabric.kind === 'l2'
          ? up(link.name, `${link.address4}/24`, `${link.address6}/64`)
          : up(link.name, ...facing(link, link.leaf)),
      ),
      ...routes(
        'default',
        '::/0',
        links.map(({ name, leaf }) => ({ ...leaf, dev: name })),
      ),
    ],
  };
}

function leafNamespace(plan: LabPlan, leaf: LeafPlan): NamespacePlan {
  const ports = plan.hosts.flatMap((host) => {
    const link = host.links.find((link) => link.leaf === leaf);
    return link === undefined ? [] : [{ host, link }];
  });
  const shared = plan.fabric.kind === 'l2';
  return {
    name: leaf.name,
    sysctls: [...quiet, ...severalPaths, ...routing],
    lines: [
      ...up('lo'),
      ...(shared
        ? [
            'link add br0 type bridge mcast_snooping 0',
            ...up('br0', `${leaf.address4}/24`, `${leaf.address6}/64`),
          ]
        : []),
      ...ports.flatMap(({ host, link }) =>
        shared
          ? [`link set ${host.name} master br0`, ...up(host.name)]
          : up(host.name, ...facing(leaf, link)),
      ),
      ...up('spine', `${leaf.up.address4}/30`, `${leaf.up.address6}/64`),
      ...routes('default', '::/0', [leaf.spine]),
      ...(ownAddressesAreStatic(plan)
        ? ports.flatMap(({ host, link }) =>
            routes(`${host.address4}/32`, `${host.address6}/128`, [
              { ...link, dev: shared ? 'br0' : host.name },
            ]),
          )
        : []),
    ],
  };
}

/** The addresses on `lo` of dual-homed hosts, unless the hosts announce them. */
function ownAddressesAreStatic({ fabric }: LabPlan): boolean {
  return fabric.dualHomed && fabric.kind !== 'bgp';
}

/** The underlay: everything below Romana, reachable before any agent runs. `control` is a namespace that exists already. */
export function underlay(plan: LabPlan): Wiring {
  const leaves = leavesOf(plan);
  const links = [
    'link add eth0 netns control type veth peer name control netns spine',
    ...leaves.map(({ name }) => `link add spine netns ${name} type veth peer name ${name} netns spine`),
    ...plan.hosts.flatMap(({ name, links }) =>
      links.map(
        (link) => `link add ${link.name} netns ${name} type veth peer name ${name} netns ${link.leaf.name}`,
      ),
    ),
  ];
  const spine = [
    ...up('lo'),
    ...up('control', '192.168.200.1/30', 'fd00:200::1/64'),
    ...leaves.flatMap((leaf) => [
      ...up(leaf.name, `${leaf.spine.address4}/30`, `${leaf.spine.address6}/64`),
      ...routes(`${leaf.prefix4}.0/24`, `${leaf.prefix6}::/64`, [leaf.up]),
    ]),
    ...(ownAddressesAreStatic(plan)
      ? plan.racks.flatMap(({ number, leaves }) =>
          routes(
            `192.168.${number}.0/24`,
            `fd00:${number}::/64`,
            leaves.map(({ up }) => up),
          ),
        )
      : []),
  ];
  return {
    links,
    namespaces: [
      ...plan.hosts.map((host) => hostNamespace(plan, host)),
      ...leaves.map((leaf) => leafNamespace(plan, leaf)),
      { name: SPINE, sysctls: [...quiet, ...severalPaths, ...routing], lines: spine },
      {
        name: 'control',
        sysctls: quiet,
        lines: [
          ...up('lo'),
          ...up('eth0', `${plan.control4}/30`, `${plan.control6}/64`),
          'route add default via 192.168.200.1',
          'route add default via fd00:200::1',
        ],
      },
    ],
  };
}
