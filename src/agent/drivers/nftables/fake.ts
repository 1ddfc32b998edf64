import type { ApplyResult, ObjectStatus } from '../../ports.ts';
import { type Flow, othersRule, type Ruleset } from '../../rules/ruleset.ts';
import { asKernel, type RulesCounts, type RulesDriver } from './driver.ts';
import { planTable } from './plan.ts';
import type { KernelTable } from './table.ts';

/** A kernel of one table in memory. `table` may be set by tests: null is "somebody flushed everything". */
export class FakeRules implements RulesDriver {
  table: KernelTable | null = null;
  cutFlows: Flow[] = [];
  /** When set, the next apply fails with it and changes nothing. */
  failNext: Error | null = null;

  apply(desired: Ruleset, cut: readonly Flow[] = [], mend: readonly Flow[] = []): Promise<ApplyResult> {
    const error = this.failNext;
    this.failNext = null;
    if (error !== null) return Promise.reject(error);
    const { changes } = planTable(desired, this.table, cut, mend);
    this.table = asKernel(desired);
    this.cutFlows = [...this.cutFlows.filter((flow) => !mend.includes(flow)), ...cut];
    return Promise.resolve({ changes, failures: new Map() });
  }

  inspect(desired: Ruleset): Promise<readonly ObjectStatus[]> {
    const { changes } = planTable(desired, this.table);
    return Promise.resolve(
      changes.map(({ action, kind, object }) => ({
        kind,
        object,
        desired: action === 'remove' ? null : 'present',
        actual: action === 'create' ? null : 'different',
        ok: false,
      })),
    );
  }

  invalidate(): void {}

  cuts(): Promise<readonly Flow[]> {
    return Promise.resolve(this.cutFlows);
  }

  guardsOthers(): Promise<{ 4: boolean; 6: boolean } | null> {
    const rules = this.table?.chains.get('forward')?.rules ?? [];
    const has = (id: string): boolean => rules.some((comment) => comment.startsWith(`${id} `));
    return Promise.resolve(this.table === null ? null : { 4: has(othersRule[4]), 6: has(othersRule[6]) });
  }

  counts(): Promise<RulesCounts> {
    const chains = [...(this.table?.chains.values() ?? [])];
    const sets = [...(this.table?.sets.values() ?? [])];
    return Promise.resolve({
      rules: chains.reduce((total, { rules }) => total + rules.length, 0),
      elements: sets.reduce((total, { elements }) => total + elements.size, 0),
    });
  }

  counters(): Promise<KernelTable['counters']> {
    return Promise.resolve(this.table?.counters ?? new Map());
  }
}
