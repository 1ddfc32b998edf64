/**
 * Keeps the view on the disk of the host. Changes come in bursts, so it is written when they settle; a position alone is worth less,
 * because an older one costs some repeated events after a restart.
 *
 * 1. `position`: nothing that a restart finds is older than this.
 */
import type * as m from '#contract/model.ts';
import { isRomanaError } from '#core/errors.ts';
import type { Cancel, Clock, Log, Timers } from '#core/ports.ts';
import type { View } from './view.ts';

const viewFile = 'view.json';
const saveAfterMs = 500;
const savePositionAfterMs = 30_000;

/** Small files under the agent's state directory, replaced whole and durably. */
export interface StateFiles {
  read(name: string): Promise<string | null>;
  write(name: string, text: string): Promise<void>;
}

export interface SavedViewOptions {
  readonly view: View;
  readonly files: StateFiles;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly log: Log;
  readonly onSaved: () => void;
}

export class SavedView {
  readonly #options: SavedViewOptions;
  /** Counts changes of objects. */
  #changes = 0;
  /** How many of them the file has. */
  #savedChanges = -1;
  #position: m.Position | null = null;
  #cancel: Cancel | null = null;
  #due = Number.POSITIVE_INFINITY;
  #writing: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(options: SavedViewOptions) {
    this.#options = options;
  }

  get position(): m.Position | null {
    return this.#position;
  }

  async load(): Promise<void> {
    const { files, view, log } = this.#options;
    const text = await files.read(viewFile);
    if (text === null) return;
    if (!view.load(text)) {
      log.warn({}, 'the saved view is damaged; waiting for the control plane');
      return;
    }
    this.#position = view.state?.position ?? null;
    this.#savedChanges = this.#changes;
  }

  /** The objects of the view have changed. */
  changed(): void {
    this.#changes++;
    this.#saveIn(saveAfterMs);
  }

  /** The view has come further without a change that concerns this host. */
  positioned(position: m.Position): void {
    if (this.#savedChanges === this.#changes) this.#position = position;
    this.#saveIn(savePositionAfterMs);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    if (this.#cancel !== null) {
      this.#cancel();
      this.#save();
    }
    await this.#writing;
  }

  #saveIn(delayMs: number): void {
    const due = this.#options.clock.monotonic() + delayMs;
    if (this.#stopped || due >= this.#due) return;
    this.#cancel?.();
    this.#due = due;
    this.#cancel = this.#options.timers.after(delayMs, () => this.#save());
  }

  #save(): void {
    this.#cancel = null;
    this.#due = Number.POSITIVE_INFINITY;
    const { view, files } = this.#options;
    const text = view.toText();
    const position = view.state?.position;
    if (text === null || position === undefined) return;
    const changes = this.#changes;
    this.#writing = this.#writing
      .then(() => files.write(viewFile, text))
      .then(
        () => {
          this.#savedChanges = changes;
          this.#position = changes === this.#changes ? (view.state?.position ?? position) : position;
          this.#options.onSaved();
        },
        (error: unknown) => {
          const reason = isRomanaError(error) ? error.message : String(error);
          this.#options.log.error(
            { error: reason },
            'the view could not be saved; the last saved one stays for now',
          );
          this.#saveIn(savePositionAfterMs);
        },
      );
  }
}
