/** The fabric that a group states: a short text, or an object of which what is left out has its default. */
import { formatCidr } from '../../address/index.ts';
import {
  type BgpFabric,
  bgpDefaults,
  daemonCan,
  daemons,
  type Fabric,
  type FabricKind,
  l2Default,
  type VpcFabric,
  type VpcPeering,
  vpcDefaults,
} from '../../routing/fabric.ts';
import {
  booleanAt,
  cidrAt,
  fieldsAt,
  integerAt,
  kindOf,
  linkAt,
  listAt,
  oneOfAt,
  type Reading,
  textAt,
} from './fields.ts';
import type { Path } from './types.ts';

const kinds = ['l2', 'l3-static', 'bgp', 'vpc'] as const satisfies readonly FabricKind[];
type Fields = Readonly<Record<string, unknown>>;

export function fabricAt(r: Reading, value: unknown, at: Path): Fabric | undefined {
  if (value === undefined || value === null || r.full) return undefined;
  if (typeof value === 'string') {
    const kind = oneOfAt(r, value, at, kinds);
    if (kind === undefined) return undefined;
    return fieldsOfKind(r, kind, { kind }, at);
  }
  if (typeof value !== 'object' || Array.isArray(value))
    return r.refuse(at, `fabric is ${kinds.join(', ')}, or an object with kind, not ${kindOf(value)}.`);
  const fields = value as Fields;
  if (fields['kind'] === undefined || fields['kind'] === null)
    return r.refuse(at, `kind is missing: ${kinds.join(', ')}.`);
  const kind = oneOfAt(r, fields['kind'], [...at, 'kind'], kinds);
  return kind === undefined ? undefined : fieldsOfKind(r, kind, fields, at);
}

function fieldsOfKind(r: Reading, kind: FabricKind, given: Fields, at: Path): Fabric | undefined {
  const fields = fieldsAt(r, given, at, keys[kind]);
  if (fields === undefined) return undefined;
  if (kind === 'l2') {
    const { withdrawAfterSeconds: after, observers } = fields;
    return {
      kind,
      withdrawAfterSeconds:
        integerAt(r, after, [...at, 'withdrawAfterSeconds'], 0, 86_400) ?? l2Default.withdrawAfterSeconds,
      observers: integerAt(r, observers, [...at, 'observers'], 1, 64) ?? l2Default.observers,
    };
  }
  if (kind === 'l3-static') return { kind };
  return kind === 'bgp' ? bgpAt(r, fields, at) : vpcAt(r, fields, at);
}

const keys: Readonly<Record<FabricKind, readonly string[]>> = {
  l2: ['kind', 'withdrawAfterSeconds', 'observers'],
  'l3-static': ['kind'],
  bgp: [
    'kind',
    'hostAsn',
    'daemon',
    'hostAsnPerHost',
    'holdSeconds',
    'connectRetrySeconds',
    'gracefulRestartSeconds',
    'bfd',
    'ttlSecurity',
    'passwordFile',
    'maxPrefixes',
    'communities',
    'ecmp',
    'acceptDefault',
    'accept',
    'unnumbered',
    'announceAddresses',
    'aggregate',
    'direct',
  ],
  vpc: ['kind', 'region', 'vpc', 'provider', 'routeTables', 'budget', 'endpoint', 'subnet', 'peerings'],
};

/** RFC 6793; 0 and the last are reserved, and in 23456 those that do not fit into two bytes are hidden: a session cannot have it. */
export function asnAt(r: Reading, value: unknown, path: Path): number | undefined {
  const asn = integerAt(r, value, path, 1, 4_294_967_294);
  if (asn !== 23_456) return asn;
  return r.refuse(path, '23456 is AS_TRANS, which stands for other AS numbers (RFC 6793); take another.');
}

