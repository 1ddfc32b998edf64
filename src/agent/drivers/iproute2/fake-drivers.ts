/** The drivers on a fake kernel: the same decisions (`link-plan.ts`, `keyedRoutes`), writes in memory. */
import { equalAddress, formatAddress } from '#core/address/index.ts';
import { delta } from '#core/delta/delta.ts';
import { isRomanaError, type RomanaError } from '#core/errors.ts';
import type { KernelFiles } from '../../files.ts';
import { LINK_GROUP, ROUTE_PROTOCOL } from '../../owned.ts';
import type {
  ApplyResult,
  Change,
  DesiredLinks,
  DesiredRoute,
  KernelEvents,
  KernelFacts,
  LinkDriver,
  ObjectStatus,
  RouteDriver,
} from '../../ports.ts';
import type { DumpedRoute } from './dump.ts';
import type { FakeKernel } from './fake-kernel.ts';
import {
  GATEWAY6_METRIC,
  hasFamily,
  invalid,
  isGateway6,
  isOwnGateway6,
  type LinkPlan,
  planLinks,
} from './link-plan.ts';
import {
  conflictWithForeign,
  dumpedText,
  foreignRoutes,
  keyedDump,
  keyedRoutes,
  metricOf,
  routeMatches,
  routeRows,
  routeText,
} from './route-plan.ts';
import { serially } from './serially.ts';

export interface FakeDriverOptions {
  /** Called before each write; what it throws goes out of `apply`, as if the agent had been killed there. */
  readonly beforeWrite?: (change: Change) => void;
}

export function createFakeKernelFacts(kernel: FakeKernel): KernelFacts {
  return {
    read: () => Promise.resolve(kernel.facts()),
    neighbours: () => Promise.resolve(kernel.neighbours()),
  };
}

export function createFakeKernelEvents(kernel: FakeKernel): KernelEvents {
  return { start: (onChange) => kernel.listen(onChange) };
}

export function createFakeLinkDriver(kernel: FakeKernel, options: FakeDriverOptions = {}): LinkDriver {
  const oneAtATime = serially();
  return {
    apply: (desired) => oneAtATime(() => Promise.resolve(applyLinks(kernel, desired, options))),
    inspect: (desired) => oneAtATime(() => Promise.resolve(inspectLinks(kernel, desired))),
  };
}

export function createFakeRouteDriver(kernel: FakeKernel, options: FakeDriverOptions = {}): RouteDriver {
  const oneAtATime = serially();
  return {
    apply: (desired) => oneAtATime(() => Promise.resolve(applyRoutes(kernel, desired, options))),
    inspect: (desired) => oneAtATime(() => Promise.resolve(inspectRoutes(kernel, desired))),
    foreign: (desired) => Promise.resolve(foreignRoutes(desired, kernel.routes())),
  };
}

/** Collects what was written and what was refused, as the batches of the real drivers do. */
class Writes {
  readonly changes: Change[] = [];
  readonly failures: Map<string, RomanaError>;
  readonly #options: FakeDriverOptions;

  constructor(failures: Map<string, RomanaError>, options: FakeDriverOptions) {
    this.failures = failures;
    this.#options = options;
  }

  /** `change` null: the second half of one change. Nothing is written for an owner that has failed. */
  do(owner: string, change: Change | null, write: () => void): void {
    if (this.failures.has(owner)) return;
    if (change !== null) this.#options.beforeWrite?.(change);
    try {
      write();
      if (change !== null) this.changes.push(change);
    } catch (error) {
      if (!isRomanaError(error)) throw error;
      this.failures.set(owner, error);
    }
  }

  result(): ApplyResult {
    return { changes: this.changes, failures: this.failures };
  }
}

function filesOf(kernel: FakeKernel): KernelFiles {
  return { read: () => undefined, write: () => {}, inode: (path) => kernel.inode(path) };
}

