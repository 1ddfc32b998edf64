/** The difference between the kernel's table and the wanted one, as one nft transaction. Pure. */
import { delta } from '#core/delta/delta.ts';
import type { Change } from '../../ports.ts';
import {
  type ChainSpec,
  cutSets,
  type Flow,
  markerChain,
  type Ruleset,
  type SetSpec,
  tableName,
} from '../../rules/ruleset.ts';
import { type KernelChain, type KernelSet, type KernelTable, ruleComment } from './table.ts';

export interface Plan {
  /** Lines for `nft -f -`; empty when nothing is to do. */
  readonly lines: readonly string[];
  readonly changes: readonly Change[];
}

const table = `inet ${tableName}`;
const empty: KernelTable = { counters: new Map(), sets: new Map(), chains: new Map() };
/** Long enough that no retransmission of a cut flow is still under way. */
export const cutSeconds = 900;

export function planTable(
  wanted: Ruleset,
  actual: KernelTable | null,
  cut: readonly Flow[] = [],
  mend: readonly Flow[] = [],
): Plan {
  if (actual === null) return build(wanted, [`add table ${table}`], 'create', cut);
  if (!compatible(wanted, actual))
    return build(
      wanted,
      [`add table ${table}`, `delete table ${table}`, `add table ${table}`],
      'update',
      cut,
    );
  const lines: string[] = [];
  const changes: Change[] = [];
  changeInPlace(wanted, actual, lines, changes, cut, mend);
  return { lines, changes };
}

function build(wanted: Ruleset, head: string[], action: 'create' | 'update', cut: readonly Flow[]): Plan {
  const lines = [...head];
  const changes: Change[] = [{ action, kind: 'table', object: table }];
  changeInPlace(wanted, empty, lines, changes, cut, []);
  return { lines, changes };
}

/** Types of sets and hooks of chains cannot be changed while rules refer to them. */
function compatible(wanted: Ruleset, actual: KernelTable): boolean {
  if (!actual.chains.has(markerChain)) return false;
  for (const [name, set] of wanted.sets) {
    const old = actual.sets.get(name);
    if (old !== undefined && !sameShape(set, old)) return false;
  }
  for (const [name, chain] of wanted.chains) {
    const old = actual.chains.get(name);
    if (old !== undefined && !sameBase(chain, old)) return false;
  }
  return true;
}

function sameShape(wanted: SetSpec, actual: KernelSet): boolean {
  return wanted.type === actual.type && wanted.flags.toSorted().join() === actual.flags.join();
}

function sameBase(wanted: ChainSpec, actual: KernelChain): boolean {
  if (wanted.base === null || actual.base === null) return wanted.base === actual.base;
  const { hook, priority } = wanted.base;
  return hook === actual.base.hook && priority === actual.base.priority && actual.base.policy === 'accept';
}

/**
 * Objects before what refers to them, removals last. Elements are removed before others are added: the kernel refuses an interval
 * that overlaps one still present.
 */
