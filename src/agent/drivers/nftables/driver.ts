import { RomanaError } from '#core/errors.ts';
import type { Runner } from '../../exec.ts';
import type { ApplyResult, Change, Driver, ObjectStatus } from '../../ports.ts';
import { type Flow, markerChain, othersRule, type Ruleset, tableName } from '../../rules/ruleset.ts';
import { flowsCut, type Plan, planTable } from './plan.ts';
import { type KernelTable, parseTable, ruleComment } from './table.ts';

export interface RulesCounts {
  readonly rules: number;
  readonly elements: number;
}

export interface RulesDriver extends Driver<Ruleset> {
  /** `cut`: flows that this very change forbids. `mend`: cut flows that it allows again. */
  apply(desired: Ruleset, cut?: readonly Flow[], mend?: readonly Flow[]): Promise<ApplyResult>;
  /** Makes the next apply read the kernel instead of believing the last write. */
  invalidate(): void;
  /** Flows now in the cut sets. */
  cuts(): Promise<readonly Flow[]>;
  /** Per family, whether our table remembers that forwarding was off before Romana; null when there is no table of ours. */
  guardsOthers(): Promise<{ readonly 4: boolean; readonly 6: boolean } | null>;
  counts(): Promise<RulesCounts>;
  counters(): Promise<ReadonlyMap<string, { readonly packets: number; readonly bytes: number }>>;
}

/** Everything is serial: one nft transaction at a time. */
export class NftablesDriver implements RulesDriver {
  readonly #run: Runner;
  #believed: KernelTable | null | 'unknown' = 'unknown';
  #queue: Promise<unknown> = Promise.resolve();

  constructor(run: Runner) {
    this.#run = run;
  }

  invalidate(): void {
    this.#believed = 'unknown';
  }

  apply(desired: Ruleset, cut: readonly Flow[] = [], mend: readonly Flow[] = []): Promise<ApplyResult> {
    return this.#serial(async () => {
      const changes = await this.#applyOnce(desired, cut, mend).catch(async (error: unknown) => {
        // Another program may have changed the table since we read it: look again, once.
        if (this.#believed === null) throw error;
        this.#believed = 'unknown';
        return this.#applyOnce(desired, cut, mend);
      });
      return { changes, failures: new Map() };
    });
  }

  async #applyOnce(
    desired: Ruleset,
    cut: readonly Flow[],
    mend: readonly Flow[],
  ): Promise<readonly Change[]> {
    const actual = this.#believed === 'unknown' ? await this.#read() : this.#believed;
    const plan: Plan = planTable(desired, actual, cut, mend);
    if (plan.lines.length > 0) {
      this.#believed = 'unknown';
      await this.#run(['nft', '-f', '-'], { stdin: `${plan.lines.join('\n')}\n`, timeoutMs: 60_000 });
    }
    this.#believed = asKernel(desired);
    return plan.changes;
  }

  async inspect(desired: Ruleset): Promise<readonly ObjectStatus[]> {
    const actual = await this.#serial(() => this.#read());
    const plan = planTable(desired, actual);
    const wrong = new Map(plan.changes.map((change) => [`${change.kind} ${change.object}`, change.action]));
    const status = (
      kind: ObjectStatus['kind'],
      object: string,
      wanted: string | null,
      is: string | null,
    ): ObjectStatus => ({
      kind,
      object,
      desired: wanted,
      actual: is,
      ok: !wrong.has(`${kind} ${object}`),
    });
    const chains = [...desired.chains].map(([name, chain]) =>
      status('chain', name, `${chain.rules.length} rules`, rulesOf(actual, name)),
    );
    const sets = [...desired.sets].map(([name, set]) => {
      const elements = actual?.sets.get(name)?.elements;
      const same =
        elements !== undefined && (set.flags.includes('timeout') || sameElements(set.elements, elements));
      return {
        ...status(
          'set',
          name,
          `${set.elements.size} elements`,
          elements === undefined ? null : `${elements.size} elements`,
        ),
        ok: same,
      };
    });
    const strangers = [...(actual?.chains.keys() ?? [])]
      .filter((name) => !desired.chains.has(name))
      .map((name) => ({ ...status('chain', name, null, rulesOf(actual, name)), ok: false }));
    return [...chains, ...sets, ...strangers];
  }

  async cuts(): Promise<readonly Flow[]> {
    const actual = await this.#serial(() => this.#read());
    return actual === null ? [] : flowsCut(actual);
  }

  async guardsOthers(): Promise<{ 4: boolean; 6: boolean } | null> {
    const actual = await this.#serial(() => this.#read());
    if (actual === null) return null;
    const rules = actual.chains.get('forward')?.rules ?? [];
    const has = (id: string): boolean => rules.some((comment) => comment.startsWith(`${id} `));
    return { 4: has(othersRule[4]), 6: has(othersRule[6]) };
  }

  async counts(): Promise<RulesCounts> {
    const actual = await this.#serial(() => this.#read());
    const sum = (sizes: number[]): number => sizes.reduce((total, size) => total + size, 0);
    return {
      rules: sum([...(actual?.chains.values() ?? [])].map(({ rules }) => rules.length)),
      elements: sum([...(actual?.sets.values() ?? [])].map(({ elements }) => elements.size)),
    };
  }

  async counters(): Promise<KernelTable['counters']> {
    return (await this.#serial(() => this.#read()))?.counters ?? new Map();
  }

  async #read(): Promise<KernelTable | null> {
    const { code, stdout, stderr } = await this.#run(['nft', '-j', 'list', 'table', 'inet', tableName], {
      okCodes: 'any',
    });
    if (code !== 0) {
      if (stderr.includes('No such file or directory')) return null;
      throw new RomanaError(
        'kernel_refused',
        `nft cannot list the table inet ${tableName}: ${stderr.trim() || `exit code ${code}`}`,
      );
    }
    const table = parseTable(stdout);
    if (!table.chains.has(markerChain) && table.chains.size > 0) {
      throw new RomanaError(
        'kernel_refused',
        `A table inet ${tableName} exists that Romana did not make. Remove it or rename it, then try again.`,
      );
    }
    return table;
  }

  #serial<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(work);
    this.#queue = result.catch(() => undefined);
    return result;
  }
}

function rulesOf(actual: KernelTable | null, chain: string): string | null {
  const rules = actual?.chains.get(chain)?.rules;
  return rules === undefined ? null : `${rules.length} rules`;
}

function sameElements(wanted: ReadonlySet<string>, actual: ReadonlySet<string>): boolean {
  return wanted.size === actual.size && [...wanted].every((element) => actual.has(element));
}

/** What the kernel holds after the transaction. Cut sets are not tracked: their elements leave by themselves. */
export function asKernel(desired: Ruleset): KernelTable {
  return {
    counters: new Map(desired.counters.map((name) => [name, { packets: 0, bytes: 0 }])),
    sets: new Map(
      [...desired.sets].map(([name, set]) => [
        name,
        { type: set.type, flags: set.flags.toSorted(), elements: set.elements },
      ]),
    ),
    chains: new Map(
      [...desired.chains].map(([name, { base, rules }]) => [
        name,
        { base: base === null ? null : { ...base, policy: 'accept' }, rules: rules.map(ruleComment) },
      ]),
    ),
  };
}
