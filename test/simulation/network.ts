/**
 * The network between hosts and the control plane. What is lost is lost in either direction: a request that took effect may never
 * be answered. A stream keeps its order, stands still while its host is cut off, and may break at any time.
 */
import type { Position } from '#contract/model.ts';
import type { WatchEvent } from '#contract/watch.ts';
import { encodeWatchEvent, parsePosition } from '#contract/watch-text.ts';
import { RomanaError } from '#core/errors.ts';
import type { Cancel } from '#core/ports.ts';
import type { OpenStream, StreamSink } from '#net/watch.ts';
import type { Sink, WatchSource } from '#server/watch/types.ts';
import type { Seeded, Simulator } from './simulator.ts';

export interface Weather {
  /** Probabilities, per message. */
  lost: number;
  answerLost: number;
  repeated: number;
  slow: number;
}

const timeoutMs = 5_000;

export class SimNetwork {
  readonly weather: Weather = { lost: 0, answerLost: 0, repeated: 0, slow: 0 };
  readonly #sim: Simulator;
  readonly #random: Seeded;
  readonly #cutOff = new Set<string>();
  readonly #streams = new Set<SimStream>();

  constructor(sim: Simulator, random: Seeded) {
    this.#sim = sim;
    this.#random = random;
  }

  cutOff(host: string): boolean {
    return this.#cutOff.has(host);
  }

  partition(host: string): void {
    this.#cutOff.add(host);
  }

  /** Streams that waited either go on or break. */
  heal(host: string): void {
    if (!this.#cutOff.delete(host)) return;
    for (const stream of this.#of(host)) {
      if (this.#random.chance(0.5)) stream.fail();
      else stream.flow();
    }
  }

  breakStreams(host?: string): void {
    for (const stream of host === undefined ? [...this.#streams] : this.#of(host)) stream.fail();
  }

  /** Delivered before `timeoutMs` or never; with `mayRepeat` perhaps once more, much later. */
  request<T>(from: string, work: () => Promise<T>, mayRepeat: boolean): Promise<T> {
    const { lost, answerLost, repeated } = this.weather;
    const random = this.#random;
    return new Promise<T>((resolve, reject) => {
      const giveUp = this.#sim.after(timeoutMs, () => reject(new RomanaError('timeout', 'No answer came.')));
      if (mayRepeat && random.chance(repeated)) {
        this.#sim.after(random.between(10, 20_000), () => {
          if (!this.cutOff(from)) work().catch(() => undefined);
        });
      }
      if (random.chance(lost)) return;
      const answer = (say: () => void): void => {
        if (random.chance(answerLost)) return;
        this.#sim.after(this.delay(), () => {
          if (this.cutOff(from)) return;
          giveUp();
          say();
        });
      };
      this.#sim.after(this.delay(), () => {
        if (this.cutOff(from)) return;
        work().then(
          (value) => answer(() => resolve(value)),
          (error: unknown) => answer(() => reject(error instanceof Error ? error : new Error(String(error)))),
        );
      });
    });
  }

  openStream(from: string, hub: () => WatchSource | null): OpenStream {
    return (path, sink) => {
      const text = new URL(path, 'http://server').searchParams.get('since');
      const since = text === null ? null : parsePosition(text);
      const stream = new SimStream(this.#sim, this, from, sink, this.#random.chance(0.1) ? 20 : 5_000, () =>
        this.#streams.delete(stream),
      );
      this.#streams.add(stream);
      this.#sim.after(this.delay(), () => stream.connect(hub, since));
      return () => stream.cancel();
    };
  }

  delay(): number {
    return this.#random.chance(this.weather.slow)
      ? this.#random.between(100, 1_500)
      : this.#random.between(1, 15);
  }

  #of(host: string): SimStream[] {
    return [...this.#streams].filter(({ from }) => from === host);
  }
}

class SimStream implements Sink {
  readonly from: string;
  readonly #sim: Simulator;
  readonly #network: SimNetwork;
  readonly #sink: StreamSink;
  /** Events in flight before the sender must wait. */
  readonly #room: number;
  readonly #onOver: () => void;
  #queue: WatchEvent[] = [];
  #ending = false;
  #over = false;
  #flowing = false;
  #unsubscribe: Cancel = () => undefined;
  #drained: (() => void) | null = null;

  constructor(
    sim: Simulator,
    network: SimNetwork,
    from: string,
    sink: StreamSink,
    room: number,
    onOver: () => void,
  ) {
    this.#sim = sim;
    this.#network = network;
    this.from = from;
    this.#sink = sink;
    this.#room = room;
    this.#onOver = onOver;
  }

  connect(hub: () => WatchSource | null, since: Position | null): void {
    if (this.#over || this.#network.cutOff(this.from)) return;
    const source = hub();
    if (source === null) this.fail();
    else this.#unsubscribe = source.subscribe({ host: this.from }, since, this);
  }

  send(event: WatchEvent): boolean {
    this.#queue.push(event);
    this.flow();
    return this.#queue.length < this.#room;
  }

  drained(callback: () => void): void {
    this.#drained = callback;
  }

  close(): void {
    this.#ending = true;
    this.flow();
  }

  /** What is under way arrives after a while, unless the host is cut off. */
  flow(): void {
    if (this.#flowing || this.#over || (this.#queue.length === 0 && !this.#ending)) return;
    this.#flowing = true;
    this.#sim.after(this.#network.delay(), () => {
      this.#flowing = false;
      if (this.#over || this.#network.cutOff(this.from)) return;
      const text = this.#queue.map(encodeWatchEvent).join('');
      this.#queue = [];
      if (text !== '') this.#sink.chunk(text);
      if (this.#ending) this.#end(null);
      const drained = this.#drained;
      this.#drained = null;
      drained?.();
    });
  }

  fail(): void {
    this.#end(new RomanaError('unavailable', 'The connection broke.'));
  }

  /** The subscriber leaves; it is told nothing more. */
  cancel(): void {
    if (this.#over) return;
    this.#over = true;
    this.#unsubscribe();
    this.#onOver();
  }

  #end(error: RomanaError | null): void {
    if (this.#over) return;
    this.cancel();
    this.#sink.end(error);
  }
}
