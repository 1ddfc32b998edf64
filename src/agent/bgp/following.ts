/**
 * Which devices the routes of a host go over, where its BGP daemon writes no routes: those whose session is up. Pure.
 *
 * 1. When no session of a family is up, or the daemon does not answer, the last ones stay: whoever forwards may well outlive who speaks.
 * 2. A session that brings no prefix leads nowhere.
 */
import type { Problem } from '#contract/model.ts';
import { type Cidr, formatCidr } from '#core/address/index.ts';
import { type Daemon, daemons } from '#core/routing/fabric.ts';
import type { BgpPeer } from '#core/routing/model.ts';
import type { SpeakerStatus } from '../speaker.ts';

/** Names of devices by family, sorted; empty: not known yet, so all of them. */
export interface Following {
  readonly 4: readonly string[];
  readonly 6: readonly string[];
}
export const nobody: Following = { 4: [], 6: [] };

/** How the agent routes what the devices announce. */
export interface Ways {
  readonly over: Following;
  /** The daemon routes too, and better, but what it wrote goes while it starts anew. */
  readonly standIn: boolean;
}
export const everywhere: Ways = { over: nobody, standIn: false };

export function isNobody(following: Following): boolean {
  return following[4].length === 0 && following[6].length === 0;
}

export interface SavedBgp {
  /** The one that announces for us. */
  readonly daemon: Daemon | null;
  /** Those that did before, and may still. */
  readonly left: readonly Daemon[];
  /** What those were last told to announce; as text. */
  readonly leftAnnounced: readonly string[];
  /** What it was last told to announce; as text. */
  readonly announced: readonly string[];
  readonly following: Following;
}

export const nothingSaved: SavedBgp = {
  daemon: null,
  left: [],
  leftAnnounced: [],
  announced: [],
  following: nobody,
};

export function followed(last: Following, peers: readonly BgpPeer[], status: SpeakerStatus): Following {
  if (status.daemon !== 'up') return last;
  const of = (family: 4 | 6): readonly string[] => {
    const up = status.sessions
      .filter(({ state, prefixesIn }) => state === 'established' && prefixesIn !== 0)
      .filter(({ peer, neighbour }) => {
        const carried = neighbour.includes(':') ? [6] : neighbour.includes('.') ? [4] : [4, 6];
        return (
          peers.some(({ name, families }) => name === peer && families.includes(family)) &&
          carried.includes(family)
        );
      })
      .map(({ peer }) => peer);
    return up.length === 0 ? last[family] : [...new Set(up)].sort();
  };
  return { 4: of(4), 6: of(6) };
}

/** In every family that it has sessions for. */
export function learns(status: SpeakerStatus): boolean {
  return speaks(status, ({ prefixesIn }) => prefixesIn !== 0);
}

function speaks(
  { daemon, sessions }: SpeakerStatus,
  also: (session: SpeakerStatus['sessions'][number]) => boolean,
): boolean {
  const families = new Set(sessions.map(({ neighbour }) => neighbour.includes(':')));
  const up = sessions.filter((session) => session.state === 'established' && also(session));
  const fed = new Set(up.map(({ neighbour }) => neighbour.includes(':')));
  return daemon === 'up' && sessions.length > 0 && families.size === fed.size;
}

/** Why those before go on: null when one after them speaks for the host, or they announce what they should not any more. */
export function notRelieved(
  { daemon, left, leftAnnounced }: SavedBgp,
  wanted: readonly Cidr[],
  status: SpeakerStatus | null,
): Problem | null {
  const texts = new Set(wanted.map(formatCidr));
  const right = leftAnnounced.every((text) => texts.has(text));
  if (left.length === 0 || !right || (status !== null && speaks(status, () => true))) return null;
  const message = `${left.join(', ')}, which this host used before, goes on announcing until ${daemon} has sessions: stop the one and start the other.`;
  return { code: 'speaker_unavailable', message };
}

/** Of next hops those that go over devices with a session; all of them when that leaves none. */
export function overSessions<T extends { readonly to: string }>(
  hops: readonly T[],
  family: 4 | 6,
  following: Following,
): readonly T[] {
  const left = hops.filter(({ to }) => following[family].includes(to));
  return left.length === 0 ? hops : left;
}

/** A damaged or missing file tells nothing. */
export function savedBgp(text: string | null): SavedBgp {
  try {
    const {
      daemon,
      left,
      leftAnnounced,
      announced,
      following = nobody,
    } = JSON.parse(text ?? '{}') as Partial<SavedBgp>;
    const names = (list: unknown): string[] =>
      Array.isArray(list) ? list.filter((name) => typeof name === 'string') : [];
    const known = daemons.find((one) => one === daemon) ?? null;
    const before = daemons.filter((one) => one !== known && names(left).includes(one));
    return {
      daemon: known,
      left: before,
      leftAnnounced: names(leftAnnounced),
      announced: names(announced),
      following: { 4: names(following[4]), 6: names(following[6]) },
    };
  } catch {
    return nothingSaved;
  }
}
