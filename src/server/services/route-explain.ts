/** `route explain`: the way of a packet between two addresses, endpoints or hosts. */
import type { RouteExplanation } from '#contract/routing-model.ts';
import {
  type Address,
  containsAddress,
  equalAddress,
  formatAddress,
  formatCidr,
  parseAddress,
  parseCidr,
  tryParseAddress,
} from '#core/address/index.ts';
import { RomanaError } from '#core/errors.ts';
import { type End, explainRoute, hostOf } from '#core/routing/index.ts';
import type { RoutingHost, RoutingInput, RoutingPlan } from '#core/routing/model.ts';
import { whyText } from '#core/routing/words.ts';
import type { ReadTx } from '#store/port.ts';
import type { VpcLead } from '../vpc.ts';
import type { Growth } from './growth.ts';
import { hop, plain } from './route-entries.ts';
import type { RoutingPlans } from './routing-plan.ts';
import { type Context, must, networksOf } from './shared.ts';
import type { Services } from './types.ts';

export function explainServices(
  { store, vpc }: Context,
  plans: RoutingPlans,
  growth: Pick<Growth, 'waitingFor'>,
): Pick<Services, 'routeExplain'> {
  return {
    routeExplain: async (_, { query }) =>
      store.read((tx): RouteExplanation => {
        const { source, destination } = pairOf(tx, query);
        const { input, plan } = plans.of(tx);
        const { hops, end } = wayOf(vpc, plan, input, source, destination);
        const about = (address: Address) => describe(tx, input.hosts, plan, address);
        return {
          revision: tx.revision,
          source: about(source),
          destination: about(destination),
          hops,
          end: endOf(tx, end, destination, hops.at(-1)?.type === 'device' ? 'device' : 'host'),
          notes: [source, destination].flatMap((address) => notesOn(tx, input.hosts, growth, address)),
        };
      }),
  };
}

type ToldHop = RouteExplanation['hops'][number];

/** Where a host's default route leads to the tables of its VPC, the way goes on from where these lead. */
function wayOf(
  vpc: Context['vpc'],
  plan: RoutingPlan,
  input: RoutingInput,
  source: Address,
  destination: Address,
): { hops: ToldHop[]; end: End } {
  const hops: ToldHop[] = [];
  let start: string | undefined;
  for (;;) {
    const way = explainRoute(plan, input, source, destination, start);
    const again = way.hops.find(({ at }) => hops.some((before) => before.at === at));
    hops.push(
      ...way.hops.map(({ at, kind, route, nextHops }) => ({
        at,
        type: kind,
        route: route === null ? null : plain(route, kind),
        nextHops: nextHops.map(hop),
      })),
    );
    if (again !== undefined) return { hops, end: { kind: 'loop', at: again.at } };
    const last = way.hops.at(-1);
    const lead =
      way.end.kind === 'leaves' && last?.kind === 'host' && last.nextHops.length === 0
        ? vpc?.lead(last.at, destination)
        : undefined;
    if (lead === undefined) {
      const inVpc = way.end.kind === 'leaves' && plan.host(way.end.at)?.kinds.includes('vpc') === true;
      if (!inVpc || way.end.kind !== 'leaves') return { hops, end: way.end };
      const reason = `The route tables of its VPC have no route for ${formatAddress(destination)} of Romana's, as far as they were read.`;
      return { hops, end: { ...way.end, reason } };
    }
    hops.push(tableHop(lead));
    if (lead.host === null) {
      const reason = `The route table leads to ${lead.target}, beyond what is described here.`;
      return { hops, end: { kind: 'leaves', at: lead.table, reason } };
    }
    start = lead.host;
  }
}

function tableHop({ table, cidr, target, host, why }: VpcLead): ToldHop {
  const route = { cidr: formatCidr(cidr), nextHops: [], ...tableWhy(why) };
  return { at: table, type: 'table', route, nextHops: [{ address: target, to: host ?? target, link: null }] };
}

function tableWhy(why: VpcLead['why']): Pick<NonNullable<ToldHop['route']>, 'why' | 'reason'> {
  if (why === null) return { why: { kind: 'foreign' }, reason: 'a route of somebody else' };
  if (why.kind === 'host' || why.kind === 'granted')
    return {
      why: { kind: why.kind, host: why.host },
      reason: whyText({ kind: why.kind, host: why.host }, 'device'),
    };
  const { topology, path } = why;
  const group = { kind: 'group', topology, path } as const;
  const more = why.kind === 'router' ? `, for which ${why.host} forwards` : ', which is elsewhere';
  return { why: group, reason: `${whyText(group, 'device')}${more}` };
}

