/** `ipam check`: the records against each other, and against agents and kernels; `ipam release`: what a report of it found leaked, unless it changed since. */
import { parseAddress, parseCidr } from '#core/address/index.ts';
import {
  checkRecords,
  decideRelease,
  type Finding,
  findingCodes,
  type IpamRecords,
  type Leak,
} from '#core/ipam/index.ts';
import type { ReadTx, Tx } from '#store/port.ts';
import { actorOf } from '../caller.ts';
import type { Comparison } from './comparison.ts';
import { idSpace } from './ids.ts';
import { type Context, networksOf } from './shared.ts';
import { groupsOf, pathOf, topologyOf } from './topology.ts';
import type { Services } from './types.ts';

export function checkServices(
  ctx: Context,
  comparison: Comparison,
): Pick<Services, 'ipamCheck' | 'ipamRelease'> {
  const { store, clock } = ctx;
  return {
    ipamCheck: async () =>
      store.read((tx) => {
        const records = recordsOf(tx);
        const hosts = tx.list('host').map(({ value }) => value);
        const { findings, unknown } = comparison.judge(tx, hosts);
        return {
          ...store.position(),
          at: new Date(clock.now()).toISOString(),
          checked: {
            networks: records.networks.length + records.flat.length,
            hosts: records.hosts.length,
            endpoints: records.endpoints.length,
            allocations: records.leases.length,
          },
          findings: [...checkRecords(records), ...findings].map(described),
          unknown,
        };
      }),
    ipamRelease: (caller, { body }) =>
      store.transaction(actorOf(caller), (tx) => {
        const released: string[] = [];
        const skipped: { key: string; reason: string }[] = [];
        for (const leak of body.leaks) {
          const reason = releaseLeak(tx, leak, ctx.steadyNow());
          if (reason === undefined) released.push(leak.key);
          else skipped.push({ key: leak.key, reason });
        }
        return { released, skipped };
      }),
  };
}

/** Undefined: released. Else why not: what was observed is not what there is any more. */
export function releaseLeak(tx: Tx, { key, uid, seq }: Leak, now: number): string | undefined {
  const known = tx.ipam.byKey(key);
  if (known === undefined) return 'nothing is allocated for it any more';
  if (known.uid !== uid || known.seq !== seq) return 'it was allocated anew since';
  if (tx.get('endpoint', key)?.uid === uid) return 'the endpoint exists';
  if (givenByServer(tx, key))
    for (const event of decideRelease(tx.ipam, key, { uid, seq }, now)) tx.applyIpam(event);
  else tx.forgetAddresses(key);
  return undefined;
}

/** Of addresses that an agent gave out, the agent minds the rest. */
function givenByServer(tx: ReadTx, key: string): boolean {
  return (tx.ipam.byKey(key)?.addresses ?? []).some(({ network, hostId }) => {
    const host = tx.holderOf(idSpace('host', network), hostId);
    const ids = host === undefined ? undefined : tx.get('host', host)?.ids;
    const held = ids?.find((one) => one.network === network && one.id === hostId);
    return held?.allocator !== 'agent';
  });
}

function described({ code, message, objects, leak }: Finding) {
  return {
    code,
    message,
    remedy: findingCodes[code],
    objects: [...objects],
    leak: leak === null ? null : { ...leak },
  };
}

function recordsOf(tx: ReadTx): IpamRecords {
  const known = networksOf(tx);
  const trees = topologyOf(tx);
  const groups = known.map((network) => ({ network: network.name, carved: groupsOf(network, trees) }));
  return {
    ...tx.ipamRecords(),
    networks: known.map(({ name, plan }) => ({
      name,
      plan,
      cidr: plan.cidr,
      reserved: tx.get('network', name)?.reserved.map(parseCidr) ?? [],
    })),
    flat: tx
      .list('network')
      .flatMap(({ value: { name, layout, cidr, reserved } }) =>
        layout === null ? [{ name, cidr: parseCidr(cidr), reserved: reserved.map(parseCidr) }] : [],
      ),
    hosts: tx.list('host').map(({ value: host }) => ({
      name: host.name,
      ids: host.ids,
      groups: new Map(
        groups.flatMap(({ network, carved }) => {
          const standing = pathOf(trees, host, network);
          const found = carved.find(({ path, leaf }) => leaf && path === standing);
          return found === undefined ? [] : [[network, { first: found.firstHostId, last: found.lastHostId }]];
        }),
      ),
    })),
    tenants: tx.list('tenant').map(({ value: { name, ids } }) => ({ name, ids })),
    segments: tx.list('segment').map(({ value: { tenant, name, ids } }) => ({ tenant, name, ids })),
    endpoints: tx.list('endpoint').map(({ key, value }) => ({
      key,
      uid: value.uid,
      host: value.host,
      addresses: value.addresses.map(({ network, address }) => ({ network, address: parseAddress(address) })),
    })),
    holder: (field, network, id, tenant) => tx.holderOf(idSpace(field, network, tenant), id),
  };
}
