/** The table as the kernel has it, read from `nft -j list table inet romana`. */
import { hash } from 'node:crypto';
import { formatAddress, tryParseAddress } from '#core/address/index.ts';
import { RomanaError } from '#core/errors.ts';
import type { BaseHook, RuleSpec } from '../../rules/ruleset.ts';

export interface KernelSet {
  readonly type: string;
  readonly flags: readonly string[];
  readonly elements: ReadonlySet<string>;
}

export interface KernelChain {
  readonly base: (BaseHook & { readonly policy: string }) | null;
  /** Comments in order; a rule without one is foreign. */
  readonly rules: readonly string[];
}

export interface KernelTable {
  readonly counters: ReadonlyMap<string, { readonly packets: number; readonly bytes: number }>;
  readonly sets: ReadonlyMap<string, KernelSet>;
  readonly chains: ReadonlyMap<string, KernelChain>;
}

/** What stands in the kernel beside a rule: enough to know it again after a restart without memory. */
export function ruleComment(rule: RuleSpec): string {
  return `${rule.id.slice(0, 100)} ${hash('sha256', rule.text).slice(0, 12)}`;
}

type Json = Record<string, unknown>;

export function parseTable(text: string): KernelTable {
  const counters = new Map<string, { packets: number; bytes: number }>();
  const sets = new Map<string, KernelSet>();
  const chains = new Map<string, { base: KernelChain['base']; rules: string[] }>();
  for (const entry of entriesOf(text)) {
    const { counter, set, map, chain, rule } = entry as Record<string, Json | undefined>;
    if (counter !== undefined) {
      counters.set(String(counter['name']), {
        packets: Number(counter['packets']),
        bytes: Number(counter['bytes']),
      });
    } else if (set !== undefined || map !== undefined) {
      const object = (set ?? map)!;
      sets.set(String(object['name']), {
        type: listOf(object['type']).join(' . ') + (map === undefined ? '' : ` : ${String(object['map'])}`),
        flags: listOf(object['flags']).map(String).sort(),
        elements: new Set(listOf(object['elem']).map(elementText)),
      });
    } else if (chain !== undefined) {
      const base =
        chain['hook'] === undefined
          ? null
          : {
              hook: chain['hook'] as BaseHook['hook'],
              priority: Number(chain['prio']),
              policy: String(chain['policy']),
            };
      chains.set(String(chain['name']), { base, rules: [] });
    } else if (rule !== undefined) {
      chains
        .get(String(rule['chain']))
        ?.rules.push(typeof rule['comment'] === 'string' ? rule['comment'] : '');
    }
  }
  return { counters, sets, chains };
}

function entriesOf(text: string): Json[] {
  try {
    const document = JSON.parse(text) as { nftables?: unknown };
    if (Array.isArray(document.nftables)) return document.nftables as Json[];
  } catch (cause) {
    throw new RomanaError(
      'kernel_refused',
      'nft answered something that is not JSON; is nftables 1.0 or newer installed?',
      { cause },
    );
  }
  throw new RomanaError(
    'kernel_refused',
    'nft answered JSON without a ruleset; is nftables 1.0 or newer installed?',
  );
}

function listOf(value: unknown): unknown[] {
  return value === undefined ? [] : Array.isArray(value) ? value : [value];
}

/** Canonical text of one element in any of the forms that nft prints. */
function elementText(value: unknown): string {
  if (typeof value === 'number') return String(value);
  if (typeof value === 'string') {
    const address = tryParseAddress(value);
    return address === undefined ? value : formatAddress(address);
  }
  if (Array.isArray(value)) return value.map(elementText).join(' : ');
  const object = value as {
    elem?: Json;
    concat?: unknown[];
    prefix?: { addr: string; len: number };
    range?: unknown[];
  };
  if (object.elem !== undefined) return elementText(object.elem['val']);
  if (object.concat !== undefined) return object.concat.map(elementText).join(' . ');
  if (object.prefix !== undefined) return `${elementText(object.prefix.addr)}/${object.prefix.len}`;
  if (object.range !== undefined) return object.range.map(elementText).join('-');
  return JSON.stringify(value);
}
