/**
 * Sites to try the computation on: zones and racks, one or two devices or none at each level, every fabric and mixtures, hosts with one
 * or two links, several networks of both families, one of them carved by nobody. For tests only.
 */
import * as fc from 'fast-check';
import {
  addressPlan,
  type Cidr,
  cidrOf,
  parseAddress,
  parseCidr,
  parseLayout,
  withField,
} from '../address/index.ts';
import { type CarvedGroup, carve, type GroupNode } from '../plan/index.ts';
import type { Device, Fabric, HostUplink } from './fabric.ts';
import type { RoutingGroup, RoutingHost, RoutingInput, RoutingNetwork } from './model.ts';
import { bgp, device, deviceUplink, l2, l3Static, uplink, vpc } from './testing.ts';

const kinds = ['none', 'l2', 'l3-static', 'bgp', 'direct', 'vpc'] as const;
type Kind = (typeof kinds)[number];

interface HostShape {
  readonly homes: 'stated' | 'first' | 'last' | 'both';
  /** Host ids, a power of two; they are ranges of their own where the host field is full of them. */
  readonly ids: number;
  readonly flat: boolean;
  readonly state: RoutingHost['state'];
  /** Takes a single address (or a few) of the host that is so many places before it. */
  readonly takes: number | null;
}
interface RackShape {
  readonly fabric: Kind;
  readonly devices: number;
  /** The second device is linked to one device above only. */
  readonly partial: boolean;
  readonly hosts: readonly HostShape[];
}
interface ZoneShape {
  readonly fabric: Kind;
  readonly devices: number;
  readonly racks: readonly RackShape[];
}
export interface Shape {
  readonly fabric: Kind;
  readonly spines: number;
  readonly slots: boolean;
  readonly zones: readonly ZoneShape[];
  readonly aggregate: boolean | null;
  readonly perHost: boolean;
  readonly addresses: boolean;
  readonly unnumbered: boolean;
  readonly interior: boolean;
  readonly second: boolean;
}

const hostShape = fc.record({
  homes: fc.constantFrom('stated', 'stated', 'first', 'last', 'both'),
  ids: fc.constantFrom(1, 1, 2, 4),
  flat: fc.boolean(),
  state: fc.constantFrom('active', 'active', 'active', 'active', 'draining', 'fenced', 'lost'),
  takes: fc.option(fc.integer({ min: 1, max: 6 }), { nil: null, freq: 3 }),
} as const);

/** `from`: fabrics to take; at the top one of them for all, below them 'none' or, with `mixed`, any. `spines` at the top at least. */
export function shapes(from: readonly Kind[], mixed: boolean, spines: number): fc.Arbitrary<Shape> {
  const below = mixed ? fc.constantFrom('none' as const, ...from) : fc.constant('none' as const);
  const rack = fc.record({
    fabric: below,
    devices: fc.integer({ min: 0, max: 2 }),
    partial: fc.boolean(),
    hosts: fc.array(hostShape, { maxLength: 3 }),
  });
  const zone = fc.record({
    fabric: below,
    devices: fc.constantFrom(0, 0, 1, 2),
    racks: fc.array(rack, { minLength: 1, maxLength: 3 }),
  });
  return fc.record({
    fabric: fc.constantFrom(...from),
    spines: fc.integer({ min: spines, max: 2 }),
    slots: fc.boolean(),
    zones: fc.array(zone, { minLength: 1, maxLength: 3 }),
    aggregate: fc.constantFrom(null, null, true, false),
    perHost: fc.boolean(),
    addresses: fc.boolean(),
    unnumbered: fc.boolean(),
    interior: fc.boolean(),
    second: fc.boolean(),
  });
}

const n4 = addressPlan(parseCidr('10.0.0.0/8'), parseLayout('8/8/4/4'));
const n6 = addressPlan(parseCidr('fd10::/16'), parseLayout('16/16/16/64'));
const flat = parseCidr('172.30.0.0/16');
const other = parseCidr('100.64.0.0/10');