function bgpAt(r: Reading, fields: Fields, at: Path): BgpFabric | undefined {
  const d = bgpDefaults;
  const place = (key: string): Path => [...at, key];
  const whole = (key: string, least: number, most: number): number | undefined =>
    integerAt(r, fields[key], place(key), least, most);
  const flag = (key: string): boolean => booleanAt(r, fields[key], place(key)) ?? false;
  const daemon = oneOfAt(r, fields['daemon'], place('daemon'), daemons) ?? d.daemon;
  const hostAsn = asnAt(r, fields['hostAsn'], place('hostAsn'));
  if (fields['hostAsn'] === undefined || fields['hostAsn'] === null)
    r.refuse(at, 'hostAsn is missing: the AS number of the hosts, such as hostAsn: 4200000000.');
  const holdSeconds = whole('holdSeconds', 3, 65_535) ?? d.holdSeconds;
  const fabric: Omit<BgpFabric, 'hostAsn'> = {
    kind: 'bgp',
    daemon,
    hostAsnPerHost: flag('hostAsnPerHost'),
    holdSeconds,
    connectRetrySeconds: whole('connectRetrySeconds', 1, 65_535) ?? d.connectRetrySeconds,
    gracefulRestartSeconds: whole('gracefulRestartSeconds', 0, 4095) ?? d.gracefulRestartSeconds,
    bfd: bfdAt(r, fields['bfd'], place('bfd')),
    ttlSecurity: flag('ttlSecurity'),
    passwordFile: passwordFileAt(r, fields['passwordFile'], place('passwordFile')),
    maxPrefixes:
      fields['maxPrefixes'] === null ? null : (whole('maxPrefixes', 1, 1_000_000) ?? d.maxPrefixes),
    communities: listAt(r, fields['communities'], place('communities'), 32).flatMap((text, i) =>
      present(communityAt(r, text, [...at, 'communities', i])),
    ),
    ecmp: whole('ecmp', 1, 64) ?? d.ecmp,
    acceptDefault: flag('acceptDefault'),
    accept: listAt(r, fields['accept'], place('accept'), 64).flatMap((text, i) => {
      const cidr = cidrAt(r, text, [...at, 'accept', i]);
      if (cidr === undefined || cidr.length > 0) return present(cidr);
      r.refuse(
        [...at, 'accept', i],
        `${formatCidr(cidr)} is everything; acceptDefault accepts the default route.`,
      );
      return [];
    }),
    unnumbered: flag('unnumbered'),
    announceAddresses: flag('announceAddresses'),
    aggregate: booleanAt(r, fields['aggregate'], place('aggregate')) ?? d.aggregate,
    direct: flag('direct'),
  };
  checkDaemon(r, fabric, at);
  return hostAsn === undefined ? undefined : { ...fabric, hostAsn };
}

function checkDaemon(r: Reading, fabric: Omit<BgpFabric, 'hostAsn'>, at: Path): void {
  const { daemon, bfd, passwordFile, gracefulRestartSeconds } = fabric;
  const can = daemonCan[daemon];
  const asked = [
    ['unnumbered', fabric.unnumbered, 'unnumbered'],
    ['bfd', bfd !== null, 'bfd'],
    ['ttlSecurity', fabric.ttlSecurity, 'ttlSecurity'],
    ['passwordFile', passwordFile !== null, 'passwords'],
  ] as const;
  for (const [key, wanted, what] of asked) {
    if (!wanted || can[what]) continue;
    const able = daemons.filter((other) => daemonCan[other][what]).join(', ');
    r.refuse([...at, key], `${daemon} cannot do ${key}; leave it out, or choose ${able} as daemon.`);
  }
  if (bfd !== null && gracefulRestartSeconds > 0)
    r.note(
      [...at, 'bfd'],
      'bfd ends with the daemon, so its peers withdraw the routes when it restarts: gracefulRestartSeconds has no effect then.',
    );
}

function bfdAt(r: Reading, value: unknown, at: Path): BgpFabric['bfd'] {
  if (value === undefined || value === null || value === false) return null;
  const fields = value === true ? {} : fieldsAt(r, value, at, ['intervalMs', 'multiplier']);
  if (fields === undefined) return null;
  return {
    intervalMs: integerAt(r, fields['intervalMs'], [...at, 'intervalMs'], 10, 60_000) ?? 1000,
    multiplier: integerAt(r, fields['multiplier'], [...at, 'multiplier'], 2, 255) ?? 3,
  };
}

