/**
 * What each agent last said of itself. Heartbeats of thousands of hosts must not become revisions, so this lives in memory; a copy
 * of it goes into the store (private kind `_status`) when something but the time and position changed, and at most once a minute
 * otherwise. After a restart of the server the copy stands in until the agent's next report.
 */
import type { Host, HostReport, HostStatus, Position } from '#contract/model.ts';
import type { ReadTx, Tx } from '#store/port.ts';

interface Remembered {
  readonly uid: string;
  readonly applied: Position | null;
  readonly problems: HostReport['problems'];
  readonly version: string;
  readonly seenAt: string;
}

/** What counts for ownership. In memory only: until a host says it again, it has acknowledged nothing. */
export type Said = Pick<HostReport, 'acknowledged' | 'holds' | 'orphans'>;

const persistEveryMs = 60_000;

export class HostStatuses {
  readonly #known = new Map<string, Remembered>();
  readonly #said = new Map<string, Said & { readonly uid: string }>();
  /** Monotonic time of the last copy in the store. */
  readonly #persisted = new Map<string, number>();

  /** Answers a function that writes the copy, when one is due. */
  record(host: Host, report: HostReport, seenAt: string, monotonic: number): ((tx: Tx) => void) | undefined {
    const { applied, problems, version } = report;
    const { acknowledged, holds, orphans } = report;
    this.#said.set(host.name, { uid: host.uid, acknowledged, holds, orphans });
    const before = this.#known.get(host.name);
    const next: Remembered = { uid: host.uid, applied, problems, version, seenAt };
    this.#known.set(host.name, next);
    const last = this.#persisted.get(host.name);
    const same =
      before !== undefined &&
      before.uid === next.uid &&
      before.version === version &&
      JSON.stringify(before.problems) === JSON.stringify(problems);
    if (same && last !== undefined && monotonic - last < persistEveryMs) return undefined;
    return (tx) => {
      tx.put('_status', host.name, next);
      this.#persisted.set(host.name, monotonic);
    };
  }

  of(tx: ReadTx, host: Host, endpoints: number, now: Position): HostStatus {
    const found = this.#known.get(host.name) ?? (tx.get('_status', host.name) as Remembered | undefined);
    // A host created anew under the same name is another host.
    const last = found?.uid === host.uid ? found : undefined;
    const applied = last?.applied ?? null;
    return {
      name: host.name,
      joined: host.joined,
      applied,
      current:
        applied !== null && applied.incarnation === now.incarnation && applied.revision >= now.revision,
      seenAt: last?.seenAt ?? null,
      version: last?.version ?? null,
      problems: last?.problems ?? [],
      endpoints,
    };
  }

  /** Of this host, not of an earlier one of the same name. */
  said(host: Pick<Host, 'name' | 'uid'>): Said | undefined {
    const said = this.#said.get(host.name);
    return said?.uid === host.uid ? said : undefined;
  }

  forget(host: string): void {
    this.#said.delete(host);
    this.#known.delete(host);
    this.#persisted.delete(host);
  }
}