/** One input for one shape. Every host has addresses of both families, every device too. */
export function build(shape: Shape): RoutingInput {
  const groups: GroupNode[] = shape.zones.map(({ racks }, z) => ({
    name: `z${z}`,
    groups: racks.map((_, r) => ({ name: `r${r}` })),
    ...(shape.slots ? { slots: 4 } : {}),
  }));
  const carved = { n4: byPath(carve(n4, { groups })), n6: byPath(carve(n6, { groups })) };
  const aggregatesOf = (path: string): RoutingGroup['aggregates'] =>
    path === ''
      ? [
          { network: 'n4', cidr: n4.cidr },
          { network: 'n6', cidr: n6.cidr },
        ]
      : (['n4', 'n6'] as const).map((name) => ({ network: name, cidr: carved[name].get(path)!.cidr }));
  const fabricOf = (kind: Kind): Fabric | null => fabric(kind, shape);
  const hosts: RoutingHost[] = [];
  let made = 0;
  const devices = (count: number, above: readonly Device[], asn: number, partial: boolean): Device[] =>
    Array.from({ length: count }, (_, n) => {
      const number = ++made;
      return device(`d${number}`, [`192.168.${number}.1`, `fd00:${number}::1`], {
        asn: shape.interior ? 65_000 : asn + n,
        routeReflector: shape.interior,
        uplinks: above
          .filter((_each, i) => !partial || n === 0 || i === 0)
          .map((upper) =>
            deviceUplink(
              upper.name,
              [`172.16.${number}.${upper.name.slice(1)}`, `fd01:${number}::${upper.name.slice(1)}`],
              [],
            ),
          ),
      });
    });
  const spines = devices(shape.spines, [], 65_000, false);
  const zones = shape.zones.map((zone, z): RoutingGroup => {
    const path = `z${z}`;
    const middle = devices(zone.devices, spines, 65_010 + 10 * z, false);
    const above = middle.length > 0 ? middle : spines;
    const racks = zone.racks.map((rack, r): RoutingGroup => {
      const own = devices(rack.devices, above, 65_100 + 100 * z + 10 * r, rack.partial);
      const serving = own.length > 0 ? own : above;
      const range = carved.n4.get(`${path}/r${r}`)!;
      const range6 = carved.n6.get(`${path}/r${r}`)!;
      let next = 0;
      for (const one of rack.hosts) {
        next = Math.ceil(Math.max(1, next) / one.ids) * one.ids;
        hosts.push(
          hostOf(
            `${path}/r${r}`,
            // With one link to a device of the top, the others of the top have no way to the host.
            serving === spines ? { ...one, homes: one.homes === 'stated' ? 'stated' : 'both' } : one,
            hosts,
            serving,
            rack.partial,
            shape,
            [
              { network: 'n4', cidr: at(n4.cidr, n4.cidr.length + 8, range.firstHostId + next, one.ids) },
              { network: 'n6', cidr: at(n6.cidr, n6.cidr.length + 16, range6.firstHostId + next, one.ids) },
            ],
          ),
        );
        next += one.ids;
      }
      return {
        path: `${path}/r${r}`,
        fabric: fabricOf(rack.fabric),
        devices: own,
        aggregates: aggregatesOf(`${path}/r${r}`),
        groups: [],
      };
    });
    return {
      path,
      fabric: fabricOf(zone.fabric),
      devices: middle,
      aggregates: aggregatesOf(path),
      groups: racks,
    };
  });
  const root: RoutingGroup = {
    path: '',
    fabric: fabricOf(shape.fabric),
    devices: spines,
    aggregates: aggregatesOf(''),
    groups: zones,
  };
  const networks: RoutingNetwork[] = [
    { name: 'n4', cidr: n4.cidr, topology: 'default' },
    { name: 'n6', cidr: n6.cidr, topology: 'default' },
    { name: 'flat', cidr: flat, topology: null },
    ...(shape.second ? [{ name: 'other', cidr: other, topology: 'second' }] : []),
  ];
  const second: RoutingGroup = {
    path: '',
    fabric: l3Static,
    devices: [],
    aggregates: [{ network: 'other', cidr: other }],
    groups: [],
  };
  return {
    networks,
    topologies: [{ name: 'default', root }, ...(shape.second ? [{ name: 'second', root: second }] : [])],
    hosts,
  };
}

function fabric(kind: Kind, { aggregate, perHost, addresses, unnumbered }: Shape): Fabric | null {
  if (kind === 'none') return null;
  if (kind === 'l2') return l2;
  if (kind === 'l3-static') return l3Static;
  if (kind === 'vpc') return vpc;
  const announceAddresses = addresses;
  return bgp({
    hostAsn: 64_600,
    hostAsnPerHost: perHost,
    aggregate,
    announceAddresses,
    unnumbered: unnumbered && kind === 'bgp',
    daemon: 'frr',
    direct: kind === 'direct',
  });
}

function hostOf(
  path: string,
  one: HostShape,
  before: readonly RoutingHost[],
  serving: readonly Device[],
  partial: boolean,
  shape: Shape,
  carved: RoutingHost['ranges'],
): RoutingHost {
  const number = before.length + 1;
  const homes = partial && one.homes === 'last' ? 'first' : one.homes;
  // Sessions over links need the links' names.
  const stated = homes === 'stated' && !shape.unnumbered;
  const to = stated
    ? []
    : homes === 'first'
      ? serving.slice(0, 1)
      : homes === 'last'
        ? serving.slice(-1)
        : serving;
  const uplinks: HostUplink[] = to.map(({ name }) =>
    uplink(name, [`172.20.${number}.${name.slice(1)}`, `fd02:${number}::${name.slice(1)}`], `up-${name}`),
  );
  const victim = one.takes === null ? undefined : before[before.length - one.takes];
  return {
    name: `h${String(number).padStart(2, '0')}`,
    addresses: [parseAddress(`172.19.0.${number}`), parseAddress(`fd03::${number}`)],
    uplinks,
    asn: shape.interior ? 65_000 : null,
    places: [{ topology: 'default', path }, ...(shape.second ? [{ topology: 'second', path: '' }] : [])],
    ranges: [
      ...carved,
      ...(one.flat ? [{ network: 'flat', cidr: at(flat, 24, number, 1) }] : []),
      ...(one.flat && shape.second ? [{ network: 'other', cidr: at(other, 20, number, 1) }] : []),
    ],
    granted: victim === undefined ? [] : victim.ranges.slice(0, 2).map(({ cidr }) => narrow(cidr, number)),
    state: one.state,
    number,
  };
}

