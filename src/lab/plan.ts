/**
 * The lab on paper: which namespaces, links, addresses and static routes there are. Pure.
 *
 *     control ── spine ─┬─ leaf1 (bridge) ── h1, h2 ── endpoints
 *                       └─ leaf2 (bridge) ── h3, h4 ── endpoints
 *
 * 1. Hosts of a rack share one L2 link, the leaf's bridge; racks, spine and control meet only by routing.
 * 2. Switches hold static routes alone, known when hosts are created; endpoints come and go without one of them changing.
 */
import type { LabOptions } from './options.ts';

export const NETWORKS = [
  { name: 'v4', family: 4, cidr: '10.0.0.0/8', layout: { host: 8, tenant: 8, segment: 4, endpoint: 4 } },
  { name: 'v6', family: 6, cidr: 'fd10::/16', layout: { host: 16, tenant: 16, segment: 16, endpoint: 64 } },
] as const;

export interface RackPlan {
  readonly name: string;
  /** Namespace of the rack's switch. */
  readonly leaf: string;
  readonly number: number;
}
export interface HostPlan {
  readonly name: string;
  readonly rack: RackPlan;
  readonly address4: string;
  readonly address6: string;
  readonly allocator: 'agent' | 'server';
}
export interface LabPlan {
  readonly racks: readonly RackPlan[];
  readonly hosts: readonly HostPlan[];
  readonly control4: string;
  readonly control6: string;
}

/** Hosts fill the racks in order; odd-numbered ones allocate themselves, for even-numbered ones the server does. */
export function planLab({ hosts, racks }: Pick<LabOptions, 'hosts' | 'racks'>): LabPlan {
  const rackPlans = Array.from({ length: racks }, (_, i) => ({
    name: `rack${i + 1}`,
    leaf: `leaf${i + 1}`,
    number: i + 1,
  }));
  const hostPlans: HostPlan[] = [];
  for (const [i, rack] of rackPlans.entries()) {
    const size = Math.floor(hosts / racks) + (i < hosts % racks ? 1 : 0);
    for (let j = 1; j <= size; j++) {
      const number = hostPlans.length + 1;
      hostPlans.push({
        name: `h${number}`,
        rack,
        address4: `192.168.${rack.number}.${j}`,
        address6: `fd00:${rack.number}::${j.toString(16)}`,
        allocator: number % 2 === 1 ? 'agent' : 'server',
      });
    }
  }
  return { racks: rackPlans, hosts: hostPlans, control4: '192.168.200.2', control6: 'fd00:200::2' };
}

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
];
const router = [...quiet, 'net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1'];

const gateway4 = (rack: RackPlan): string => `192.168.${rack.number}.254`;
const gateway6 = (rack: RackPlan): string => `fd00:${rack.number}::fe`;
/** The routed link of a rack to the spine. */
const uplink4 = (rack: RackPlan, end: 'spine' | 'leaf'): string =>
  `192.168.${100 + rack.number}.${end === 'spine' ? 1 : 2}`;
const uplink6 = (rack: RackPlan, end: 'spine' | 'leaf'): string =>
  `fd00:${100 + rack.number}::${end === 'spine' ? 1 : 2}`;

function up(link: string, ...addresses: string[]): string[] {
  return [
    `link set ${link} mtu 1500 up`,
    ...addresses.map((a) => `address add ${a} dev ${link}${a.includes(':') ? ' nodad' : ''}`),
  ];
}

/** The underlay: everything below Romana, reachable before any agent runs. `control` is a namespace that exists already. */
export function underlay(plan: LabPlan): Wiring {
  const links = ['link add eth0 netns control type veth peer name control netns spine'];
  const spine = [...up('lo'), ...up('control', '192.168.200.1/30', 'fd00:200::1/64')];
  const namespaces: NamespacePlan[] = [];
  for (const rack of plan.racks) {
    const hosts = plan.hosts.filter((host) => host.rack === rack);
    links.push(`link add spine netns ${rack.leaf} type veth peer name ${rack.leaf} netns spine`);
    spine.push(
      ...up(rack.leaf, `${uplink4(rack, 'spine')}/30`, `${uplink6(rack, 'spine')}/64`),
      `route add 192.168.${rack.number}.0/24 via ${uplink4(rack, 'leaf')}`,
      `route add fd00:${rack.number}::/64 via ${uplink6(rack, 'leaf')}`,
    );
    const leaf = ['link add br0 type bridge mcast_snooping 0'];
    for (const host of hosts) {
      links.push(`link add eth0 netns ${host.name} type veth peer name ${host.name} netns ${rack.leaf}`);
      leaf.push(`link set ${host.name} master br0`, ...up(host.name));
      namespaces.push({
        name: host.name,
        sysctls: quiet,
        lines: [
          ...up('lo'),
          ...up('eth0', `${host.address4}/24`, `${host.address6}/64`),
          `route add default via ${gateway4(rack)}`,
          `route add default via ${gateway6(rack)}`,
        ],
      });
    }
    leaf.push(
      ...up('lo'),
      ...up('br0', `${gateway4(rack)}/24`, `${gateway6(rack)}/64`),
      ...up('spine', `${uplink4(rack, 'leaf')}/30`, `${uplink6(rack, 'leaf')}/64`),
      `route add default via ${uplink4(rack, 'spine')}`,
      `route add default via ${uplink6(rack, 'spine')}`,
    );
    namespaces.push({ name: rack.leaf, sysctls: router, lines: leaf });
  }
  namespaces.push({ name: 'spine', sysctls: router, lines: spine });
  namespaces.push({
    name: 'control',
    sysctls: quiet,
    lines: [
      ...up('lo'),
      ...up('eth0', `${plan.control4}/30`, `${plan.control6}/64`),
      'route add default via 192.168.200.1',
      'route add default via fd00:200::1',
    ],
  });
  return { links, namespaces };
}

/**
 * The switches' static routes for the ranges that Romana gives out: one per rack on the spine, one per host on a leaf. A leaf drops
 * the rest of its own aggregate: without that an unused range would go round between leaf and spine.
 */
export function switchRoutes(
  plan: LabPlan,
  aggregates: readonly { readonly path: string; readonly cidr: string }[],
  hostCidrs: ReadonlyMap<string, readonly string[]>,
): NamespacePlan[] {
  const via = (cidr: string, four: string, six: string): string => (cidr.includes(':') ? six : four);
  const spine: string[] = [];
  const leaves = plan.racks.map((rack) => {
    const lines: string[] = [];
    for (const { cidr } of aggregates.filter((aggregate) => aggregate.path === rack.name)) {
      spine.push(`route replace ${cidr} via ${via(cidr, uplink4(rack, 'leaf'), uplink6(rack, 'leaf'))}`);
      lines.push(`route replace blackhole ${cidr}`);
    }
    for (const host of plan.hosts.filter((host) => host.rack === rack)) {
      for (const cidr of hostCidrs.get(host.name) ?? []) {
        lines.push(`route replace ${cidr} via ${via(cidr, host.address4, host.address6)}`);
      }
    }
    return { name: rack.leaf, sysctls: [], lines };
  });
  return [...leaves, { name: 'spine', sysctls: [], lines: spine }];
}
