/** Which journal speaks for a host: no report names one yet. */
import type { Host, HostReport } from '#contract/model.ts';
import type { ReadTx, Tx } from '#store/port.ts';

/** Answers what is to be recorded, if anything. */
export function heardGeneration(
  _tx: ReadTx,
  _host: Host,
  _report: HostReport,
): ((tx: Tx) => void) | undefined {
  return undefined;
}
