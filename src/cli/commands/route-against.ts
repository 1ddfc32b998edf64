/** `romana route diff --against`: what changed for a device between what was exported for it as json and what it should have now. */
import type { RouteDiff } from '#contract/routing-model.ts';
import { isRomanaError } from '#core/errors.ts';
import { whyText } from '#core/routing/words.ts';
import { readDocument } from '../document.ts';
import { usage } from '../exit.ts';
import { dump, formatOf } from '../output.ts';
import type { World } from '../world.ts';
import { type ClientOptions, withClient } from './common.ts';
import { countText, nodeText } from './route-text.ts';

type Node = RouteDiff['nodes'][number];
type Told = Node['added'][number];
interface Exported {
  readonly device: string;
  readonly routes: readonly Told[];
  /** What is said of each BGP session, by neighbour and its address. */
  readonly sessions: ReadonlyMap<string, string>;
  /** AS number, router id and whatever else is of no one session. */
  readonly speaker: ReadonlyMap<string, string>;
}

export async function sinceExport(
  world: World,
  file: string | undefined,
  options: ClientOptions & { device?: string; against: string },
): Promise<void> {
  const { against } = options;
  const format = formatOf(options);
  if (file !== undefined) throw usage('Name a topology file or --against, not both.');
  const before = readExport(await readDocument(against, () => world.stdin()), against);
  const { device = before.device } = options;
  if (device !== before.device) throw usage(`${against} is of device ${before.device}, not of ${device}.`);
  const { text, revision } = await withClient(world, options, (client) =>
    client.routeExport({ params: { device }, query: { format: 'json' } }),
  );
  const after = readExport(JSON.parse(text) as Record<string, unknown>, 'The answer of the server');
  const routes = compare(before.routes, after.routes);
  const sessions = changes(before.sessions, after.sessions);
  const node = { name: device, type: 'device', presence: 'both', ...routes, sessions } as const;
  const speaker = changes(before.speaker, after.speaker);
  const moved = [...speaker.removed, ...speaker.changed, ...speaker.added].sort();
  if (format !== 'table') return world.out(await dump({ ...node, speaker: moved, revision }, format));
  const counts = {
    added: routes.added.length,
    removed: routes.removed.length,
    changed: routes.changed.length,
  };
  const total = [...Object.values(routes), ...Object.values(sessions), moved].flat().length;
  if (options.quiet === true) return world.out(total === 0 ? '' : `${device}\n`);
  if (total === 0) return world.err('Nothing changes.\n');
  const lines = moved.map(
    (key) => `  ~ BGP ${key}: ${before.speaker.get(key) ?? '-'} -> ${after.speaker.get(key) ?? '-'}\n`,
  );
  world.out(nodeText(node) + lines.join('') + countText({ ...counts, devices: 1, hosts: 0, revision }));
}

type Fields = Readonly<Record<string, unknown>>;

/** What `route export --format json` wrote, or the whole answer of `-o json` around it. */
function readExport(document: Fields, file: string): Exported {
  const { text, format } = document;
  if (typeof text === 'string' && format === 'json') {
    try {
      return readExport(JSON.parse(text) as Fields, file);
    } catch (error) {
      if (isRomanaError(error)) throw error;
    }
  }
  const { device, routes } = document;
  if (typeof device !== 'string' || !Array.isArray(routes)) throw noExport(file);
  const bgp = isFields(document['bgp']) ? document['bgp'] : undefined;
  const { statics, neighbours, ...speaker } = bgp ?? {};
  const configured = Array.isArray(statics)
    ? new Set(statics.map((one: unknown) => (isFields(one) ? one['prefix'] : null)))
    : null;
  return {
    device,
    routes: routes.map((route: unknown) => readRoute(route, configured, file)),
    sessions: new Map((Array.isArray(neighbours) ? neighbours : []).map((one) => readSession(one, file))),
    speaker: new Map(Object.entries(speaker).map(([key, value]) => [key, JSON.stringify(value)])),
  };
}

function readRoute(value: unknown, configured: ReadonlySet<unknown> | null, file: string): Told {
  if (!isFields(value)) throw noExport(file);
  const { prefix, nextHops, why } = value;
  if (typeof prefix !== 'string' || !Array.isArray(nextHops)) throw noExport(file);
  const hopOf = (one: unknown): Told['nextHops'][number] => {
    const { address, to, link } = isFields(one) ? one : {};
    if (typeof address !== 'string' || typeof to !== 'string') throw noExport(file);
    return { address, to, link: typeof link === 'string' ? link : null };
  };
  const kind = nextHops.length === 0 ? 'drop' : configured?.has(prefix) === false ? 'bgp' : 'static';
  const reason = isFields(why) ? whyText(why as Parameters<typeof whyText>[0], 'device') : '';
  return { cidr: prefix, kind, nextHops: nextHops.map(hopOf), why: { kind: 'own' }, reason };
}

function readSession(value: unknown, file: string): [string, string] {
  if (!isFields(value)) throw noExport(file);
  const { name, address, link } = value;
  if (typeof name !== 'string') throw noExport(file);
  const place = [address, link].find((one) => typeof one === 'string') ?? '';
  return [`${name} ${place}`, JSON.stringify(value)];
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function noExport(file: string): Error {
  return usage(`${file} is no document of \`romana route export --device NAME --format json\`.`);
}

function compare(
  before: readonly Told[],
  after: readonly Told[],
): Pick<Node, 'added' | 'removed' | 'changed'> {
  const known = new Map(before.map((route) => [route.cidr, route]));
  const changed = after.flatMap((route) => {
    const was = known.get(route.cidr);
    return was === undefined || leads(was) === leads(route) ? [] : [{ before: was, after: route }];
  });
  const now = new Set(after.map(({ cidr }) => cidr));
  return {
    added: after.filter(({ cidr }) => !known.has(cidr)),
    changed,
    removed: before.filter(({ cidr }) => !now.has(cidr)),
  };
}

function leads({ kind, nextHops }: Told): string {
  const hops = nextHops.map(({ address, link }) => `${address} ${link ?? ''}`);
  return [kind, ...hops.sort()].join();
}

function changes(before: ReadonlyMap<string, string>, after: ReadonlyMap<string, string>): Node['sessions'] {
  return {
    added: [...after.keys()].filter((key) => !before.has(key)),
    removed: [...before.keys()].filter((key) => !after.has(key)),
    changed: [...after].flatMap(([key, text]) => (before.has(key) && before.get(key) !== text ? [key] : [])),
  };
}
