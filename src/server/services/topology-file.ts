/**
 * Topology files against what there is: apply, diff and export.
 *
 * 1. An apply is one transaction. It creates and changes what the file names, and leaves alone what it does not name.
 * 2. No host id moves: a file under which one would is refused, and `diff` says what is in its way and what to do about it.
 * 3. What `export` answers changes nothing when it is applied.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Network } from '#contract/model.ts';
import { storedUplink } from '#contract/routing.ts';
import type { TopologyDiff } from '#contract/topology.ts';
import { formatCidr, formatLayout, parseCidr } from '#core/address/index.ts';
import { isRomanaError, RomanaError } from '#core/errors.ts';
import { powerOfTwo } from '#core/plan/index.ts';
import {
  type FileGroup,
  type FileHost,
  type FileNetwork,
  type FileTopology,
  type Issue,
  listedHosts,
  type Path,
  planTopology,
  readTopology,
  refuse,
  type TopologyFile,
} from '#core/plan/topology/index.ts';
import { checkGuard } from '#store/guard.ts';
import type { Tx } from '#store/port.ts';
import { actorOf } from '../caller.ts';
import { allocatorOf } from './host-ids.ts';
import { demandUplinksKept } from './host-links.ts';
import { withIds } from './host-place.ts';
import { changeHost, createHost } from './hosts.ts';
import { changeNetwork, createNetwork } from './networks.ts';
import { type Context, differing, must, nameSome } from './shared.ts';
import { nameOf, storedTrees, storeTopology, type Tree, topologyOf, treesOf } from './topology.ts';
import { exportFile, roomFor } from './topology-export.ts';
import { isEmpty, statedAgain, storedStated } from './topology-fabric.ts';
import { type Blocked, inTheWay } from './topology-moves.ts';
import type { Services } from './types.ts';

type Mine = 'topologyShow' | 'topologyApply' | 'topologyDiff' | 'topologyExport';
type Change = TopologyDiff['changes'][number];

/** `applied` looks at what waits for devices that there are no more, or that there are now. */
export function topologyServices(ctx: Context, applied: (tx: Tx) => void): Pick<Services, Mine> {
  const { store } = ctx;
  return {
    topologyShow: async () => store.read(topologyOf),
    topologyApply: (caller, { query, body }) =>
      store.transaction(actorOf(caller), (tx) => {
        const old = topologyOf(tx);
        checkGuard('topology', '', old.revision, query);
        const { blocked } = applyFile(tx, ctx, body);
        if (blocked !== null) throw wouldMove(blocked);
        applied(tx);
        return topologyOf(tx);
      }),
    topologyDiff: (caller, { body }) =>
      tried(ctx, actorOf(caller), body, (_, { revision, changes, blocked }) => ({
        revision,
        changes,
        blocked,
        steps: blocked === null ? [] : stepsFor(blocked),
      })),
    topologyExport: async () => store.read(exportFile),
  };
}

interface Tried {
  /** Of the topology before. */
  readonly revision: number;
  readonly changes: Change[];
  readonly blocked: Blocked | null;
}

/** What `look` sees after the file was applied, unless hosts are in its way; nothing of it is kept. */
export async function tried<T>(
  ctx: Context,
  actor: string,
  body: Body,
  look: (tx: Tx, outcome: Tried) => T,
): Promise<T> {
  let answer: { readonly value: T } | undefined;
  const undo = new Error('only tried');
  try {
    await ctx.store.transaction(actor, (tx) => {
      const { revision } = topologyOf(tx);
      answer = { value: look(tx, { revision, ...applyFile(tx, ctx, body) }) };
      throw undo;
    });
  } catch (error) {
    if (error !== undo || answer === undefined) throw error;
    return answer.value;
  }
  throw new RomanaError('internal', 'A trial was kept.');
}

