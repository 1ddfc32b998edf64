/**
 * What agents last said of the fabric around them: the sessions of their BGP speaker, and which hosts of their link do not answer. Lives
 * in memory: reports of thousands of hosts must not become writes.
 *
 * 1. The speaker's part is copied into the store (private kind `_bgp`) when a session or the daemon changed its state, not when a
 *    counter moved; after a restart of the server the copy stands in until the agent's next report.
 * 2. Of a host that was created anew under the same name nothing of the earlier one is told.
 * 3. When a host was heard is never read from the store: a server that was away knows nothing of what happened meanwhile.
 */
import type { BgpReport, Host, HostReport } from '#contract/model.ts';
import type { ReadTx, Tx } from '#store/port.ts';

export const bgpKind = '_bgp';

export interface SpokenBgp {
  readonly uid: string;
  readonly seenAt: string;
  readonly report: BgpReport;
}
/** `at`: monotonic. */
export interface Heard {
  readonly at: number;
  readonly unreachable: readonly string[];
}
type Named = Pick<Host, 'name' | 'uid'>;

export class FabricReports {
  readonly #bgp = new Map<string, SpokenBgp>();
  readonly #heard = new Map<string, Heard & { readonly uid: string }>();
  /** What the copy in the store says of the states. */
  readonly #copied = new Map<string, string>();

  /** Answers a function that writes the copy, when one is due, and whether what a session announces may have changed. */
  record(
    host: Host,
    { bgp, unreachable = [] }: HostReport,
    seenAt: string,
    monotonic: number,
  ): { readonly persist: ((tx: Tx) => void) | undefined; readonly changed: boolean } {
    const { name, uid } = host;
    this.#heard.set(name, { uid, at: monotonic, unreachable });
    const before = this.#bgp.get(name);
    const known = before?.uid === uid ? before.report : undefined;
    if (bgp === undefined) {
      this.#bgp.delete(name);
      const none = this.#copied.get(name) === '';
      return {
        changed: known !== undefined,
        persist: none
          ? undefined
          : (tx) => {
              if (tx.row(bgpKind, name) !== undefined) tx.delete(bgpKind, name);
              this.#copied.set(name, '');
            },
      };
    }
    const next: SpokenBgp = { uid, seenAt, report: bgp };
    this.#bgp.set(name, next);
    const states = `${uid} ${statesOf(bgp)}`;
    return {
      changed: known === undefined || statesOf(known) !== statesOf(bgp),
      persist:
        this.#copied.get(name) === states
          ? undefined
          : (tx) => {
              tx.put(bgpKind, name, next);
              this.#copied.set(name, states);
            },
    };
  }

  bgp(tx: ReadTx, { name, uid }: Named): SpokenBgp | undefined {
    const found = this.#heard.has(name)
      ? this.#bgp.get(name)
      : (tx.get(bgpKind, name) as SpokenBgp | undefined);
    return found?.uid === uid ? found : undefined;
  }

  /** Since this server started. */
  heard({ name, uid }: Named): Heard | undefined {
    const found = this.#heard.get(name);
    return found?.uid === uid ? found : undefined;
  }

  forget(host: string): void {
    this.#bgp.delete(host);
    this.#heard.delete(host);
    this.#copied.delete(host);
  }
}

/** Everything but times and counters. */
function statesOf({ daemon, up, version, problem, announced, sessions }: BgpReport): string {
  const states = sessions.map(({ peer, neighbour, asn, state, lastError }) => [
    peer,
    neighbour,
    asn,
    state,
    lastError,
  ]);
  return JSON.stringify([daemon, up, version, problem, announced, states]);
}
