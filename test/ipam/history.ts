/**
 * A recorded history of allocations and releases by many clients at once, and what must hold of it whatever crashed in between.
 *
 * Each operation has two moments: when it was invoked and when its answer came (never, if it was lost). In between nothing is known; so
 * somebody *surely* owns an address from the answer to the allocation until a release of that name is invoked.
 */

export interface Operation {
  readonly kind: 'allocate' | 'release';
  readonly key: string;
  /** Count of moments, the same for all clients. */
  readonly invoked: number;
  /** Infinity: no answer came; it may or may not have happened, then or later. */
  answered: number;
  /** Time of day, for the quarantine. */
  readonly invokedAt: number;
  answeredAt: number;
  /** Of an allocation that was answered. */
  uid: string | undefined;
  addresses: readonly string[];
  /** Refused: certainly nothing happened. */
  refused: boolean;
}

export class History {
  readonly operations: Operation[] = [];
  #moment = 0;
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  invoke(kind: Operation['kind'], key: string): Operation {
    const operation: Operation = {
      kind,
      key,
      invoked: ++this.#moment,
      answered: Number.POSITIVE_INFINITY,
      invokedAt: this.#now(),
      answeredAt: Number.POSITIVE_INFINITY,
      uid: undefined,
      addresses: [],
      refused: false,
    };
    this.operations.push(operation);
    return operation;
  }

  answer(
    operation: Operation,
    result: { uid: string; addresses: readonly string[] } | 'done' | 'refused',
  ): void {
    operation.answered = ++this.#moment;
    operation.answeredAt = this.#now();
    if (result === 'refused') operation.refused = true;
    else if (result !== 'done') {
      operation.uid = result.uid;
      operation.addresses = result.addresses;
    }
  }
}

interface Tenure {
  readonly key: string;
  readonly uid: string;
  readonly address: string;
  readonly from: number;
  readonly to: number;
}

/** Violations in words; none when the history is right. */
export function violations(operations: readonly Operation[], quarantineMs: number): string[] {
  const found: string[] = [];
  const byKey = Map.groupBy(
    operations.filter(({ refused }) => !refused),
    ({ key }) => key,
  );
  const tenures: Tenure[] = [];
  for (const [key, own] of byKey) {
    const releases = own.filter(({ kind }) => kind === 'release');
    for (const { kind, uid, addresses, answered, invoked } of own) {
      if (kind !== 'allocate' || uid === undefined) continue;
      // A release that may have come after the allocation ends the certainty; one that was over before it began does not.
      const to = releases
        .filter((release) => release.answered > invoked)
        .reduce((first, release) => Math.min(first, release.invoked), Number.POSITIVE_INFINITY);
      if (to <= answered) continue;
      for (const address of addresses) tenures.push({ key, uid, address, from: answered, to });
    }
  }
  for (const [address, all] of Map.groupBy(tenures, (tenure) => tenure.address)) {
    const sorted = all.sort((a, b) => a.from - b.from);
    let last: Tenure | undefined;
    for (const tenure of sorted) {
      if (
        last !== undefined &&
        tenure.from < last.to &&
        (last.key !== tenure.key || last.uid !== tenure.uid)
      ) {
        found.push(`${address} belongs to ${last.key} (${last.uid}) and to ${tenure.key} (${tenure.uid})`);
      }
      if (last === undefined || tenure.to > last.to) last = tenure;
    }
  }
  return [...found, ...tooSoon(operations, quarantineMs)];
}

/** An address that another name got before it had rested since the release of the last one. */
function tooSoon(operations: readonly Operation[], quarantineMs: number): string[] {
  const found: string[] = [];
  const releases = Map.groupBy(
    operations.filter(({ kind, refused }) => kind === 'release' && !refused),
    ({ key }) => key,
  );
  const given = operations.filter(({ kind, uid }) => kind === 'allocate' && uid !== undefined);
  const lastOwner = new Map<string, Operation>();
  for (const operation of [...given].sort((a, b) => a.answered - b.answered)) {
    for (const address of operation.addresses) {
      const before = lastOwner.get(address);
      lastOwner.set(address, operation);
      if (before === undefined || before.key === operation.key) continue;
      // It was released at the earliest when the first release after its allocation was invoked.
      const freed = (releases.get(before.key) ?? [])
        .filter(({ answered }) => answered > before.invoked)
        .reduce((first, { invokedAt }) => Math.min(first, invokedAt), Number.POSITIVE_INFINITY);
      if (operation.answeredAt - freed < quarantineMs) {
        found.push(`${address} went from ${before.key} to ${operation.key} without a rest`);
      }
    }
  }
  return found;
}

/** Names that surely hold what they were answered: allocated, and no release of the name could have come after. */
export function surelyHeld(operations: readonly Operation[]): Map<string, Operation> {
  const held = new Map<string, Operation>();
  const byKey = Map.groupBy(
    operations.filter(({ refused }) => !refused),
    ({ key }) => key,
  );
  for (const [key, own] of byKey) {
    const last = own.filter(({ uid }) => uid !== undefined).sort((a, b) => b.answered - a.answered)[0];
    if (last === undefined) continue;
    const doubtful = own.some(({ kind, answered }) => kind === 'release' && answered > last.invoked);
    if (!doubtful) held.set(key, last);
  }
  return held;
}
