/** What the tables show of each kind of object. Reads loosely: a newer server may send fields and values unknown here. */
import type { Item } from './output.ts';

export type Cell = string | number | boolean | null | undefined;
export type Column = readonly [title: string, read: (item: Item) => Cell];

function at(item: unknown, field: string): unknown {
  return typeof item === 'object' && item !== null ? (item as Item)[field] : undefined;
}

function plain(value: unknown): Cell {
  if (value === null || value === undefined) return null;
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') return value;
  return JSON.stringify(value);
}

function many(value: unknown, show: (part: unknown) => Cell = plain): string {
  return Array.isArray(value) ? value.map((part) => String(show(part) ?? '-')).join(', ') : '';
}

function field(title: string, name = title.toLowerCase()): Column {
  return [title, (item) => plain(item[name])];
}

function list(title: string, name = title.toLowerCase()): Column {
  return [title, (item) => many(item[name])];
}

function layout(value: unknown): Cell {
  if (value === null) return 'flat';
  return ['host', 'tenant', 'segment', 'endpoint']
    .map((part) => String(plain(at(value, part)) ?? '?'))
    .join('/');
}

/** `7` where the id is the same in every network, else `v4:7, v6:9`. */
function ids(value: unknown): Cell {
  if (!Array.isArray(value)) return null;
  const text = value.map((id: unknown) => [plain(at(id, 'network')), plain(at(id, 'id'))] as const);
  const once = new Set(text.map(([, id]) => id));
  const networks = new Set(text.map(([network]) => network));
  if (once.size === 1 && networks.size === text.length) return text[0]?.[1];
  return text.map(([network, id]) => `${String(network)}:${String(id)}`).join(', ');
}

function pairsOf(value: unknown): Cell {
  if (typeof value !== 'object' || value === null) return null;
  return Object.entries(value)
    .map(([key, text]) => `${key}=${String(plain(text))}`)
    .join(', ');
}

function attachment(value: unknown): Cell {
  const kind = plain(at(value, 'kind'));
  const parts = ['link', 'netns', 'ifname'].flatMap((part) => {
    const text = plain(at(value, part));
    return text === null ? [] : [String(text)];
  });
  return [kind, ...parts].join(' ');
}

/** `10.4.0.0/14`, and why a pending one is. */
function reservation(value: unknown): Cell {
  const cidr = String(plain(at(value, 'cidr')));
  const pending = at(value, 'pending');
  if (typeof pending !== 'object' || pending === null) return cidr;
  const blockers = at(pending, 'waitingFor');
  return `${cidr} (pending${Array.isArray(blockers) && blockers.length > 0 ? `: ${many(blockers)}` : ''})`;
}

/** Where it runs, and its home if that is another host. */
function whereOf(item: Item): Cell {
  const home = plain(item['host']);
  const location = plain(item['location']) ?? home;
  return location === home ? home : `${String(location)} (home ${String(home)})`;
}

const addresses: Column = ['ADDRESSES', (item) => many(item['addresses'], (a) => plain(at(a, 'address')))];
const idColumn: Column = ['IDS', (item) => ids(item['ids'])];

const columns: Readonly<Record<string, readonly Column[]>> = {
  network: [
    field('NAME'),
    field('CIDR'),
    ['LAYOUT', (item) => layout(item['layout'])],
    field('INFRASTRUCTURE'),
    list('RESERVED'),
    list('TENANTS'),
    ['QUARANTINE', (item) => `${String(plain(item['quarantineSeconds']))} s`],
  ],
  host: [
    field('NAME'),
    list('ADDRESSES'),
    field('GROUP'),
    idColumn,
    ['RESERVED', (item) => many(item['reservations'] ?? item['ids'], reservation)],
    [
      'ALLOCATOR',
      (item) =>
        [
          ...new Set(
            Array.isArray(item['ids']) ? item['ids'].map((id: unknown) => plain(at(id, 'allocator'))) : [],
          ),
        ].join(', '),
    ],
    field('JOINED'),
    ['STATE', (item) => (item['lost'] === true ? 'lost' : (plain(item['state']) ?? 'active'))],
  ],
  tenant: [field('NAME'), field('ISOLATION'), idColumn],
  segment: [['SEGMENT', (item) => nameOf('segment', item)], idColumn],
  endpoint: [
    ['ENDPOINT', (item) => nameOf('endpoint', item)],
    ['HOST', whereOf],
    addresses,
    ['ATTACHMENT', (item) => attachment(item['attachment'])],
    field('PHASE'),
    field('MESSAGE'),
  ],
  token: [
    field('NAME'),
    field('ROLE'),
    ['EXPIRES', (item) => plain(item['expiresAt']) ?? 'never'],
    field('CREATED', 'createdAt'),
  ],
};

export function columnsOf(noun: string): readonly Column[] {
  return columns[noun] ?? [field('NAME')];
}

export function nameOf(noun: string, item: Item): string {
  const parts =
    noun === 'endpoint' ? ['tenant', 'segment', 'name'] : noun === 'segment' ? ['tenant', 'name'] : ['name'];
  return parts.map((part) => String(plain(item[part]) ?? '?')).join('/');
}

/** A token that was just made. */
export function isSecret(item: Item): item is Item & { token: string } {
  return typeof item['token'] === 'string';
}

const readers: Readonly<Record<string, (value: unknown) => Cell>> = {
  layout,
  labels: pairsOf,
  attachment,
  ids: (value) => many(value, (id) => idText(id)),
  reservations: (value) => many(value, reservationText),
  uplinks: (value) => many(value, uplinkText),
  addresses: (value) =>
    many(value, (a) =>
      typeof a === 'string' ? a : `${String(plain(at(a, 'address')))} (${String(plain(at(a, 'network')))})`,
    ),
};

function idText(id: unknown): Cell {
  const about = [at(id, 'cidr'), at(id, 'allocator'), at(id, 'retiring') === true && 'retiring'].flatMap(
    (part) => (typeof part === 'string' ? [part] : []),
  );
  const text = `${String(plain(at(id, 'network')))}:${String(plain(at(id, 'id')))}`;
  return about.length === 0 ? text : `${text} (${about.join(', ')})`;
}

/** As `--uplink` takes it. */
function uplinkText(value: unknown): Cell {
  const own = at(value, 'addresses');
  const link = plain(at(value, 'link'));
  const addresses = Array.isArray(own) && own.length > 0 ? `=${own.join(',')}` : '';
  return `${String(plain(at(value, 'device')))}${addresses}${link === null ? '' : `@${String(link)}`}`;
}

function reservationText(value: unknown): Cell {
  const first = Number(at(value, 'first'));
  const size = Number(at(value, 'size'));
  const range = size === 1 ? String(first) : `${first}-${first + size - 1}`;
  return `${String(plain(at(value, 'network')))}:${range} ${reservation(value)}`;
}

/** Every field of one object, in the order of the API. */
export function fieldsOf(noun: string, item: Item): (readonly [string, Cell])[] {
  const key = noun === 'endpoint' || noun === 'segment';
  const fields = Object.entries(item).filter(
    ([name]) => !(key && ['tenant', 'segment', 'name'].includes(name)),
  );
  return [
    ...(key ? [[noun, nameOf(noun, item)] as const] : []),
    ...fields.map(([name, value]) => {
      const read = readers[name] ?? (Array.isArray(value) ? (list: unknown) => many(list) : plain);
      return [spaced(name), read(value)] as const;
    }),
  ];
}

/** createdAt → created at */
function spaced(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}
