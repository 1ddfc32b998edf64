/**
 * The nftables table `inet romana` as data, before it is anybody's text: what `build.ts` makes of the policy model and what the
 * driver compares with the kernel.
 */

export interface RuleSpec {
  /** Stable name inside its chain; shown in the kernel as the rule's comment together with a digest of `text`. */
  readonly id: string;
  readonly text: string;
}

export interface SetSpec {
  /** nft type, e.g. `ifname . ipv4_addr`; of a map with what it leads to, e.g. `ipv4_addr : classid`. */
  readonly type: string;
  readonly flags: readonly ('interval' | 'timeout')[];
  /** Canonical element texts, e.g. `rom0a1b . 10.1.1.27`, `10.0.0.0/8` or, in a map, `10.1.0.5 : 1:2`. Sets with time-outs are filled by cuts only. */
  readonly elements: ReadonlySet<string>;
}

export interface BaseHook {
  readonly hook: 'prerouting' | 'input' | 'forward';
  readonly priority: number;
}

export interface ChainSpec {
  readonly base: BaseHook | null;
  readonly rules: readonly RuleSpec[];
}

export interface Ruleset {
  readonly counters: readonly string[];
  readonly sets: ReadonlyMap<string, SetSpec>;
  readonly chains: ReadonlyMap<string, ChainSpec>;
}

/** A flow in its original direction. Ports are null where the protocol has none. */
export interface Flow {
  readonly protocol: string;
  readonly source: string;
  readonly destination: string;
  readonly sourcePort: number | null;
  readonly destinationPort: number | null;
}

export const tableName = 'romana';
/** An empty chain whose presence says that the table is ours and which shape it has. */
export const markerChain = 'romana_v1';
/** Established flows that a change forbade; addresses and ports of one direction. */
export const cutSets = { 4: 'cut4', 6: 'cut6' } as const;
/** Ids of the rules that remember that forwarding was off before Romana turned it on. */
export const othersRule = { 4: 'others4', 6: 'others6' } as const;