function wouldMove({ hosts, endpoints, endpointCount }: Blocked): RomanaError {
  const names = hosts.map(({ name }) => name);
  const live =
    endpointCount === 0
      ? 'they hold no endpoints'
      : `they hold ${endpointCount} endpoint${endpointCount === 1 ? '' : 's'} (${nameSome(endpoints)}${endpointCount > endpoints.length ? ', …' : ''})`;
  return new RomanaError(
    'in_use',
    `The host ids of hosts ${nameSome(names)} would move; ${live}. Append groups instead, or see \`romana topology apply FILE --drain\` for what to do first.`,
    { details: { hosts: names.slice(0, 100), endpoints, endpointCount } },
  );
}

/** In this order: nothing is removed that another step still needs. */
function stepsFor({ hosts, endpoints, endpointCount }: Blocked): string[] {
  const more = endpointCount - endpoints.length;
  return [
    ...endpoints.map((key) => `remove endpoint ${key}: romana endpoint delete ${key}`),
    ...(more > 0 ? [`remove ${more} more endpoints of these hosts`] : []),
    ...hosts.map(({ name }) => `free the host ids of ${name}: romana host delete ${name}`),
    'apply the file: romana topology apply FILE',
    ...hosts.map(({ name, to }) =>
      to === null
        ? `create ${name} again and join it; no group of the file lists it or has its name`
        : `create ${name} again in group ${to} and join it: romana host create ${name} --address ADDRESS --group ${to}`,
    ),
  ];
}

type Body = Parameters<typeof readTopology>[0];

/** Does all of it, unless hosts are in the way: then the groups stay as they were, and the caller must not keep the transaction. */
function applyFile(tx: Tx, ctx: Context, body: Body): { changes: Change[]; blocked: Blocked | null } {
  const { file, issues } = readTopology(body);
  refuse(issues);
  const known = new Map(tx.list('network').map(({ key, value }) => [key, value]));
  refuse(changedForGood(file, known));
  const old = topologyOf(tx);
  const before = treesOf(old);
  const next = file.topologies === null ? before : treesOf(storedTrees(file.topologies.map(storedTree)));
  const stated = new Set(file.networks.map(({ name }) => name));
  const kept = [...known.values()].filter(({ name }) => !stated.has(name)).map(asFileNetwork);
  const topologies = file.topologies ?? before.flatMap(asFileTopology);
  // Hosts that exist have their place already; whether it stays theirs is looked at below.
  const hosts = file.hosts.filter(({ name }) => tx.get('host', name) === undefined);
  refuse(planTopology({ networks: [...kept, ...file.networks], topologies, hosts }).issues);

  const changes: Change[] = [];
  const listed = (file.topologies ?? []).flatMap((topology) =>
    listedHosts(topology).map(({ host, path }) => ({ host, topology: topology.name, path })),
  );
  const placed = new Map(
    [...Map.groupBy(listed, ({ host }) => host.name)].map(([name, all]) => [
      name,
      new Map(all.map(({ topology, path }) => [topology, path])),
    ]),
  );
  const { blocked, settled } = inTheWay(tx, before, next, placed);
  const treesChanged = changedTrees(before, next);
  changes.push(...treesChanged);
  if (blocked !== null) return { changes, blocked };
  if (treesChanged.length > 0) storeTopology(tx, storedTrees(next));
  for (const host of settled) tx.put('host', host.name, host);
  if (next.length > 1) {
    for (const { name } of settled) {
      const host = must(tx, 'host', name);
      const whole = withIds(tx, host);
      if (whole !== host) tx.put('host', name, whole);
      if (before.length > 1) changes.push({ action: 'change', kind: 'host', name, fields: ['groups'] });
    }
  }
  // Networks come to hosts by age: those of one file by name, also where the clock goes on between them.
  for (const network of file.networks.toSorted((a, b) => (a.name < b.name ? -1 : 1)))
    changes.push(...applyNetwork(tx, ctx, network, known.get(network.name)));
  const done = new Set<string>();
  for (const { host, path } of listed) {
    if (done.has(host.name)) continue;
    done.add(host.name);
    changes.push(...applyHost(tx, ctx, host, next.length === 1 ? path : null, placed.get(host.name)));
  }
  for (const host of file.hosts) changes.push(...applyHost(tx, ctx, host, null));
  if (treesChanged.length > 0) demandUplinksKept(tx);
  return { changes, blocked: null };
}

