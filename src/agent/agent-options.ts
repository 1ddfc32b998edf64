/** What an agent is given, and what it tells of itself. Types only. */
import type * as m from '#contract/model.ts';
import type { RomanaError } from '#core/errors.ts';
import type { Cancel, Clock, Log, Random, Timers } from '#core/ports.ts';
import type { Daemon } from '#core/routing/index.ts';
import type { FollowedEvent } from '#net/watch.ts';
import type { JournalFs } from './journal/index.ts';
import type { ObjectStatus, PeerProbe } from './ports.ts';
import type { Kernel } from './reconciler.ts';
import type { StateFiles } from './saved-view.ts';
import type { Speaker } from './speaker.ts';

export interface ControlPlane {
  report(report: m.HostReport): Promise<m.HostReportAnswer>;
  /** Follows the stream from a position on, for as long as it is not cancelled. */
  follow(
    since: m.Position | null,
    onEvent: (event: FollowedEvent) => void,
    onDown: (error: RomanaError) => void,
  ): Cancel;
}

export interface AgentOptions {
  readonly host: string;
  readonly version: string;
  readonly uplinks: readonly string[];
  readonly endpointLinks: readonly string[];
  readonly mtu: number;
  readonly resyncMs: number;
  readonly heartbeatMs: number;
  readonly kernel: Kernel;
  /** Absent: no BGP daemon here that it may speak to. */
  readonly speaker?: (daemon: Daemon) => Speaker;
  /** Absent: other hosts of the link are not looked after. */
  readonly peerProbe?: PeerProbe;
  readonly controlPlane: ControlPlane;
  readonly files: StateFiles;
  readonly journal: { readonly dir: string; readonly fs?: JournalFs };
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Log;
}

export interface AgentStatus {
  readonly host: string;
  readonly ready: boolean;
  readonly connected: boolean;
  readonly applied: m.Position | null;
  readonly known: m.Position | null;
  readonly problems: readonly m.Problem[];
  readonly endpoints: number;
  readonly objects: readonly ObjectStatus[];
  readonly counts: { readonly routes: number; readonly rules: number; readonly elements: number };
  readonly drops: Readonly<Record<string, number>>;
  readonly writes: number;
  /** Null: the fabric needs no BGP speaker here, or it has not been looked at yet. */
  readonly bgp: m.BgpReport | null;
  /** Hosts of its link that do not answer it; null: the fabric has it look after none. */
  readonly unreachable: readonly string[] | null;
}
