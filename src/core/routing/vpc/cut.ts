/**
 * Which ranges are routed by themselves and which together, so that the routes fit a table: the cut of a binary tree of ranges with
 * the fewest hosts behind a router. May import core/address.
 *
 * 1. The cut covers every range exactly once: its routes are disjoint.
 * 2. It has at most the wanted number of routes, or there is none that does.
 * 3. What is routed together stays so when hosts come and go (`held`), unless a finer cut leaves room to spare: a host more or less
 *    does not turn the table over, and two cuts do not take turns.
 * 4. A range that is routed together is as wide as it can be without touching another cut, so that a host that joins inside it
 *    changes nothing.
 */
import {
  type Cidr,
  cidrOf,
  compareCidr,
  containsAddress,
  containsCidr,
  formatCidr,
  splitCidr,
} from '../../address/index.ts';

/** A range of one host. */
export interface Item {
  readonly cidr: Cidr;
  readonly host: string;
}
/** Disjoint ranges, all inside `cidr`. */
export interface Forest {
  readonly cidr: Cidr;
  /** Sorted. */
  readonly items: readonly Item[];
}
/** Items of one route. `together`: `cidr` is wider than they are. */
export interface Part {
  readonly cidr: Cidr;
  readonly items: readonly Item[];
  readonly together: boolean;
}

interface Node {
  readonly cidr: Cidr;
  readonly items: readonly Item[];
  readonly hosts: number;
  /** Null: all of one host. */
  readonly halves: readonly [Node, Node] | null;
  readonly held: boolean;
  /** Joins trees of different ranges, which no route can. */
  readonly virtual: boolean;
}

/** Fewer hosts behind routers is better; among equals, ranges of even size, so that no router carries much more than others. */
const transitWeight = 2 ** 26;

/** At most `limit` routes; undefined: not even the coarsest cut fits. */
export function cut(
  forests: readonly Forest[],
  held: ReadonlySet<string>,
  limit: number,
): Part[] | undefined {
  const roots = forests
    .filter(({ items }) => items.length > 0)
    .map(({ cidr, items }) => build(cidr, items, held, false));
  const root = joined(roots);
  if (root === undefined) return [];
  const spare = Math.max(2, Math.ceil(limit / 10));
  const fresh = !roots.some(anyHeld);
  // one route is left free where that can be: a change adds before it removes
  if (fresh) return (best(root, limit - 1, 'any') ?? best(root, limit, 'any'))?.parts;
  const kept = best(root, limit - 1, 'coarser') ?? best(root, limit, 'coarser');
  const finer = best(root, limit - spare, 'finer');
  return (finer !== undefined && (kept === undefined || finer.cost < kept.cost) ? finer : kept)?.parts;
}

/** Routes of the coarsest cut: what any table needs at least. */
export function coarsest(forests: readonly Forest[]): Part[] {
  return forests.flatMap(({ cidr, items }) =>
    items.length === 0 ? [] : [wholeOf(build(cidr, items, new Set(), false))],
  );
}

function anyHeld(node: Node): boolean {
  return node.held || (node.halves?.some(anyHeld) ?? false);
}

function build(top: Cidr, items: readonly Item[], held: ReadonlySet<string>, under: boolean): Node {
  const hosts = new Set(items.map(({ host }) => host)).size;
  const base = { items, virtual: false };
  if (hosts === 1) {
    const own = items.length === 1 ? items[0]?.cidr : undefined;
    const kept = under ? undefined : heldOn(top, items, held);
    return { ...base, hosts, cidr: kept ?? own ?? cover(items), halves: null, held: kept !== undefined };
  }
  const kept = under ? undefined : heldOn(top, items, held);
  let [left, right] = halve(top, items);
  let at = top;
  while (left.length === 0 || right.length === 0) {
    at = splitCidr(at, 1, left.length === 0 ? 1 : 0);
    [left, right] = halve(at, items);
  }
  const below = under || kept !== undefined;
  return {
    ...base,
    hosts,
    cidr: kept ?? top,
    halves: [build(splitCidr(at, 1, 0), left, held, below), build(splitCidr(at, 1, 1), right, held, below)],
    held: kept !== undefined,
  };
}

function halve(cidr: Cidr, items: readonly Item[]): [Item[], Item[]] {
  const low = splitCidr(cidr, 1, 0);
  const at = items.findIndex((item) => !containsAddress(low, item.cidr.address));
  return at < 0 ? [[...items], []] : [items.slice(0, at), items.slice(at)];
}

/** The smallest range that holds them all. */
function cover(items: readonly Item[]): Cidr {
  const [first, last] = [items[0], items.at(-1)];
  if (first === undefined || last === undefined) throw new Error('nothing to cover');
  let found = first.cidr;
  while (!containsCidr(found, last.cidr)) found = cidrOf(found.address, found.length - 1);
  return found;
}