/** Of one that goes nothing else is said. */
function changedTrees(before: readonly Tree[], next: readonly Tree[]): Change[] {
  const change = (tree: Tree, fields: string[]): Change[] =>
    fields.length === 0 ? [] : [{ action: 'change', kind: 'topology', name: nameOf(tree), fields }];
  const fieldsOf = (old: Tree, tree: Tree) => differing({ ...empty, ...old }, { ...empty, ...tree });
  const [old, ...more] = before;
  const [only, ...others] = next;
  if (old !== undefined && only !== undefined && more.length + others.length === 0)
    return change(only, fieldsOf(old, only));
  const known = new Map(before.map((tree) => [nameOf(tree), tree]));
  const names = next.map(nameOf);
  const changes = next.flatMap((tree): Change[] => {
    const was = known.get(nameOf(tree));
    if (was !== undefined) return change(tree, fieldsOf(was, tree));
    return [{ action: 'create', kind: 'topology', name: nameOf(tree), fields: [] }];
  });
  const gone = before.filter((tree) => !names.includes(nameOf(tree)));
  changes.push(...gone.flatMap((tree) => change(tree, ['removed'])));
  const same = isDeepStrictEqual(before.map(nameOf), names);
  return changes.length === 0 && !same && only !== undefined ? change(only, ['order']) : changes;
}

const empty: Tree = {
  groups: [],
  name: 'default',
  networks: null,
  slots: undefined,
  fabric: undefined,
  devices: undefined,
};

function issue(path: Path, message: string, code: Issue['code'] = 'topology_invalid'): Issue {
  return { path, code, message };
}

/** Range and layout are in every address given out: they stay what they are. */
function changedForGood(file: TopologyFile, known: ReadonlyMap<string, Network>): Issue[] {
  return file.networks.flatMap((network): Issue[] => {
    const old = known.get(network.name);
    if (old === undefined) return [];
    const instead = 'create another network and delete this one when its endpoints have gone';
    if (formatCidr(network.cidr) !== old.cidr)
      return [
        issue(
          [...network.at, 'cidr'],
          `Network ${old.name} has the range ${old.cidr}, which cannot change; ${instead}.`,
          'conflict',
        ),
      ];
    if (!isDeepStrictEqual(old.layout, network.layout)) {
      const at = network.derived ? network.at : [...network.at, network.layout === null ? 'kind' : 'layout'];
      const what = old.layout === null ? 'is flat' : `has the layout ${formatLayout(old.layout)}`;
      return [issue(at, `Network ${old.name} ${what}, which cannot change; ${instead}.`, 'conflict')];
    }
    return [];
  });
}

function asFileNetwork({ name, cidr, layout, reserved }: Network): FileNetwork {
  return { at: [], name, cidr: parseCidr(cidr), layout, derived: false, reserved: reserved.map(parseCidr) };
}

function storedTree(topology: FileTopology): Tree {
  const plain = (groups: readonly FileGroup[]): Tree['groups'] =>
    groups.map(({ name, assignment, size, slots, growth, fabric, devices, groups: children }) => ({
      name,
      ...(Object.keys(assignment).length === 0 ? {} : { assignment }),
      ...(size === undefined ? {} : { size }),
      ...(slots === undefined ? {} : { slots }),
      ...(growth === undefined ? {} : { growth }),
      ...storedStated({ fabric, devices }),
      ...(children.length === 0 ? {} : { groups: plain(children) }),
    }));
  const { name, networks, slots } = topology;
  return {
    groups: plain(topology.groups),
    ...(name === 'default' ? {} : { name }),
    ...(networks === null ? {} : { networks: [...networks] }),
    ...(slots === undefined ? {} : { slots }),
    ...storedStated(topology),
  };
}

function asFileTopology(tree: Tree): FileTopology[] {
  const { groups, name = 'default', networks = null, slots } = tree;
  if (isEmpty(tree)) return [];
  const read = (list: Tree['groups']): FileGroup[] =>
    list.map(({ name: own, assignment = {}, size, slots: room, growth, groups: children = [], ...more }) => ({
      at: [],
      name: own,
      assignment,
      ...(size === undefined ? {} : { size }),
      ...(room === undefined ? {} : { slots: room }),
      ...(growth === undefined ? {} : { growth }),
      ...statedAgain(more),
      groups: read(children),
      hosts: [],
    }));
  const room = slots === undefined ? {} : { slots };
  return [{ at: [], name, networks, groups: read(groups), ...room, ...statedAgain(tree) }];
}

