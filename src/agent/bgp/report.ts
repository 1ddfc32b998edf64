/** What a speaker's status is in the report of its host: within the limits of the contract, never an error because of a long text. */
import type { BgpReport, Problem } from '#contract/model.ts';
import { formatCidr } from '#core/address/index.ts';
import type { Daemon } from '#core/routing/fabric.ts';
import type { SpeakerStatus } from '../speaker.ts';

const sessionLimit = 256;
const announcedLimit = 8192;

export function bgpReport(daemon: Daemon, status: SpeakerStatus, problem: Problem | null): BgpReport {
  const { sessions, announced, version } = status;
  const what = status.problem ?? problem?.message ?? null;
  return {
    daemon,
    up: status.daemon === 'up',
    version: version === null ? null : version.slice(0, 64),
    sessions: sessions.slice(0, sessionLimit).map((session) => ({
      ...session,
      peer: session.peer.slice(0, 63),
      neighbour: session.neighbour.slice(0, 64),
      seconds: whole(session.seconds),
      lastError: session.lastError.slice(0, 512),
    })),
    announced: announced === null || announced.length > announcedLimit ? null : announced.map(formatCidr),
    problem: what === null ? null : what.slice(0, 1024),
  };
}

function whole(seconds: number | null): number | null {
  return seconds === null ? null : Math.max(0, Math.floor(seconds));
}

/** As far as it is worth a report of its own: time goes by in every session and prefixes come and go, and that is no news. */
export function withoutCounts(report: BgpReport): BgpReport {
  const sessions = report.sessions.map((session) => ({
    ...session,
    seconds: null,
    prefixesIn: null,
    prefixesOut: null,
  }));
  return { ...report, sessions };
}
