/**
 * Which host forwards for a range that is routed as a whole. May import core/address.
 *
 * 1. It stands in the subnet of all hosts of the range, so that it reaches them directly; among these, in the range if one can.
 * 2. Who forwards keeps it while it can (`fit` or `suspect`, not leaving). A host is `dead` only by the word of two observers, or of
 *    the provider when the instance does not run; then another takes over at once.
 * 3. New ranges go to whoever forwards for the fewest hosts, to a suspect one only where nobody is fit.
 */
import { type Cidr, type Family, formatCidr } from '../../address/index.ts';
import type { RoutingHost } from '../model.ts';
import type { VpcHealth, VpcInstance, VpcState } from './model.ts';
import { byText } from './site.ts';

export function healthOf(host: string, { instances, silent }: VpcState): VpcHealth {
  const instance = instances.get(host);
  if (instance === undefined || instance.state === 'stopped' || instance.state === 'terminated')
    return 'dead';
  const quiet = silent.has(host);
  if (instance.impaired && quiet) return 'dead';
  return instance.impaired || quiet || instance.state === 'pending' ? 'suspect' : 'fit';
}

/** A range that somebody has to forward for. */
export interface Task {
  readonly cidr: Cidr;
  /** Hosts with ranges in it. */
  readonly inside: ReadonlySet<string>;
  /** Hosts of the same subnet, by name. */
  readonly link: readonly RoutingHost[];
}
export interface Chosen {
  readonly host: string;
  readonly instance: VpcInstance;
  /** False: nobody of the subnet can; the range keeps whom it has. */
  readonly able: boolean;
}

function reaches(host: RoutingHost, family: Family): boolean {
  return host.addresses.some((address) => address.family === family);
}

/** `now`: interface that the range is routed to. By text of the range; ranges that nobody at all could have are left out. */
export function chooseRouters(
  tasks: readonly Task[],
  now: ReadonlyMap<string, string>,
  state: VpcState,
): Map<string, Chosen> {
  const load = new Map<string, number>();
  const chosen = new Map<string, Chosen>();
  const give = (task: Task, host: string, able: boolean): void => {
    const instance = state.instances.get(host);
    if (instance === undefined) return;
    chosen.set(formatCidr(task.cidr), { host, instance, able });
    load.set(host, (load.get(host) ?? 0) + task.inside.size);
  };
  const open: Task[] = [];
  for (const task of tasks) {
    const target = now.get(formatCidr(task.cidr));
    const holder = task.link.find(({ name }) => state.instances.get(name)?.interface === target);
    if (target !== undefined && holder !== undefined && keeps(holder, task, state))
      give(task, holder.name, true);
    else open.push(task);
  }
  for (const task of open) {
    const fit = task.link.filter((host) => keeps(host, task, state) && healthOf(host.name, state) === 'fit');
    const alive = fit.length > 0 ? fit : task.link.filter((host) => keeps(host, task, state));
    const first = leastLoaded(alive, task, load);
    if (first !== undefined) give(task, first, true);
    else fallback(task, now.get(formatCidr(task.cidr)), state, give);
  }
  return chosen;
}

/** Of those in the range, where there are any. */
function leastLoaded(
  able: readonly RoutingHost[],
  { inside }: Task,
  load: ReadonlyMap<string, number>,
): string | undefined {
  const within = able.filter(({ name }) => inside.has(name));
  const [first] = (within.length > 0 ? within : able)
    .map(({ name }) => ({ name, load: load.get(name) ?? 0 }))
    .sort((a, b) => a.load - b.load || byText(a.name, b.name));
  return first?.name;
}

function keeps(host: RoutingHost, task: Task, state: VpcState): boolean {
  return (
    host.state === 'active' &&
    healthOf(host.name, state) !== 'dead' &&
    reaches(host, task.cidr.address.family)
  );
}

/** Nobody can. Who has it keeps it: a change would be for nothing. */
function fallback(
  task: Task,
  target: string | undefined,
  state: VpcState,
  give: (task: Task, host: string, able: boolean) => void,
): void {
  const known = task.link.filter(({ name }) => state.instances.has(name));
  const holder = known.find(({ name }) => state.instances.get(name)?.interface === target);
  const any = holder ?? known.find(({ name }) => task.inside.has(name)) ?? known[0];
  if (any !== undefined) give(task, any.name, false);
}
