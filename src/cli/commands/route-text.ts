/** Next hops and differences as the commands on routes write them. */
import type { RouteDiff, RouteEntry } from '#contract/routing-model.ts';
import { table } from '../output.ts';

type Node = RouteDiff['nodes'][number];

export function hopText(hops: RouteEntry['nextHops']): string {
  return hops.map(({ address, to }) => `${address} (${to})`).join(', ');
}

function hops({ nextHops }: RouteEntry): string {
  return nextHops.length === 0 ? 'drop' : hopText(nextHops);
}

/** Where packets go is said only where that changes; else how the device comes by the route. */
function changeText({ before, after }: Node['changed'][number]): string {
  const [from, to] = [hops(before), hops(after)];
  return from === to ? `${to}: ${before.kind} -> ${after.kind}` : `${from} -> ${to}`;
}

export function nodeText(node: Omit<Node, 'budget' | 'routes'>): string {
  const { name, type, added, removed, changed } = node;
  const rows = [
    ...removed.map((route) => ['  -', route.cidr, hops(route), route.reason]),
    ...changed.map((change) => ['  ~', change.after.cidr, changeText(change), change.after.reason]),
    ...added.map((route) => ['  +', route.cidr, hops(route), route.reason]),
  ];
  return `${type} ${name}\n${rows.length === 0 ? '' : table(undefined, rows)}${sessionText(node)}`;
}

function sessionText({ presence, sessions }: Pick<Node, 'presence' | 'sessions'>): string {
  const lines = (sign: string, names: readonly string[]) =>
    names.map((one) => `  ${sign} BGP session ${one}\n`);
  return [
    ...(presence === 'both' ? [] : [`  ${presence === 'new' ? 'comes' : 'goes'} with the change\n`]),
    ...lines('-', sessions.removed),
    ...lines('~', sessions.changed),
    ...lines('+', sessions.added),
  ].join('');
}

export function countText({
  added,
  removed,
  changed,
  devices,
  hosts,
}: Omit<RouteDiff, 'nodes' | 'left' | 'blocked'>): string {
  const many = (count: number, noun: string) => `${count} ${noun}${count === 1 ? '' : 's'}`;
  return `${many(added, 'route')} added, ${removed} removed, ${changed} changed, on ${many(devices, 'device')} and ${many(hosts, 'host')}\n`;
}
