/**
 * Whether the journal of this host may speak for it. See the generations of the server. Imports contract, core, agent.
 *
 * 1. A new journal takes over what the control plane has recorded, and makes its generation known, before anybody is answered; a crash
 *    in between begins that anew.
 * 2. An old copy of a journal is rebuilt in the same way.
 * 3. A journal that another one has followed answers nobody, and its endpoints are withdrawn before anything else is done; also after a
 *    restart without the control plane.
 */
import type * as m from '#contract/model.ts';
import { parseAddress } from '#core/address/index.ts';
import { isRomanaError, RomanaError } from '#core/errors.ts';
import type { LocalAllocator } from './allocator.ts';
import { adoptedQuestion } from './question.ts';
import type { Recorded } from './rebuild.ts';
import type { StateFiles } from './saved-view.ts';
import type { ViewState } from './view.ts';

const file = 'generation.json';
const followed =
  'Another agent has taken over this host: its endpoints here are withdrawn. Empty the state directory and join anew, under another name if the other agent stays.';

interface Saved {
  /** Took over what was recorded. */
  readonly adopted: string;
  readonly superseded: boolean;
}

export class Generation {
  readonly #files: StateFiles;
  readonly #allocator: LocalAllocator;
  #superseded = false;
  /** What the control plane believed when it did not know this one. */
  #follows: string | null | undefined;
  /** The control plane has heard how far the journal had come when it was opened. */
  #told = false;
  /** What is recorded has to be taken over first. */
  mustAdopt: boolean;

  private constructor(files: StateFiles, allocator: LocalAllocator, saved: Partial<Saved>) {
    this.#files = files;
    this.#allocator = allocator;
    const known = saved.adopted === allocator.generation;
    this.#superseded = known && saved.superseded === true;
    // Without the file it is a journal of an earlier version, or one whose beginning a crash cut off.
    this.mustAdopt = allocator.recovered === 'fresh' || (!known && allocator.seq === 0);
  }

  static async load(files: StateFiles, allocator: LocalAllocator): Promise<Generation> {
    return new Generation(files, allocator, parse(await files.read(file)));
  }

  get superseded(): boolean {
    return this.#superseded;
  }

  /** What reports say. */
  get said(): NonNullable<m.HostReport['generation']> {
    const { generation, seq, opened } = this.#allocator;
    const follows = this.#follows === undefined ? {} : { follows: this.#follows };
    return { id: generation, seq: this.#told ? seq : opened, ...follows };
  }

  /** A report with `said` was accepted. */
  accepted(said: m.HostReport['generation']): void {
    if (said?.id !== this.#allocator.generation) return;
    this.#told = true;
    this.#follows = undefined;
  }

  /** Whether the error is a refusal of this generation that was not known yet. */
  refused(error: unknown): boolean {
    if (!isRomanaError(error) || error.code !== 'generation_stale' || this.#superseded) return false;
    const { reason, current } = error.details ?? {};
    if (reason === 'unknown') {
      // Said with the next report; its answer may have been lost, or the control plane was restored from a copy.
      this.#follows = typeof current === 'string' ? current : null;
      return false;
    }
    if (reason === 'behind') {
      if (this.mustAdopt) return false;
      this.mustAdopt = true;
    } else this.#superseded = true;
    return true;
  }

  save(): Promise<void> {
    const saved: Saved = { adopted: this.#allocator.generation, superseded: this.#superseded };
    return this.#files.write(file, JSON.stringify(saved));
  }

  /** For people. */
  get problems(): readonly m.Problem[] {
    return this.#superseded ? [{ code: 'generation_stale', message: followed }] : [];
  }

  demandCurrent(): void {
    if (this.#superseded) throw new RomanaError('generation_stale', followed);
  }

  /** Takes over what the server has recorded as ours, and makes the new generation known. */
  async adopt(
    { objects }: ViewState,
    host: string,
    tell: (said: NonNullable<m.HostReport['generation']>) => Promise<unknown>,
  ): Promise<number> {
    const recorded = [...objects.endpoint].flatMap(([key, endpoint]): Recorded[] => {
      const { allocator, host: at, phase, attachment, sourcePrefixes, createdAt } = endpoint;
      if (allocator !== 'agent' || at !== host || phase === 'removing') return [];
      return [
        {
          key,
          uid: endpoint.uid,
          question: adoptedQuestion({ attachment, sourcePrefixes }),
          addresses: endpoint.addresses.map(({ network, address }) => ({
            network,
            address: parseAddress(address),
          })),
          payload: { attachment, sourcePrefixes, createdAt },
        },
      ];
    });
    await this.#allocator.rebuild(recorded);
    const { said } = this;
    await tell(said);
    this.accepted(said);
    await this.save();
    this.mustAdopt = false;
    return recorded.length;
  }
}

/** A damaged file tells nothing: what is recorded is taken over again. */
function parse(text: string | null): Partial<Saved> {
  try {
    const saved: unknown = JSON.parse(text ?? '{}');
    return typeof saved === 'object' && saved !== null ? saved : {};
  } catch {
    return {};
  }
}

/** Says nothing of endpoints. */
export function bareReport(
  version: string,
  generation: NonNullable<m.HostReport['generation']>,
): m.HostReport {
  return {
    applied: null,
    acknowledged: null,
    holds: 0,
    orphans: [],
    problems: [],
    version,
    registered: [],
    phases: [],
    gone: [],
    generation,
  };
}

/** As the view of a fenced host: nothing is routed, and its sources are nobody's. */
export function withdrawn(view: ViewState, host: string): ViewState {
  const self = view.objects.host.get(host);
  if (self === undefined) return view;
  const hosts = new Map(view.objects.host).set(host, { ...self, state: 'fenced' });
  return { ...view, objects: { ...view.objects, host: hosts } };
}
