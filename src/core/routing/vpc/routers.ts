/**
 * Which host forwards for a range that is routed as a whole. May import core/address.
 *
 * 1. It stands in the subnet of all hosts of the range, so that it reaches them directly; among these, in the range if one can.
 * 2. Who forwards keeps it while it can (`fit` or `suspect`, not leaving). A host is `dead` only by the word of two observers, or of
 *    the provider when the instance does not run; then another takes over at once.
 * 3. New ranges go to whoever forwards for the fewest hosts.
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
    const able = task.link.filter(
      (host) =>
        host.state === 'active' &&
        healthOf(host.name, state) === 'fit' &&
        reaches(host, task.cidr.address.family),
    );
    const within = able.filter(({ name }) => task.inside.has(name));
    const [first] = (within.length > 0 ? within : able)
      .map(({ name }) => ({ name, load: load.get(name) ?? 0 }))
      .sort((a, b) => a.load - b.load || byText(a.name, b.name));
    if (first !== undefined) give(task, first.name, true);
    else fallback(task, now.get(formatCidr(task.cidr)), state, give);
  }
  return chosen;
}

function keeps(host: RoutingHost, task: Task, state: VpcState): boolean {
  return (
    host.state === 'active' &&
    healthOf(host.name, state) !== 'dead' &&
    reaches(host, task.cidr.address.family)
  );
}

/** Nobody is fit. A suspect one is better than none, and who has it is better than a change for nothing. */
function fallback(
  task: Task,
  target: string | undefined,
  state: VpcState,
  give: (task: Task, host: string, able: boolean) => void,
): void {
  const known = task.link.filter(({ name }) => state.instances.has(name));
  const alive = known.find((host) => keeps(host, task, state));
  const holder = known.find(({ name }) => state.instances.get(name)?.interface === target);
  const any = alive ?? holder ?? known.find(({ name }) => task.inside.has(name)) ?? known[0];
  if (any !== undefined) give(task, any.name, alive !== undefined);
}