function passwordFileAt(r: Reading, value: unknown, at: Path): string | null {
  if (value === undefined || value === null) return null;
  const text = textAt(r, value, at, 255);
  if (text === undefined) return null;
  if (/^\/[^\0\n"]*$/.test(text) && !text.split('/').includes('..')) return text;
  r.refuse(
    at,
    'passwordFile is an absolute path on each host, without .. inside; never the password itself.',
  );
  return null;
}

/** RFC 1997: two parts of 16 bits; RFC 8092: three of 32. */
function communityAt(r: Reading, value: unknown, at: Path): string | undefined {
  const text = textAt(r, value, at, 64);
  if (text === undefined) return undefined;
  const parts = /^\d{1,10}(:\d{1,10}){1,2}$/.test(text) ? text.split(':').map(Number) : [];
  const most = parts.length === 2 ? 65_535 : 4_294_967_295;
  if (parts.length > 0 && parts.every((part) => part <= most)) return parts.join(':');
  return r.refuse(
    at,
    `${JSON.stringify(text)} is no community: 65001:100 (both up to 65535), or 65001:1:2 (each up to 4294967295).`,
  );
}

function vpcAt(r: Reading, fields: Fields, at: Path): VpcFabric | undefined {
  const text = (key: string, form: RegExp, like: string): string | undefined =>
    likeAt(r, fields[key], [...at, key], form, like);
  const optional = (key: string, form: RegExp, like: string): string | null =>
    fields[key] === undefined || fields[key] === null ? null : (text(key, form, like) ?? null);
  const region = text('region', /^[a-z0-9][-a-z0-9]{1,31}$/, 'eu-west-1');
  const vpc = text('vpc', /^vpc-[0-9a-z]{1,32}$/, 'vpc-0a1b2c3d');
  oneOfAt(r, fields['provider'], [...at, 'provider'], ['aws']);
  const endpoint = optional('endpoint', /^https?:\/\/[^\s]+$/, 'https://ec2.example.org');
  const subnet = optional('subnet', /^subnet-[0-9a-z]{1,32}$/, 'subnet-0a1b2c3d');
  const routeTables = listAt(r, fields['routeTables'], [...at, 'routeTables'], 200).flatMap((value, i) =>
    present(likeAt(r, value, [...at, 'routeTables', i], /^rtb-[0-9a-z]{1,32}$/, 'rtb-0a1b2c3d')),
  );
  const peerings = listAt(r, fields['peerings'], [...at, 'peerings'], 256).flatMap((value, i) =>
    present(peeringAt(r, value, [...at, 'peerings', i])),
  );
  const budget = integerAt(r, fields['budget'], [...at, 'budget'], 1, 1000) ?? vpcDefaults.budget;
  if (region === undefined || vpc === undefined) return undefined;
  return { ...vpcDefaults, region, vpc, routeTables, budget, endpoint, subnet, peerings };
}

function peeringAt(r: Reading, value: unknown, at: Path): VpcPeering | undefined {
  const fields = fieldsAt(r, value, at, ['group', 'connection']);
  if (fields === undefined) return undefined;
  const group = textAt(r, fields['group'], [...at, 'group'], 1024);
  const form = /^[a-z]{2,12}-[0-9a-z]{1,32}$/;
  const connection = likeAt(r, fields['connection'], [...at, 'connection'], form, 'pcx-0a1b2c3d');
  return group === undefined || connection === undefined ? undefined : { group, connection };
}

function likeAt(r: Reading, value: unknown, path: Path, form: RegExp, like: string): string | undefined {
  const text = textAt(r, value, path, 255);
  if (text === undefined || form.test(text)) return text;
  return r.refuse(path, `${JSON.stringify(text)} is not of the form ${like}.`);
}

function present<T>(value: T | undefined): T[] {
  return value === undefined ? [] : [value];
}

/** `links` of a device, by host. */
export function linksAt(r: Reading, value: unknown, at: Path): Record<string, string> {
  if (value === undefined || value === null) return {};
  if (typeof value !== 'object' || Array.isArray(value)) {
    r.refuse(at, `Expected pairs such as {host1: swp1}, found ${kindOf(value)}.`);
    return {};
  }
  const pairs = Object.entries(value).flatMap(([host, link]): [string, string][] => {
    if (r.full) return [];
    const read = linkAt(r, link, [...at, host]);
    return read === undefined || host === '__proto__' ? [] : [[host, read]];
  });
  return Object.fromEntries(pairs.sort(([a], [b]) => (a < b ? -1 : 1)));
}
