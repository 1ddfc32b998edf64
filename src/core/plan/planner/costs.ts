/** What a plan costs: routes per device, set elements per host, addresses that nobody can have. */
import { type Family, maxId } from '../../address/index.ts';
import { type Checked, leavesOf, type Shape, shapeOf } from './input.ts';
import { hostBits, type Widths } from './parts.ts';
import type {
  AddressUse,
  Budgets,
  Device,
  Fabric,
  HostElements,
  PlanSizes,
  RouteCount,
  VpcGrain,
} from './types.ts';

export interface RouteLine {
  readonly fabric: Fabric;
  readonly device: Device;
  readonly count: number;
  readonly budget: number | null;
  readonly what: string;
}

/** What device routes are counted for; `shape` may be larger than `shapeOf(sizes)`. */
export interface RouteQuestion {
  readonly sizes: PlanSizes;
  readonly shape: Shape;
  readonly families: readonly Family[];
  readonly budgets: Budgets;
  readonly vpcPer: VpcGrain;
}

/**
 * Routes to other hosts and groups, one per range and network: an aggregate per group, one range per host. A host's routes to its
 * own endpoints and its blackhole are local and not counted, nor are default routes.
 */
export function routeLines(question: RouteQuestion): RouteLine[] {
  const { sizes, shape, families, budgets, vpcPer } = question;
  const grouped = sizes.racks !== null || sizes.zones !== null;
  const { routesPerHost, routesPerSwitch, vpcRoutes } = budgets;
  const lines: RouteLine[] = [];
  const put = (fabric: Fabric, device: Device, count: number, budget: number | null, what: string): void => {
    // A VPC table has its budget for each family apart.
    const times = device === 'vpc table' ? mostOfOneFamily(families) : families.length;
    lines.push({ fabric, device, count: count * times, budget, what });
  };
  const leaf = sizes.racks !== null ? 'rack' : sizes.zones !== null ? 'zone' : 'network';
  const switches = (fabric: Fabric): void => {
    put(
      fabric,
      'tor',
      shape.hosts,
      routesPerSwitch,
      grouped ? `each host of its ${leaf}; the rest by default route` : 'each host',
    );
    if (sizes.racks !== null && sizes.zones !== null) {
      put(
        fabric,
        'spine',
        shape.racks + sizes.zones - 1,
        routesPerSwitch,
        'each rack of its zone, each other zone',
      );
      put(fabric, 'border', sizes.zones, routesPerSwitch, 'each zone');
    } else if (grouped) {
      put(fabric, 'spine', leavesOf(sizes), routesPerSwitch, `each ${leaf}`);
    }
  };
  put('l2', 'host', shape.hosts - 1, routesPerHost, `each other host of its ${leaf}`);
  if (grouped) switches('l2');
  put('l3-static', 'host', 0, routesPerHost, 'default route only');
  switches('l3-static');
  const perGroup = vpcPer !== 'host';
  put(
    'vpc',
    'host',
    perGroup ? shape.hosts - 1 : 0,
    routesPerHost,
    perGroup
      ? `each other host of its ${leaf}: hosts of a group forward for each other`
      : 'default route only',
  );
  put('vpc', 'vpc table', grainCount(sizes, vpcPer), vpcRoutes, `each ${vpcPer}`);
  return lines.filter(({ fabric }) => fabric === (budgets.fabric ?? fabric));
}

function mostOfOneFamily(families: readonly Family[]): number {
  const wide = families.filter((family) => family === 6).length;
  return Math.max(wide, families.length - wide);
}

function grainCount(sizes: PlanSizes, grain: VpcGrain): number {
  return grain === 'host' ? sizes.hosts : grain === 'rack' ? leavesOf(sizes) : (sizes.zones ?? 1);
}

/** The finest aggregates that keep a VPC table within its budget; if none do, the coarsest there are. */
export function vpcGrain(sizes: PlanSizes, families: readonly Family[], budget: number): VpcGrain {
  const grains: VpcGrain[] = [
    'host',
    ...(sizes.racks === null ? [] : ['rack' as const]),
    ...(sizes.zones === null ? [] : ['zone' as const]),
  ];
  return (
    grains.find((grain) => grainCount(sizes, grain) * mostOfOneFamily(families) <= budget) ??
    grains.at(-1) ??
    'host'
  );
}