function endOf(tx: ReadTx, end: End, destination: Address, last: 'device' | 'host'): RouteExplanation['end'] {
  if (end.kind === 'loop') return { ...end, reason: `The way comes back to ${end.at}.` };
  if (end.kind !== 'delivered') return end;
  const { at, why } = end;
  if (why === null) return { kind: 'delivered', at, reason: `It is an address of ${last} ${at} itself.` };
  if (why.kind === 'granted')
    return { kind: 'delivered', at, reason: `It was granted to host ${at}, whose endpoint has it.` };
  const endpoint = endpointOf(tx, destination);
  const range = `It lies in the range of host ${at}`;
  if (endpoint !== undefined)
    return { kind: 'delivered', at, reason: `${range}, where endpoint ${endpoint} has it.` };
  return {
    kind: 'dropped',
    at,
    reason: `${range}, and no endpoint is known to have it: it is dropped there.`,
  };
}

function endpointOf(tx: ReadTx, address: Address): string | undefined {
  const network = networksOf(tx).find(({ plan }) => containsAddress(plan.cidr, address));
  return network === undefined ? undefined : tx.ipam.ownerOf(network.name, address);
}

/** Two of one family: where a name has several addresses, those that fit the other. */
function pairOf(
  tx: ReadTx,
  query: { source: string; destination: string },
): Record<'source' | 'destination', Address> {
  const sources = addressesOf(tx, query.source, 'source');
  const destinations = addressesOf(tx, query.destination, 'destination');
  for (const source of sources) {
    const destination = destinations.find(({ family }) => family === source.family);
    if (destination !== undefined) return { source, destination };
  }
  throw new RomanaError(
    'input_invalid',
    `${query.source} and ${query.destination} have no addresses of one family; no packet goes from one to the other.`,
    { details: { path: 'destination' } },
  );
}

function addressesOf(tx: ReadTx, text: string, path: string): Address[] {
  const address = tryParseAddress(text);
  if (address !== undefined) return [address];
  if (text.split('/').length === 3) {
    return must(tx, 'endpoint', text).addresses.map((one) => parseAddress(one.address));
  }
  const host = tx.get('host', text);
  if (host !== undefined) return host.addresses.map(parseAddress);
  throw new RomanaError(
    'not_found',
    `${text} is no address, and there is no host of this name; an endpoint is written TENANT/SEGMENT/NAME.`,
    { details: { path } },
  );
}

function describe(
  tx: ReadTx,
  hosts: readonly RoutingHost[],
  plan: RoutingPlan,
  address: Address,
): RouteExplanation['source'] {
  const host = hostOf(hosts, address)?.name ?? null;
  return { address: formatAddress(address), what: whatOf(tx, host, plan, address), host };
}

function whatOf(tx: ReadTx, host: string | null, plan: RoutingPlan, address: Address): string {
  const network = networksOf(tx).find(({ plan: { cidr } }) => containsAddress(cidr, address));
  if (network === undefined) {
    if (host !== null) return `host ${host} itself`;
    const device = plan.devices.find((name) =>
      plan.device(name)?.device.addresses.some((one) => equalAddress(one, address)),
    );
    return device === undefined ? 'in no network of Romana' : `device ${device} itself`;
  }
  const endpoint = tx.ipam.ownerOf(network.name, address);
  if (endpoint !== undefined) return `endpoint ${endpoint}`;
  const where = `network ${network.name}`;
  return host === null ? `nobody's, in ${where}` : `no endpoint's, in the range of host ${host}, ${where}`;
}

/** What the routes do not say: that a range is not in use yet, or that a host is cut off. */
function notesOn(
  tx: ReadTx,
  hosts: readonly RoutingHost[],
  growth: Pick<Growth, 'waitingFor'>,
  address: Address,
): string[] {
  const name = hostOf(hosts, address)?.name;
  const host = name === undefined ? undefined : tx.get('host', name);
  if (host === undefined) return [];
  const pending = (host.reservations ?? []).flatMap((one) => {
    if (one.pending === null || !containsAddress(parseCidr(one.cidr), address)) return [];
    const waits = growth.waitingFor(tx, host, one).join(', ') || 'nobody';
    return [
      `${one.cidr} of host ${host.name} is not in use yet: its route is not everywhere; waiting for ${waits}.`,
    ];
  });
  const states = [
    ...(host.state === 'fenced' ? [`Host ${host.name} is fenced: nobody routes to it.`] : []),
    ...(host.lost === true ? [`Nobody reaches host ${host.name}: routes to it are withdrawn.`] : []),
    ...(host.joined ? [] : [`The agent of host ${host.name} has not joined yet: it forwards nothing.`]),
  ];
  return [...pending, ...states];
}