function applyLinks(kernel: FakeKernel, desired: DesiredLinks, options: FakeDriverOptions): ApplyResult {
  const { plans, strays, failures } = planLinks(desired, kernel.dump(), filesOf(kernel), new Map());
  const writes = new Writes(failures, options);
  for (const family of desired.families) {
    if (kernel.forwarding[family]) continue;
    const object = family === 4 ? 'net/ipv4/ip_forward' : 'net/ipv6/conf/all/forwarding';
    writes.do('forwarding', { action: 'update', kind: 'sysctl', object }, () =>
      kernel.setForwarding(family, true),
    );
  }
  applyGateway4(kernel, desired, writes);
  for (const { name } of strays) {
    writes.do(name, { action: 'remove', kind: 'link', object: name }, () => kernel.deleteLink(name));
  }
  const six = new Set(desired.links.filter((want) => hasFamily(want, 6)).map(({ link }) => link));
  const gateway6 = `${formatAddress(desired.gateway6)}/64`;
  for (const { name, addresses } of kernel.dump()) {
    if (six.has(name) || !addresses.some((entry) => isOwnGateway6(entry, desired.gateway6))) continue;
    const change = { action: 'remove', kind: 'address', object: `${gateway6} dev ${name}` } as const;
    writes.do(name, change, () => kernel.deleteAddress(name, gateway6));
  }
  for (const plan of plans) applyLink(kernel, desired, plan, writes);
  return writes.result();
}

function applyGateway4(kernel: FakeKernel, { gateway4, families }: DesiredLinks, writes: Writes): void {
  const text = `${formatAddress(gateway4)}/32`;
  const held = kernel
    .dump()
    .find(({ name }) => name === 'lo')
    ?.addresses.find(({ address, length }) => length === 32 && equalAddress(address, gateway4));
  const object = `${text} dev lo`;
  if (families.includes(4) && held === undefined) {
    writes.do('gateway', { action: 'create', kind: 'address', object }, () =>
      kernel.addAddress('lo', text, { scope: 'link' }),
    );
  } else if (!families.includes(4) && held?.scope === 'link') {
    writes.do('gateway', { action: 'remove', kind: 'address', object }, () =>
      kernel.deleteAddress('lo', text),
    );
  }
}

function applyLink(kernel: FakeKernel, desired: DesiredLinks, plan: LinkPlan, writes: Writes): void {
  const { want, inside, alias, action } = plan;
  const owner = want.endpoint;
  const link = want.link;
  const update = { action: 'update', kind: 'link', object: link } as const;
  if (action === 'remake') {
    writes.do(owner, { action: 'remove', kind: 'link', object: link }, () => kernel.deleteLink(link));
  }
  if (action !== 'keep' && inside !== null) {
    writes.do(owner, { action: 'create', kind: 'link', object: link }, () => {
      if (kernel.inside(inside.path, inside.ifname) !== undefined) {
        throw invalid(`The network namespace ${inside.path} has a link ${inside.ifname} already.`);
      }
      kernel.addLink(link, { mtu: want.mtu, group: String(LINK_GROUP), peer: inside });
    });
  }
  const host = (): ReturnType<FakeKernel['dump']>[number] | undefined =>
    kernel.dump().find(({ name }) => name === link);
  if (host()?.up === false)
    writes.do(owner, action === 'keep' ? update : null, () => kernel.setUp(link, true));
  if (hasFamily(want, 6) && !(host()?.addresses ?? []).some((entry) => isGateway6(entry, desired.gateway6))) {
    const text = `${formatAddress(desired.gateway6)}/64`;
    writes.do(owner, { action: 'create', kind: 'address', object: `${text} dev ${link}` }, () =>
      kernel.addAddress(link, text, { scope: 'link', metric: GATEWAY6_METRIC }),
    );
  }
  applyInside(kernel, plan, writes);
  if (alias === null) return;
  if (action !== 'keep') writes.do(owner, null, () => kernel.change(link, { alias }));
  else if (plan.host?.mtu !== want.mtu)
    writes.do(owner, update, () => kernel.change(link, { mtu: want.mtu }));
}

/** As the real one: looked at when wired, or when somebody else made the pair. */
function applyInside(kernel: FakeKernel, { want, inside, alias, action }: LinkPlan, writes: Writes): void {
  if (inside === null || (action === 'keep' && alias !== null)) return;
  const end = kernel.inside(inside.path, inside.ifname);
  writes.do(want.endpoint, null, () => {
    if (end === undefined)
      throw invalid(`The network namespace ${inside.path} has no link ${inside.ifname}.`);
  });
  for (const address of want.addresses) {
    const text = `${formatAddress(address)}/${address.family === 4 ? 32 : 128}`;
    if (end?.addresses.includes(text) === true) continue;
    const object = `${text} dev ${inside.ifname} in ${inside.path}`;
    writes.do(want.endpoint, { action: 'create', kind: 'address', object }, () => end?.addresses.push(text));
  }
}

