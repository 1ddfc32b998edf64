/**
 * Keeps the host's BGP speaker as the fabric wants it and follows its sessions. It runs beside the passes over the kernel: they never
 * wait for a daemon, but for the one moment of rule 3. Imports contract, core, agent.
 *
 * 1. A range is announced only after a pass has left its blackhole in the kernel; one that is announced stays so while a foreign route
 *    stands in the blackhole's place.
 * 2. No call to the daemon begins before the last one has ended; one that does not end counts as a daemon that is down.
 * 3. Who may not speak for its ranges withdraws them before the kernel is touched, as far as the daemon answers in time.
 * 4. What a daemon lost (a restart, a hand in its files) is brought back with the next look at it.
 * 5. Routes follow sessions only where the daemon writes none; what they follow outlives the agent, and stays after a change of the
 *    daemon until the new one has learned.
 * 6. After a start nothing is told of the speaker, and nothing without it, until it was looked at or has had its time: a report without
 *    it says that there is none.
 * 7. A daemon that this host used before is silenced, however long it takes until that one answers; but as long as all that it announces is
 *    right, not before the new one has a session: or nobody would reach this host.
 * 8. Nothing here starts or stops a daemon; the end of the agent changes nothing.
 */
import type { BgpReport, Problem } from '#contract/model.ts';
import { type Cidr, formatCidr, overlaps } from '#core/address/index.ts';
import type { Cancel, Clock, Log, Timers } from '#core/ports.ts';
import type { Daemon } from '#core/routing/fabric.ts';
import type { BgpIntent } from '#core/routing/model.ts';
import type { StateFiles } from '../saved-view.ts';
import { notUp, type Speaker, type SpeakerStatus } from '../speaker.ts';
import { Calls, problemOf, unfitSpeaker } from './calls.ts';
import {
  followed,
  isNobody,
  learns,
  nobody,
  nothingSaved,
  notRelieved,
  type SavedBgp,
  savedBgp,
  type Ways,
} from './following.ts';
import { bgpReport } from './report.ts';

export interface BgpLoopOptions {
  /** One for each daemon, made when it is first needed. */
  readonly speaker: (daemon: Daemon) => Speaker;
  readonly files: StateFiles;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly log: Log;
  /** Routes have to follow sessions that changed. */
  readonly onFollow: () => void;
  /** There is something new to tell. */
  readonly onChange: () => void;
}

/** Between looks at the sessions: when something has just changed, and else. */
const soonMs = 1_000;
const idleMs = 3_000;
const soonForMs = 15_000;
/** The daemon is told everything again after this time; to one that has it already that is nothing. */
const againMs = 30_000;
/** How long others wait for the first look. */
const firstLookMs = 3_000;
const stateFile = 'bgp.json';

export class BgpLoop {
  readonly #options: BgpLoopOptions;
  readonly #speakers = new Map<Daemon, Speaker>();
  readonly #calls: Calls;
  #saved: SavedBgp = nothingSaved;
  #intent: BgpIntent | null = null;
  #silent = false;
  /** Own ranges without a blackhole. */
  #unready: readonly Cidr[] = [];
  /** What the daemon was last told with success: an intent, or to be silent; null: unknown. */
  #told: string | null = null;
  #toldAt = Number.NEGATIVE_INFINITY;
  #failures = 0;
  #retryAt = Number.NEGATIVE_INFINITY;
  #status: SpeakerStatus | null = null;
  #problem: Problem | null = null;
  #leftProblem: Problem | null = null;
  #leftRetryAt = Number.NEGATIVE_INFINITY;
  #states = '';
  #undecidedUntil = Number.NEGATIVE_INFINITY;
  #soonUntil = Number.NEGATIVE_INFINITY;
  #running: Promise<void> | null = null;
  #writing = Promise.resolve();
  #again = false;
  #stopped = false;
  /** To the next look; null: none is due. */
  #timer: Cancel | null = null;

