/**
 * Which journal speaks for a host. A journal that was lost or rebuilt has a new generation; what an older one says of the host is no
 * longer true, and it may not be heard again.
 *
 * 1. A generation that another one has followed is refused for good (`superseded`).
 * 2. One that is not known takes over only from the one that it names. A report of an agent that died, delivered after its successor
 *    made itself known, would otherwise withdraw the successor.
 * 3. Of one generation, a report that knows of fewer allocations than an earlier one comes from a restored copy (`behind`).
 */
import type { Host, HostReport } from '#contract/model.ts';
import { RomanaError } from '#core/errors.ts';
import type { ReadTx, Tx } from '#store/port.ts';

export const generationKind = '_generation';
/** Older ones are forgotten: by then the certificate that came with them is not believed either. */
const pastLimit = 256;

interface Generations {
  readonly uid: string;
  readonly current: string;
  readonly seq: number;
  readonly past: readonly string[];
}

/** Answers what is to be recorded, if anything. Throws generation_stale. */
export function heardGeneration(
  tx: ReadTx,
  host: Host,
  { generation: said }: Pick<HostReport, 'generation'>,
): ((tx: Tx) => void) | undefined {
  if (said === undefined) return undefined;
  const before = generationsOf(tx, host);
  if (before?.past.includes(said.id) === true) {
    throw stale(
      'superseded',
      `The journal of host ${host.name} was followed by another; remove it from this machine and restart the agent, which then takes over what is recorded.`,
      said,
    );
  }
  const same = before?.current === said.id;
  if (same && said.seq < before.seq) {
    throw stale(
      'behind',
      `The journal of host ${host.name} ends at allocation ${said.seq}, but it had come to ${before.seq}: it is an old copy and must be rebuilt.`,
      said,
    );
  }
  if (same && said.seq === before.seq) return undefined;
  const current = before?.current ?? null;
  if (!same && (said.follows ?? null) !== current) {
    throw stale(
      'unknown',
      `The journal of host ${host.name} is a new one, which does not know the one before it; the agent says again which it follows.`,
      { ...said, current },
    );
  }
  const past = before === undefined || same ? (before?.past ?? []) : [...before.past, before.current];
  const next: Generations = {
    uid: host.uid,
    current: said.id,
    seq: said.seq,
    past: past.slice(-pastLimit),
  };
  return (tx) => tx.put(generationKind, host.name, next);
}

/** Of this host, not of an earlier one of the same name. */
function generationsOf(tx: ReadTx, host: Host): Generations | undefined {
  const found = tx.get(generationKind, host.name) as Generations | undefined;
  return found?.uid === host.uid ? found : undefined;
}

function stale(reason: 'superseded' | 'behind' | 'unknown', why: string, details: object): RomanaError {
  return new RomanaError('generation_stale', why, { details: { reason, ...details } });
}
