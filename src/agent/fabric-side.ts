/**
 * What the fabric asks of an agent beside the kernel: its BGP speaker, and a look at the other hosts of its link. Imports contract,
 * core, agent.
 */
import type { BgpReport, Problem } from '#contract/model.ts';
import type { Clock, Log, Timers } from '#core/ports.ts';
import type { Daemon } from '#core/routing/index.ts';
import { everywhere, type Ways } from './bgp/following.ts';
import { BgpLoop } from './bgp/loop.ts';
import { PeerWatch } from './peers.ts';
import type { KernelFacts, PeerProbe } from './ports.ts';
import type { Outcome } from './reconciler.ts';
import type { StateFiles } from './saved-view.ts';
import type { Speaker } from './speaker.ts';

export interface FabricSideOptions {
  /** Absent: this host has no BGP daemon that the agent may speak to. */
  readonly speaker?: ((daemon: Daemon) => Speaker) | undefined;
  /** Absent: other hosts are not looked after. */
  readonly peerProbe?: PeerProbe | undefined;
  readonly facts: KernelFacts;
  readonly files: StateFiles;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly log: Log;
  readonly heartbeatMs: number;
  /** Routes have to follow. */
  readonly follow: () => void;
  /** There is something new to report. */
  readonly news: () => void;
}

/** How long a pass waits for the withdrawal of what this host may not announce any more; once. */
const withdrawalMs = 2_000;
/** Between looks at the other hosts at least: the kernel asks for three seconds, after five of doubt. */
const leastBetweenLooksMs = 10_000;

export class FabricSide {
  readonly #bgp: BgpLoop | null;
  readonly #peers: PeerWatch | null;
  #waited = false;

  constructor(options: FabricSideOptions) {
    const { speaker, peerProbe, facts, timers, log, heartbeatMs, follow, news } = options;
    this.#bgp =
      speaker === undefined ? null : new BgpLoop({ ...options, speaker, onFollow: follow, onChange: news });
    this.#peers =
      peerProbe === undefined
        ? null
        : new PeerWatch({
            facts,
            probe: peerProbe,
            timers,
            log,
            everyMs: Math.max(heartbeatMs, leastBetweenLooksMs),
            onChange: news,
          });
  }

  async load(): Promise<void> {
    await this.#bgp?.load();
  }

  /** Before a pass. `silent`: this host may not speak for its ranges, so it stops to before the kernel is touched. */
  async before(silent: boolean): Promise<void> {
    if (silent && !this.#waited) await this.#bgp?.withdraw(withdrawalMs);
    this.#waited = silent;
  }

  passed({ applied, fabric }: Outcome, silent: boolean): void {
    if (!applied && !silent) return;
    this.#bgp?.want(fabric.bgp, silent, fabric.unready);
    this.#peers?.want(silent ? [] : fabric.watched);
  }

  following(daemon: Daemon): Ways | null {
    return this.#bgp === null ? everywhere : this.#bgp.following(daemon);
  }

  get bgp(): BgpReport | null {
    return this.#bgp?.report ?? null;
  }

  /** Reports wait: without the speaker they would say that there is none. */
  get undecided(): boolean {
    return this.#bgp?.undecided ?? false;
  }

  get unreachable(): readonly string[] | null {
    return this.#peers?.unreachable ?? null;
  }

  get problems(): readonly Problem[] {
    return this.#bgp?.problems ?? [];
  }

  stop(): void {
    this.#bgp?.stop();
    this.#peers?.stop();
  }
}