  constructor(options: BgpLoopOptions) {
    this.#options = options;
    this.#calls = new Calls(options.timers);
  }

  async load(): Promise<void> {
    this.#saved = savedBgp(await this.#options.files.read(stateFile));
    if (this.#saved.daemon !== null) this.#awaitFirstLook();
  }

  /**
   * Devices over which routes may go, by family; null: this daemon writes its routes itself. One that does, after one that did not, is
   * given the time to learn them.
   */
  following(daemon: Daemon): Ways | null {
    const { following: over } = this.#saved;
    const { fib, keepsRoutes } = this.#speaker(daemon).capabilities;
    if (fib && !keepsRoutes) return { over, standIn: true };
    return fib && isNobody(over) ? null : { over, standIn: false };
  }

  /** After a pass that reached the kernel whole. `silent`: this host may not speak for its ranges. */
  want(intent: BgpIntent | null, silent: boolean, unready: readonly Cidr[]): void {
    const before = this.#goal();
    if (intent !== null && this.#intent === null && this.#status === null) this.#awaitFirstLook();
    this.#intent = intent;
    this.#silent = silent;
    this.#unready = unready;
    const daemon = intent?.daemon ?? null;
    const other = daemon !== this.#saved.daemon;
    if (other) this.#turnTo(daemon);
    if (this.#goal() !== before) this.#retryAt = Number.NEGATIVE_INFINITY;
    if (other || this.#goal() !== this.#told) this.#wake();
    // Passes that come often put no look off.
    else if (this.#running === null && this.#timer === null) this.#schedule();
  }

  /** Resolves when nothing is announced any more, or when the daemon had its time to say so. */
  async withdraw(limitMs: number): Promise<void> {
    this.#silent = true;
    if (this.#saved.daemon === null || this.#told === silence) return;
    this.#retryAt = Number.NEGATIVE_INFINITY;
    this.#wake();
    await new Promise<void>((resolve) => {
      const cancel = this.#options.timers.after(limitMs, resolve);
      const look = async (): Promise<void> => {
        // One that runs may have begun with the old wish.
        for (let turns = 0; turns < 2 && this.#told !== silence && this.#running !== null; turns++)
          await this.#running;
        cancel();
        resolve();
      };
      void look();
    });
  }

  stop(): void {
    this.#stopped = true;
    this.#unschedule();
  }

  /** There is a speaker, and nobody knows yet what to say of it. */
  get undecided(): boolean {
    const speaks = this.#intent !== null || this.#saved.daemon !== null;
    return speaks && this.#status === null && this.#options.clock.monotonic() < this.#undecidedUntil;
  }

  get report(): BgpReport | null {
    return this.#intent === null || this.#status === null
      ? null
      : bgpReport(this.#intent.daemon, this.#status, this.#problem);
  }

  get problems(): readonly Problem[] {
    return [this.#problem, this.#leftProblem].filter((one) => one !== null);
  }

  #awaitFirstLook(): void {
    const { clock, timers, onChange } = this.#options;
    this.#undecidedUntil = clock.monotonic() + firstLookMs;
    timers.after(firstLookMs, () => {
      if (!this.#stopped) onChange();
    });
  }

  /** What the daemon is to be told; null: nothing, there is none. */
  #goal(): string | null {
    if (this.#silent) return this.#saved.daemon === null ? null : silence;
    if (this.#intent === null) return null;
    return JSON.stringify(this.#effective(this.#intent));
  }

  #effective(intent: BgpIntent): BgpIntent {
    if (this.#unready.length === 0) return intent;
    const announced = new Set(this.#saved.announced);
    const ready = (cidr: Cidr): boolean =>
      announced.has(formatCidr(cidr)) || !this.#unready.some((range) => overlaps(range, cidr));
    return intent.announce.every(ready) ? intent : { ...intent, announce: intent.announce.filter(ready) };
  }

  #speaker(daemon: Daemon): Speaker {
    const known = this.#speakers.get(daemon);
    if (known !== undefined) return known;
    const made = this.#make(daemon);
    this.#speakers.set(daemon, made);
    return made;
  }

  #make(daemon: Daemon): Speaker {
    try {
      return this.#options.speaker(daemon);
    } catch (error) {
      return unfitSpeaker(error);
    }
  }

  /** Another daemon from now on, or none: what the one before announces is taken back, however long that takes. */
  #turnTo(daemon: Daemon | null): void {
    const { daemon: before, left, announced, following } = this.#saved;
    const leave = new Set([...left, ...(before === null ? [] : [before])]);
    if (daemon !== null) leave.delete(daemon);
    const leftAnnounced = leave.size === 0 ? [] : [...new Set([...this.#saved.leftAnnounced, ...announced])];
    const kept = daemon === null ? nobody : following;
    this.#save({ daemon, left: [...leave], leftAnnounced, announced: [], following: kept });
    this.#told = null;
    this.#leftRetryAt = Number.NEGATIVE_INFINITY;
    this.#forgetStatus();
  }

  #forgetStatus(): void {
    const told = this.#status !== null || this.#problem !== null;
    this.#status = null;
    this.#problem = null;
    this.#states = '';
    if (told) this.#options.onChange();
  }

  #wake(): void {
    if (this.#stopped) return;
    this.#again = true;
    this.#unschedule();
    if (this.#running !== null) return;
    this.#running = this.#turns().finally(() => {
      this.#running = null;
      if (this.#again) this.#wake();
      else this.#schedule();
    });
  }

  async #turns(): Promise<void> {
    while (this.#again && !this.#stopped) {
      this.#again = false;
      await this.#turn();
    }
  }

  #unschedule(): void {
    this.#timer?.();
    this.#timer = null;
  }

  #schedule(): void {
    this.#unschedule();
    const { clock, timers } = this.#options;
    const leaves = this.#saved.left.length > 0;
    if (this.#stopped || (this.#goal() === null && !leaves)) return;
    const soon = clock.monotonic() < this.#soonUntil;
    this.#timer = timers.after(soon ? soonMs : idleMs, () => this.#wake());
  }

  async #turn(): Promise<void> {
    const { daemon } = this.#saved;
    const goal = this.#goal();
    if (daemon !== null && goal !== null) {
      if (this.#due(goal)) await this.#tell(daemon, goal);
      const intent = this.#intent;
      if (intent?.daemon === daemon) await this.#look(this.#speaker(daemon), intent);
    }
    await this.#silenceLeft();
  }

  async #silenceLeft(): Promise<void> {
    const { clock, log } = this.#options;
    if (clock.monotonic() < this.#leftRetryAt) return;
    const intent = this.#silent ? null : this.#intent;
    const goesOn = intent === null ? null : notRelieved(this.#saved, intent.announce, this.#status);
    let problem = goesOn;
    for (const daemon of goesOn === null ? this.#saved.left : []) {
      try {
        await this.#calls.limited(() => this.#speaker(daemon).withdraw());
        this.#save({ ...this.#saved, left: this.#saved.left.filter((one) => one !== daemon) });
      } catch (error) {
        const { code, message } = problemOf(error);
        problem = { code, message: `${daemon}, which this host used before, may still announce: ${message}` };
        this.#leftRetryAt = clock.monotonic() + againMs;
      }
    }
    if (this.#leftProblem?.message === problem?.message) return;
    if (problem !== null) log.warn({ code: problem.code }, problem.message);
    this.#leftProblem = problem;
    this.#options.onChange();
  }

  #due(goal: string): boolean {
    const now = this.#options.clock.monotonic();
    if (now < this.#retryAt) return false;
    return goal !== this.#told || now - this.#toldAt >= againMs;
  }

  async #tell(daemon: Daemon, goal: string): Promise<void> {
    const intent = this.#intent;
    const told = goal !== silence && intent !== null ? this.#effective(intent) : null;
    const { clock, log } = this.#options;
    const speaker = this.#speaker(daemon);
    try {
      const changes = await this.#calls.limited(async () =>
        told === null ? (await speaker.withdraw(), []) : (await speaker.apply(told)).changes,
      );
      // Meanwhile it may be another's turn.
      if (this.#saved.daemon !== daemon) return;
      if (changes.length > 0) {
        log.info({ daemon, changes: changes.length }, 'the BGP speaker was told anew');
        this.#soon();
      }
      this.#failures = 0;
      this.#told = goal;
      this.#toldAt = clock.monotonic();
      const announced = (told?.announce ?? []).map(formatCidr);
      if (announced.join() !== this.#saved.announced.join()) this.#save({ ...this.#saved, announced });
      this.#complain(null);
    } catch (error) {
      if (this.#saved.daemon !== daemon) return;
      this.#failures++;
      this.#retryAt = clock.monotonic() + Math.min(againMs, soonMs * 2 ** Math.min(this.#failures, 8));
      this.#told = null;
      this.#complain(problemOf(error));
    }
  }

  #complain(problem: Problem | null): void {
    if (this.#problem?.message === problem?.message) return;
    if (problem !== null) this.#options.log.warn({ code: problem.code }, problem.message);
    this.#problem = problem;
    this.#options.onChange();
  }

  async #look(speaker: Speaker, intent: BgpIntent): Promise<void> {
    const before = this.#status;
    const status = await this.#calls
      .limited(() => speaker.status())
      .catch((error: unknown) => notUp('down', before?.version ?? null, problemOf(error).message));
    // Meanwhile there may be no speaker any more.
    if (this.#intent?.daemon !== intent.daemon) return;
    this.#status = status;
    const states = JSON.stringify([
      status.daemon,
      status.problem,
      status.sessions.map(({ peer, neighbour, state, lastError }) => [peer, neighbour, state, lastError]),
    ]);
    if (states !== this.#states) {
      this.#states = states;
      this.#soon();
      this.#options.onChange();
    }
    if (this.#lost(before, status)) this.#told = null;
    this.#follow(speaker, intent, status);
  }

  /** It came back, or does not announce what it was told to. */
  #lost(before: SpeakerStatus | null, { daemon, sessions, announced }: SpeakerStatus): boolean {
    if (daemon !== 'up' || this.#told === null) return false;
    if (before !== null && before.daemon !== 'up') return true;
    if (announced === null || !sessions.some(({ state }) => state === 'established')) return false;
    const texts = new Set(announced.map(formatCidr));
    const told = this.#saved.announced;
    const same = texts.size === told.length && told.every((text) => texts.has(text));
    // It may need a moment to do as it was told.
    return !same && this.#options.clock.monotonic() - this.#toldAt > soonForMs;
  }

  #follow({ capabilities }: Speaker, intent: BgpIntent, status: SpeakerStatus): void {
    const last = this.#saved.following;
    const alone = capabilities.fib && capabilities.keepsRoutes;
    if (alone && (isNobody(last) || !learns(status))) return;
    const following = alone ? nobody : followed(last, intent.peers, status);
    if (JSON.stringify(following) === JSON.stringify(this.#saved.following)) return;
    this.#save({ ...this.#saved, following });
    this.#options.log.info({ following }, 'routes follow the BGP sessions');
    this.#options.onFollow();
  }

  #soon(): void {
    this.#soonUntil = this.#options.clock.monotonic() + soonForMs;
  }

  #save(saved: SavedBgp): void {
    this.#saved = saved;
    this.#writing = this.#writing
      .then(() => this.#options.files.write(stateFile, JSON.stringify(saved)))
      .catch((error: unknown) =>
        this.#options.log.error({ error }, 'a restart will not know the last BGP sessions'),
      );
  }
}

const silence = 'silence';
