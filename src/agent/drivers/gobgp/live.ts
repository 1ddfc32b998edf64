/** What the running GoBGP says of itself, by its own client. */
import { type Cidr, type Family, formatCidr, parseCidr } from '#core/address/index.ts';
import { RomanaError } from '#core/errors.ts';
import type { Runner } from '../../exec.ts';
import type { SpeakerSession } from '../../speaker.ts';
import type { PrefixRange } from './config.ts';

export interface LiveSession {
  readonly description: string;
  readonly state: SpeakerSession['state'];
  /** Seconds since the epoch. */
  readonly since: number | null;
  readonly accepted: number;
  readonly sentErrors: number;
  readonly receivedErrors: number;
}
export interface LiveRoute {
  readonly cidr: Cidr;
  /** Sorted. */
  readonly communities: readonly string[];
}

export interface Gobgp {
  /** Throws speaker_unavailable when the daemon does not answer, speaker_unfit when the client is missing. */
  global(): Promise<{ readonly asn: number; readonly routerId: string }>;
  sessions(): Promise<ReadonlyMap<string, LiveSession>>;
  sets(): Promise<ReadonlyMap<string, readonly PrefixRange[]>>;
  /** Names of the policies in force, import before export. */
  policies(): Promise<readonly string[]>;
  /** What was added here, by text. */
  originated(): Promise<ReadonlyMap<string, LiveRoute>>;
  /** What an established session tells its peer. */
  told(address: string, family: Family): Promise<readonly string[]>;
  change(words: readonly string[]): Promise<void>;
}

/** Numbers of its API. */
const states: readonly SpeakerSession['state'][] = [
  'idle',
  'idle',
  'connect',
  'active',
  'opensent',
  'openconfirm',
  'established',
];

interface NeighborJson {
  conf?: { description?: string };
  state?: {
    neighbor_address?: string;
    session_state?: number;
    messages?: { sent?: { notification?: number }; received?: { notification?: number } };
  };
  timers?: { state?: { uptime?: { seconds?: number }; downtime?: { seconds?: number } } };
  afi_safis?: { state?: { accepted?: number } }[];
}
interface PathJson {
  attrs?: { type: number; communities?: number[]; value?: unknown }[];
  'neighbor-ip'?: string;
}
interface SetJson {
  name?: string;
  prefixes?: { ip_prefix?: string; mask_length_min?: number; mask_length_max?: number }[];
}

export function gobgpAt(run: Runner, target: string): Gobgp {
  const call = async (words: readonly string[]): Promise<string> => {
    const { code, stdout, stderr } = await run(['env', 'gobgp', '--target', target, ...words], {
      okCodes: 'any',
    });
    if (code === 0) return stdout;
    if (code === 127)
      throw new RomanaError('speaker_unfit', 'GoBGP is missing; install the Debian package gobgpd.');
    const said = `${stdout}\n${stderr}`.trim();
    if (/deadline exceeded|connection refused|no such file|Unavailable|transport/i.test(said)) {
      throw new RomanaError(
        'speaker_unavailable',
        `GoBGP does not answer at ${target}; start it, its configuration is in place.`,
      );
    }
    throw new RomanaError('speaker_refused', `GoBGP refused "${words.join(' ')}": ${said.slice(0, 300)}`);
  };
  const json = async <T>(words: readonly string[]): Promise<T> =>
    JSON.parse(await call(['-j', ...words])) as T;

  return {
    async global() {
      const said = await json<{ asn?: number; router_id?: string }>(['global']);
      return { asn: said.asn ?? 0, routerId: said.router_id ?? '' };
    },
    async sessions() {
      const list = await json<NeighborJson[] | null>(['neighbor']);
      return new Map((list ?? []).map((one) => [one.state?.neighbor_address ?? '', liveSession(one)]));
    },
    async sets() {
      const list = await json<SetJson[] | null>(['policy', 'prefix']);
      return new Map(
        (list ?? []).map(({ name = '', prefixes = [] }) => [
          name,
          prefixes.map(({ ip_prefix = '', mask_length_min = 0, mask_length_max = 0 }) => ({
            prefix: ip_prefix,
            min: mask_length_min,
            max: mask_length_max,
          })),
        ]),
      );
    },
    async policies() {
      // One document for each direction, a line each.
      const text = await call(['-j', 'global', 'policy']);
      return text
        .split('\n')
        .filter((line) => line.trim() !== '')
        .flatMap((line) => {
          const { policies = [] } = JSON.parse(line) as { policies?: { name?: string }[] };
          return policies.map(({ name = '' }) => name);
        });
    },
    async originated() {
      const found = new Map<string, LiveRoute>();
      for (const family of [4, 6]) {
        const table = await json<Record<string, PathJson[]> | null>(['global', 'rib', '-a', `ipv${family}`]);
        for (const [prefix, paths] of Object.entries(table ?? {})) {
          const own = paths.find((path) => path['neighbor-ip'] === undefined);
          if (own === undefined) continue;
          const cidr = parseCidr(prefix);
          found.set(formatCidr(cidr), { cidr, communities: communitiesOf(own) });
        }
      }
      return found;
    },
    async told(address, family) {
      const table = await json<Record<string, unknown> | null>([
        'neighbor',
        address,
        'adj-out',
        '-a',
        `ipv${family}`,
      ]);
      return Object.keys(table ?? {});
    },
    async change(words) {
      await call(words);
    },
  };
}

function liveSession({ conf, state, timers, afi_safis }: NeighborJson): LiveSession {
  const now = states[state?.session_state ?? 0] ?? 'idle';
  const { uptime, downtime } = timers?.state ?? {};
  return {
    description: conf?.description ?? '',
    state: now,
    since: (now === 'established' ? uptime : downtime)?.seconds ?? null,
    accepted: (afi_safis ?? []).reduce((sum, one) => sum + (one.state?.accepted ?? 0), 0),
    sentErrors: state?.messages?.sent?.notification ?? 0,
    receivedErrors: state?.messages?.received?.notification ?? 0,
  };
}

const COMMUNITIES = 8;
const LARGE_COMMUNITIES = 32;

function communitiesOf({ attrs = [] }: PathJson): readonly string[] {
  return attrs
    .flatMap(({ type, communities, value }) => {
      if (type === COMMUNITIES)
        return (communities ?? []).map((number) => `${Math.floor(number / 65536)}:${number % 65536}`);
      if (type !== LARGE_COMMUNITIES) return [];
      return (value as { ASN: number; LocalData1: number; LocalData2: number }[]).map(
        ({ ASN, LocalData1, LocalData2 }) => `${ASN}:${LocalData1}:${LocalData2}`,
      );
    })
    .sort();
}