/** The widest held range inside `top` that holds all items; one that is exactly the only item is that item's route. */
function heldOn(top: Cidr, items: readonly Item[], held: ReadonlySet<string>): Cidr | undefined {
  if (held.size === 0) return undefined;
  const least = cover(items);
  const chain: Cidr[] = [];
  for (let at = least; at.length > top.length; at = cidrOf(at.address, at.length - 1)) chain.push(at);
  chain.push(top);
  const found = chain.findLast((cidr) => held.has(formatCidr(cidr)));
  return found !== undefined && items.length === 1 && found.length === least.length ? undefined : found;
}

function joined(nodes: readonly Node[]): Node | undefined {
  if (nodes.length < 2) return nodes[0];
  const middle = nodes.length >> 1;
  const [left, right] = [joined(nodes.slice(0, middle)), joined(nodes.slice(middle))];
  if (left === undefined || right === undefined) throw new Error('a half of two or more is not empty');
  return { cidr: left.cidr, items: [], hosts: 0, halves: [left, right], held: false, virtual: true };
}

/** `coarser`: held ranges may only become wider. `finer`: nothing becomes a joined range that is not in one now. */
type Freedom = 'any' | 'coarser' | 'finer';
interface Costs {
  readonly node: Node;
  /** By number of routes; Infinity: not possible. */
  readonly of: Float64Array;
  readonly left: Costs | null;
  readonly right: Costs | null;
}

function best(root: Node, limit: number, freedom: Freedom): { parts: Part[]; cost: number } | undefined {
  if (limit < 1) return undefined;
  const costs = weigh(root, limit, freedom, false);
  let chosen = -1;
  for (let k = 0; k < costs.of.length; k++)
    if ((costs.of[k] ?? Infinity) < (chosen < 0 ? Infinity : (costs.of[chosen] ?? Infinity))) chosen = k;
  if (chosen < 0) return undefined;
  const parts: Part[] = [];
  collect(costs, chosen, parts);
  return { parts: parts.sort((a, b) => compareCidr(a.cidr, b.cidr)), cost: costs.of[chosen] ?? Infinity };
}

function mayJoin({ virtual, held }: Node, freedom: Freedom, under: boolean): boolean {
  return !virtual && (freedom !== 'finer' || held || under);
}

function joinCost({ hosts }: Node): number {
  return (hosts - 1) * transitWeight + (hosts - 1) ** 2 + 1;
}

function weigh(node: Node, limit: number, freedom: Freedom, under: boolean): Costs {
  const together = mayJoin(node, freedom, under);
  if (freedom === 'coarser' && node.held) {
    return { node, of: Float64Array.of(Infinity, joinCost(node)), left: null, right: null };
  }
  if (node.halves === null) {
    const apart = node.items.length;
    const of = new Float64Array(Math.min(limit, apart) + 1).fill(Infinity);
    if (together && apart > 1 && of.length > 1) of[1] = joinCost(node);
    if (apart <= limit) of[apart] = 0;
    return { node, of, left: null, right: null };
  }
  const inside = under || node.held;
  const left = weigh(node.halves[0], limit, freedom, inside);
  const right = weigh(node.halves[1], limit, freedom, inside);
  const of = new Float64Array(Math.min(limit + 1, left.of.length + right.of.length - 1)).fill(Infinity);
  for (let i = 0; i < left.of.length && i < of.length; i++) {
    const a = left.of[i] ?? Infinity;
    if (a === Infinity) continue;
    for (let j = 0; j < right.of.length && i + j < of.length; j++) {
      const sum = a + (right.of[j] ?? Infinity);
      if (sum < (of[i + j] ?? Infinity)) of[i + j] = sum;
    }
  }
  // never a choice between the two: a cut of halves has at least two routes
  if (together && of.length > 1) of[1] = joinCost(node);
  return { node, of, left, right };
}

function wholeOf({ cidr, items }: Node): Part {
  const [only] = items;
  return {
    cidr,
    items,
    together: items.length > 1 || only === undefined || only.cidr.length !== cidr.length,
  };
}

function collect(costs: Costs, k: number, parts: Part[]): void {
  const { node, left, right, of } = costs;
  if (left === null || right === null) {
    if (k === 1 && (node.items.length > 1 || node.held) && of[1] === joinCost(node))
      parts.push(wholeOf(node));
    else for (const item of node.items) parts.push({ cidr: item.cidr, items: [item], together: false });
    return;
  }
  if (k === 1) {
    parts.push(wholeOf(node));
    return;
  }
  const cost = of[k] ?? Infinity;
  for (let i = 0; i < left.of.length; i++) {
    const j = k - i;
    if (j >= 0 && j < right.of.length && (left.of[i] ?? Infinity) + (right.of[j] ?? Infinity) === cost) {
      collect(left, i, parts);
      collect(right, j, parts);
      return;
    }
  }
}