function applyNetwork(tx: Tx, ctx: Context, network: FileNetwork, old: Network | undefined): Change[] {
  const { name, cidr, layout, infrastructure, quarantineSeconds } = network;
  const tenants = network.tenants && [...network.tenants];
  const reserved = network.reserved?.map(formatCidr);
  if (old === undefined) {
    at(network.at, () =>
      createNetwork(tx, ctx, {
        name,
        cidr: formatCidr(cidr),
        layout,
        infrastructure: infrastructure ?? 'deny',
        reserved: reserved ?? [],
        quarantineSeconds: quarantineSeconds ?? 30,
        ...(tenants === undefined ? {} : { tenants }),
      }),
    );
    return [{ action: 'create', kind: 'network', name, fields: [] }];
  }
  const change = {
    ...(infrastructure === undefined ? {} : { infrastructure }),
    ...(reserved === undefined ? {} : { reserved }),
    ...(quarantineSeconds === undefined ? {} : { quarantineSeconds }),
    ...(tenants === undefined ? {} : { tenants }),
  };
  const fields = differing({ tenants: [], ...old }, change);
  if (fields.length === 0) return [];
  at(network.at, () => changeNetwork(tx, old, change));
  return [{ action: 'change', kind: 'network', name, fields }];
}

/** `path` null: labels place it, if it is new. */
function applyHost(
  tx: Tx,
  ctx: Context,
  host: FileHost,
  path: string | null,
  listed?: ReadonlyMap<string, string>,
): Change[] {
  const { name, addresses, labels, allocator, growth, asn } = host;
  const uplinks = host.uplinks?.map(storedUplink);
  const old = tx.get('host', name);
  if (old === undefined) {
    const body = {
      name,
      addresses: [...addresses],
      group: path,
      labels: { ...labels },
      allocator: allocator ?? 'agent',
      ...(growth === undefined ? {} : { growth }),
      ...(uplinks === undefined ? {} : { uplinks }),
      ...(asn === undefined ? {} : { asn }),
    };
    at(host.at, () => createHost(tx, ctx, body, listed));
    return [{ action: 'create', kind: 'host', name, fields: [] }];
  }
  if (allocator !== undefined && allocatorOf(tx, name) !== allocator)
    refuse([
      issue(
        [...host.at, 'allocator'],
        `The addresses of host ${name} come from the ${allocatorOf(tx, name)}; delete the host and create it anew to change that.`,
        'conflict',
      ),
    ]);
  const reserves = growth === undefined ? 1 : roomFor(tx, old);
  if (growth !== undefined && powerOfTwo(growth) !== reserves)
    refuse([
      issue(
        [...host.at, 'growth'],
        `Host ${name} was created to grow to ${reserves} host ids; give it more with \`romana host add-id ${name}\`, or delete it and create it anew.`,
        'conflict',
      ),
    ]);
  const change = {
    addresses: [...addresses],
    ...(labels === undefined ? {} : { labels: { ...labels } }),
    ...(uplinks === undefined ? {} : { uplinks }),
    ...(asn === undefined ? {} : { asn }),
  };
  const fields = differing({ uplinks: [], ...old }, change);
  if (fields.length === 0) return [];
  at(host.at, () => changeHost(tx, old, change));
  return [{ action: 'change', kind: 'host', name, fields }];
}

/** What is refused inside has the place of the part of the file that caused it. */
function at<T>(path: Path, fn: () => T): T {
  try {
    return fn();
  } catch (error) {
    if (!isRomanaError(error)) throw error;
    throw new RomanaError(error.code, error.message, {
      details: {
        ...error.details,
        issues: [{ path: path.join('.'), at: path, code: error.code, message: error.message }],
      },
      cause: error,
    });
  }
}