function changeInPlace(
  wanted: Ruleset,
  actual: KernelTable,
  lines: string[],
  changes: Change[],
  cut: readonly Flow[],
  mend: readonly Flow[],
): void {
  for (const name of wanted.counters.filter((counter) => !actual.counters.has(counter))) {
    lines.push(`add counter ${table} ${name}`);
    changes.push({ action: 'create', kind: 'counter', object: name });
  }
  const sets = delta(wanted.sets, actual.sets as ReadonlyMap<string, SetSpec>, () => true);
  for (const [name, set] of sets.create) {
    const flags = set.flags.length === 0 ? '' : ` flags ${set.flags.join(', ')};`;
    lines.push(`add ${setOrMap(set)} ${table} ${name} { type ${set.type};${flags} }`);
    changes.push({ action: 'create', kind: 'set', object: name });
  }
  for (const [name, set] of wanted.sets) {
    if (!set.flags.includes('timeout'))
      changeElements(name, set, actual.sets.get(name)?.elements ?? new Set(), lines, changes);
  }
  // Added first, because it may have timed out by now and deleting nothing would fail the whole transaction.
  for (const flow of mend) {
    const { set, key } = cutElements(flow)[0]!;
    lines.push(
      `add element ${table} ${set} { ${key} timeout 1s }`,
      `delete element ${table} ${set} { ${key} }`,
    );
    changes.push({ action: 'remove', kind: 'element', object: `${set} ${key}` });
  }
  for (const flow of cut) {
    for (const element of cutElements(flow)) {
      lines.push(`add element ${table} ${element.set} { ${element.key} timeout ${cutSeconds}s }`);
      changes.push({ action: 'create', kind: 'element', object: `${element.set} ${element.key}` });
    }
  }
  const chains = delta(chainTexts(wanted), kernelTexts(actual), (a, b) => a === b);
  for (const [name] of chains.create) {
    const { base } = wanted.chains.get(name)!;
    const hook =
      base === null ? '' : ` { type filter hook ${base.hook} priority ${base.priority}; policy accept; }`;
    lines.push(`add chain ${table} ${name}${hook}`);
    changes.push({ action: 'create', kind: 'chain', object: name });
  }
  for (const [name] of [...chains.update, ...chains.remove]) lines.push(`flush chain ${table} ${name}`);
  for (const [name] of [...chains.create, ...chains.update]) {
    for (const rule of wanted.chains.get(name)!.rules) {
      lines.push(`add rule ${table} ${name} ${rule.text} comment "${ruleComment(rule)}"`);
    }
  }
  for (const [name] of chains.update) changes.push({ action: 'update', kind: 'chain', object: name });
  for (const [name] of chains.remove) {
    lines.push(`delete chain ${table} ${name}`);
    changes.push({ action: 'remove', kind: 'chain', object: name });
  }
  for (const [name, set] of sets.remove) {
    lines.push(`delete ${setOrMap(set)} ${table} ${name}`);
    changes.push({ action: 'remove', kind: 'set', object: name });
  }
}

function setOrMap({ type }: { readonly type: string }): 'set' | 'map' {
  return type.includes(' : ') ? 'map' : 'set';
}

function changeElements(
  name: string,
  set: SetSpec,
  old: ReadonlySet<string>,
  lines: string[],
  changes: Change[],
): void {
  const gone = [...old].filter((element) => !set.elements.has(element)).sort();
  const fresh = [...set.elements].filter((element) => !old.has(element)).sort();
  for (const [verb, action, elements] of [
    ['delete', 'remove', gone],
    ['add', 'create', fresh],
  ] as const) {
    for (let at = 0; at < elements.length; at += 500) {
      const batch = elements.slice(at, at + 500).map((element) => quoteLinks(element, set.type));
      lines.push(`${verb} element ${table} ${name} { ${batch.join(', ')} }`);
    }
    for (const element of elements) changes.push({ action, kind: 'element', object: `${name} ${element}` });
  }
}

function quoteLinks(element: string, type: string): string {
  return type.startsWith('ifname') ? element.replace(/^\S+/, (link) => `"${link}"`) : element;
}

function chainTexts(ruleset: Ruleset): Map<string, string> {
  return new Map([...ruleset.chains].map(([name, { rules }]) => [name, rules.map(ruleComment).join('\n')]));
}

function kernelTexts(actual: KernelTable): Map<string, string> {
  return new Map([...actual.chains].map(([name, { rules }]) => [name, rules.join('\n')]));
}

/** Both directions of a flow, so that neither side can keep it alive. Flows without ports are cut by conntrack alone. */
export function cutElements(flow: Flow): { readonly set: string; readonly key: string }[] {
  const { sourcePort, destinationPort } = flow;
  if (sourcePort === null || destinationPort === null) return [];
  const set = flow.source.includes(':') ? cutSets[6] : cutSets[4];
  const key = (parts: readonly (string | number)[]) => ({ set, key: parts.join(' . ') });
  return [
    key([flow.source, flow.destination, flow.protocol, sourcePort, destinationPort]),
    key([flow.destination, flow.source, flow.protocol, destinationPort, sourcePort]),
  ];
}

/** The cut elements in the kernel, each as the flow of its own direction. */
export function flowsCut(actual: KernelTable): Flow[] {
  return Object.values(cutSets).flatMap((set) =>
    [...(actual.sets.get(set)?.elements ?? [])].map((element) => {
      const [source = '', destination = '', protocol = '', sourcePort, destinationPort] =
        element.split(' . ');
      return {
        protocol,
        source,
        destination,
        sourcePort: Number(sourcePort),
        destinationPort: Number(destinationPort),
      };
    }),
  );
}