/** A part of it for this host alone: the third /28 or so of a range of its own. */
function narrow(cidr: Cidr, number: number): Cidr {
  return at(cidr, cidr.length + 8, 16 + number, 1);
}

function at(base: Cidr, length: number, index: number, count: number): Cidr {
  return cidrOf(withField(base.address, length, index), length - Math.log2(count));
}

function byPath(groups: readonly CarvedGroup[]): Map<string, CarvedGroup> {
  return new Map(groups.map((group) => [group.path, group]));
}

/** What can be missing, doubled or wrong in what a site states; applied to whatever `at` picks. */
const faults = [
  'no v4 address',
  'no v6 address',
  'no address',
  'same address as the first host',
  'unknown uplink',
  'uplink to a device of anywhere',
  'no place',
  'unknown group',
  'range of another host',
  'device without address',
  'device without AS number',
  'device without uplinks',
  'device linked to itself',
  'device of the name of another',
] as const;
type Fault = (typeof faults)[number];
export const harms: fc.Arbitrary<readonly { readonly fault: Fault; readonly at: number }[]> = fc.array(
  fc.record({ fault: fc.constantFrom(...faults), at: fc.nat(100) }),
  { minLength: 1, maxLength: 4 },
);

export function harmed(
  input: RoutingInput,
  harm: { readonly fault: Fault; readonly at: number },
): RoutingInput {
  const { fault, at: pick } = harm;
  const { hosts, topologies } = input;
  if (fault.startsWith('device')) {
    const [first, ...others] = topologies;
    const all: string[] = [];
    const collect = (group: RoutingGroup): void => {
      all.push(...group.devices.map(({ name }) => name));
      group.groups.forEach(collect);
    };
    collect(first!.root);
    const chosen = all[pick % Math.max(1, all.length)];
    const change = (group: RoutingGroup): RoutingGroup => ({
      ...group,
      devices: group.devices.map((each) => (each.name === chosen ? harmedDevice(each, fault, all) : each)),
      groups: group.groups.map(change),
    });
    return { ...input, topologies: [{ ...first!, root: change(first!.root) }, ...others] };
  }
  const chosen = hosts[pick % Math.max(1, hosts.length)];
  if (fault === 'uplink to a device of anywhere') {
    const more = [
      ...(chosen?.uplinks ?? []),
      uplink(`d${1 + (pick % 8)}`, [`172.20.200.${pick}`, `fd02:200::${pick}`]),
    ];
    return { ...input, hosts: hosts.map((host) => (host === chosen ? { ...host, uplinks: more } : host)) };
  }
  return {
    ...input,
    hosts: hosts.map((host) => (host === chosen ? harmedHost(host, fault, hosts[0]!) : host)),
  };
}

function harmedHost(host: RoutingHost, fault: Fault, first: RoutingHost): RoutingHost {
  const without = (family: number): RoutingHost => ({
    ...host,
    addresses: host.addresses.filter((address) => address.family !== family),
    uplinks: host.uplinks.map((each) => ({
      ...each,
      addresses: each.addresses.filter((address) => address.family !== family),
    })),
  });
  if (fault === 'no v4 address') return without(4);
  if (fault === 'no v6 address') return without(6);
  if (fault === 'no address') return { ...host, addresses: [], uplinks: [] };
  if (fault === 'same address as the first host')
    return { ...host, addresses: first.addresses, uplinks: first.uplinks };
  if (fault === 'unknown uplink') return { ...host, uplinks: [uplink('nobody', [])] };
  if (fault === 'no place') return { ...host, places: [] };
  if (fault === 'unknown group') return { ...host, places: [{ topology: 'default', path: 'z0/unknown' }] };
  return { ...host, ranges: first.ranges };
}

function harmedDevice(each: Device, fault: Fault, all: readonly string[]): Device {
  if (fault === 'device without address') return { ...each, addresses: [] };
  if (fault === 'device without AS number') return { ...each, asn: null };
  if (fault === 'device without uplinks') return { ...each, uplinks: [] };
  if (fault === 'device linked to itself') return { ...each, uplinks: [deviceUplink(each.name, [], [])] };
  return { ...each, name: all[0]! };
}
