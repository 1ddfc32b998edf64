import { type Address, formatAddress } from '#core/address/index.ts';
import type { Flow } from '../../rules/ruleset.ts';
import type { Conntrack } from './conntrack.ts';

/** A connection table in memory; tests put flows in. */
export class FakeConntrack implements Conntrack {
  table: Flow[] = [];

  flows(): Promise<readonly Flow[]> {
    return Promise.resolve([...this.table]);
  }

  remove(flows: readonly Flow[]): Promise<void> {
    const gone = new Set(flows.map((flow) => JSON.stringify(flow)));
    this.table = this.table.filter((flow) => !gone.has(JSON.stringify(flow)));
    return Promise.resolve();
  }

  removeAddresses(addresses: readonly Address[]): Promise<void> {
    const gone = new Set(addresses.map(formatAddress));
    this.table = this.table.filter(({ source, destination }) => !gone.has(source) && !gone.has(destination));
    return Promise.resolve();
  }
}
