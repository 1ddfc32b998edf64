/** `romana route explain`: the way of a packet, hop by hop. */
import type { Command } from 'commander';
import type { RouteExplanation } from '#contract/routing-model.ts';
import { dump, formatOf, table } from '../output.ts';
import type { World } from '../world.ts';
import { type ClientOptions, withClient, withServer } from './common.ts';
import { hopText } from './route-text.ts';

const placeHelp = 'An address, an endpoint TENANT/SEGMENT/NAME, or a host';

export function addRouteExplain(route: Command, world: World): void {
  const explain = route
    .command('explain')
    .summary('The way of a packet, hop by hop: device, matched route, why it exists')
    .description(
      'The way of a packet from one address to another, as the routes lead it: at each host and device the matched route, the next hop, and why the route exists. It ends where the packet is delivered, dropped, or leaves what Romana routes. Whether the isolation lets it through is not looked at.',
    )
    .argument('<source>', placeHelp)
    .argument('<destination>', placeHelp);
  withServer(explain).action(async (source: string, destination: string, options: ClientOptions) => {
    const format = formatOf(options);
    const answer = await withClient(world, options, (client) =>
      client.routeExplain({ query: { source, destination } }),
    );
    if (options.quiet === true) world.out(answer.hops.map(({ at }) => `${at}\n`).join(''));
    else if (format !== 'table') world.out(await dump(answer, format));
    else world.out(explanationText(answer, options.headers !== false));
  });
}

const titles = ['', 'AT', 'ROUTE', 'NEXT HOP', 'WHY'];

function explanationText(
  { source, destination, hops, end, notes }: RouteExplanation,
  headers: boolean,
): string {
  const place = ({ address, what }: RouteExplanation['source']) => `${address} (${what})`;
  const rows = hops.map(({ at, type, route, nextHops }, i) => [
    i + 1,
    `${type} ${at}`,
    route?.cidr ?? (nextHops.length === 0 && end.kind === 'delivered' ? 'itself' : 'default'),
    nextHops.length === 0 ? null : oneOf(nextHops),
    route?.reason ?? (nextHops.length === 0 ? null : 'default route of the site'),
  ]);
  return [
    ...(headers ? [`from ${place(source)}\nto   ${place(destination)}\n\n`] : []),
    table(headers ? titles : undefined, rows),
    `${headers ? '\n' : ''}${end.kind} at ${end.at}: ${end.reason}\n`,
    ...notes.map((note) => `note: ${note}\n`),
  ].join('');
}

/** The first is followed; of the others it is said that they are equally good. */
function oneOf(nextHops: RouteExplanation['hops'][number]['nextHops']): string {
  const [first, ...others] = nextHops;
  const text = first === undefined ? '' : hopText([first]);
  return others.length === 0 ? text : `${text}, or ${hopText(others)}`;
}