function inspectLinks(kernel: FakeKernel, desired: DesiredLinks): ObjectStatus[] {
  const { plans, strays, failures } = planLinks(desired, kernel.dump(), filesOf(kernel), new Map());
  const rows: ObjectStatus[] = strays.map(({ name, alias }) => ({
    kind: 'link',
    object: name,
    desired: null,
    actual: alias,
    ok: false,
  }));
  for (const want of desired.links) {
    const error = failures.get(want.endpoint);
    if (error !== undefined) {
      rows.push({
        kind: 'link',
        object: want.link,
        desired: want.endpoint,
        actual: error.message,
        ok: false,
      });
    }
  }
  for (const { want, host, alias, action } of plans) {
    const ok = action === 'keep' && host?.up === true && (alias === null || host.mtu === want.mtu);
    rows.push({ kind: 'link', object: want.link, desired: alias ?? 'up', actual: host?.alias ?? null, ok });
    if (!hasFamily(want, 6)) continue;
    const object = `${formatAddress(desired.gateway6)}/64 dev ${want.link}`;
    const held = host?.addresses.some((entry) => isGateway6(entry, desired.gateway6)) ?? false;
    rows.push({ kind: 'address', object, desired: 'present', actual: held ? 'present' : null, ok: held });
  }
  return rows;
}

const protocol = String(ROUTE_PROTOCOL);

function ownRoutes(kernel: FakeKernel): DumpedRoute[] {
  return kernel.routes().filter((route) => route.protocol === protocol);
}

function applyRoutes(
  kernel: FakeKernel,
  desired: readonly DesiredRoute[],
  options: FakeDriverOptions,
): ApplyResult {
  const { wanted, failures } = keyedRoutes(desired);
  const writes = new Writes(failures, options);
  const { actual } = keyedDump(ownRoutes(kernel), wanted);
  const difference = delta<string, DesiredRoute | DumpedRoute>(wanted, actual, (want, have) =>
    routeMatches(want as DesiredRoute, have as DumpedRoute),
  );
  const set = (want: DesiredRoute, action: 'create' | 'update'): void => {
    const object = routeText(want);
    writes.do(object, { action, kind: 'route', object }, () => {
      const hops = want.kind === 'via' ? want.hops : [];
      const only = hops.length === 1 ? hops[0] : undefined;
      try {
        kernel[action === 'update' ? 'replaceRoute' : 'addRoute']({
          cidr: want.cidr,
          type: want.kind === 'via' || want.kind === 'link' ? 'unicast' : want.kind,
          protocol,
          metric: metricOf(want),
          via: only?.via ?? null,
          source: want.kind === 'link' ? want.source : null,
          link: want.kind === 'link' ? want.link : (only?.link ?? null),
          hops: hops.length > 1 ? hops : [],
        });
      } catch (error) {
        throw isRomanaError(error) && error.message.includes('File exists')
          ? conflictWithForeign(object, protocolAt(kernel, want), error)
          : error;
      }
    });
  };
  for (const [, route] of difference.remove) {
    const object = dumpedText(route as DumpedRoute);
    writes.do(object, { action: 'remove', kind: 'route', object }, () =>
      kernel.deleteRoute(route.cidr, protocol),
    );
  }
  for (const [, want] of difference.update) set(want as DesiredRoute, 'update');
  for (const [, want] of difference.create) set(want as DesiredRoute, 'create');
  return writes.result();
}

function protocolAt(kernel: FakeKernel, want: DesiredRoute): string | null {
  return foreignRoutes([want], kernel.routes())[0]?.protocol ?? null;
}

function inspectRoutes(kernel: FakeKernel, desired: readonly DesiredRoute[]): ObjectStatus[] {
  return routeRows(keyedRoutes(desired).wanted, ownRoutes(kernel));
}