export function withinBudget({ count, budget }: Pick<RouteLine, 'count' | 'budget'>): boolean {
  return budget === null || count <= budget;
}

export function routesOf({ input, planned, grown, networks: checked }: Checked): RouteCount[] {
  const { budgets } = input;
  const families = checked.map(({ cidr }) => cidr.address.family);
  const vpcPer = vpcGrain(planned, families, budgets.vpcRoutes);
  const before = routeLines({ sizes: input, shape: shapeOf(input), families, budgets, vpcPer });
  const after = routeLines({ sizes: planned, shape: grown, families, budgets, vpcPer });
  return after.map((line, index) => ({
    fabric: line.fabric,
    device: line.device,
    today: before[index]?.count ?? 0,
    planned: line.count,
    budget: line.budget,
    fits: withinBudget(line),
    what: line.what,
  }));
}

/** Budgets are kept when there is a way to connect hosts that keeps them on every device. */
export function someFabricFits(routes: readonly Pick<RouteCount, 'fabric' | 'fits'>[]): boolean {
  const broken = new Set(routes.filter(({ fits }) => !fits).map(({ fabric }) => fabric));
  return routes.some(({ fabric }) => !broken.has(fabric));
}

/** A network as far as elements depend on it. */
export interface ElementNetwork {
  readonly family: Family;
  /** Tenants that can have an id of their own. */
  readonly tenantIds: number;
}

/**
 * Elements of the sets of the worst host: every endpoint of it belongs to another tenant, as far as there are tenants, and tenants
 * isolate their segments. A tenant's pairs stand in every ordered pair of networks of one family. A shared address is two elements
 * (which group it is in, and that the group has it); the groups of a tenant that shares also list its segments elsewhere.
 */
export function hostElements(sizes: PlanSizes, networks: readonly ElementNetwork[]): HostElements {
  const { hosts, tenants, segments, endpointsPerHost } = sizes;
  const own = networks.map(({ tenantIds }) => Math.min(tenants, tenantIds));
  const least = Math.min(...own);
  let identityPairs = 0;
  let shared = 0;
  for (const [i, from] of networks.entries()) {
    for (const [j, to] of networks.entries()) {
      if (from.family !== to.family) continue;
      identityPairs += Math.min(endpointsPerHost, own[i] ?? 0, own[j] ?? 0) * segments;
    }
    const sharing = tenants - (own[i] ?? 0);
    const perTenant = Math.ceil((hosts * endpointsPerHost) / tenants);
    shared += 2 * Math.min(sharing, endpointsPerHost) * perTenant;
    shared += Math.min((own[i] ?? 0) - least, endpointsPerHost) * segments;
  }
  const endpoints = endpointsPerHost * networks.length;
  const peers = (hosts - 1) * networks.length;
  const fixed = networks.length + 1;
  return {
    endpoints,
    peers,
    fixed,
    identityPairs,
    shared,
    total: endpoints + peers + fixed + identityPairs + shared,
  };
}

export function addressUse(bits: number, widths: Widths, planned: PlanSizes, shared: number): AddressUse {
  const total = 1n << BigInt(bits);
  // Host id 0 takes the reservation that it lies in with it.
  const hostIds = 2n ** BigInt(hostBits(widths)) - 2n ** BigInt(widths.ids);
  const own =
    BigInt(maxId(widths.tenants)) * BigInt(maxId(widths.segments)) * BigInt(maxId(widths.endpoints));
  const common = shared > 0 ? BigInt(maxId(widths.segments + widths.endpoints)) : 0n;
  const usable = hostIds * (own + common);
  const wanted = BigInt(planned.hosts) * BigInt(planned.endpointsPerHost);
  return {
    total: String(total),
    usable: String(usable),
    lost: String(total - usable),
    planned: String(wanted),
    lostShare: share(total - usable, total),
    plannedShare: share(wanted, total),
  };
}

function share(part: bigint, whole: bigint): number {
  return Number((part * 10_000n) / whole) / 10_000;
}
