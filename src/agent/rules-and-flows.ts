/**
 * Rules, and the flows that they no longer allow: one part of a pass over the kernel. Imports core, agent. See reconciler.ts, rule 3.
 */
import {
  type Address,
  containsAddress,
  formatAddress,
  parseAddress,
  parseCidr,
} from '#core/address/index.ts';
import type { PolicyModel } from '#core/policy/index.ts';
import { type CutInput, forbiddenFlows } from './cut.ts';
import type { Desired } from './desired.ts';
import type { Conntrack } from './drivers/conntrack/conntrack.ts';
import type { RulesDriver } from './drivers/nftables/driver.ts';
import type { ApplyResult, Change } from './ports.ts';
import { buildRuleset } from './rules/build.ts';
import type { Flow } from './rules/ruleset.ts';
import type { ViewState } from './view.ts';

export class RulesAndFlows {
  readonly #kernel: { readonly rules: RulesDriver; readonly conntrack: Conntrack };
  readonly #host: string;
  #model: string | null = null;
  /** Null until the first pass: flows may be left of endpoints that were removed while no agent ran. */
  #wired: ReadonlyMap<string, Address> | null = null;

  constructor(kernel: { readonly rules: RulesDriver; readonly conntrack: Conntrack }, host: string) {
    this.#kernel = kernel;
    this.#host = host;
  }

  async apply(desired: Desired, view: ViewState): Promise<ApplyResult> {
    const { rules, conntrack } = this.#kernel;
    const ruleset = buildRuleset(desired.rules);
    const model = modelText(desired.rules.model);
    const input = cutInput(desired, view, this.#host);
    const forbidden = (): Promise<Flow[]> => conntrack.flows().then((flows) => forbiddenFlows(input, flows));
    const changes: Change[] = [];
    if (model === this.#model) {
      const result = await rules.apply(ruleset);
      if (!result.changes.some(tightens)) return result;
      // Somebody had opened the table: what was established meanwhile must not go on.
      changes.push(...result.changes);
      this.#model = null;
    }
    const cut = await forbidden();
    const mend = (await rules.cuts()).filter(
      (flow) => forbiddenFlows(input, [flow, reverse(flow)]).length === 0,
    );
    changes.push(...(await rules.apply(ruleset, cut, mend)).changes);
    await conntrack.remove(cut);
    // Flows that were established between the listing and the transaction.
    const late = await forbidden();
    if (late.length > 0) changes.push(...(await rules.apply(ruleset, late)).changes);
    await conntrack.remove(late);
    this.#model = model;
    return { changes, failures: new Map() };
  }

  /** The next owner of an address must not inherit established flows. */
  async forgetRemoved(desired: Desired, view: ViewState): Promise<ApplyResult> {
    const now = new Map(
      desired.rules.endpoints.flatMap(({ addresses }) =>
        addresses.map((address) => [formatAddress(address), address]),
      ),
    );
    const before = this.#wired ?? (await this.#tracked(view));
    const gone = [...before].filter(([text]) => !now.has(text)).map(([, address]) => address);
    if (gone.length > 0) await this.#kernel.conntrack.removeAddresses(gone);
    this.#wired = now;
    return { changes: [], failures: new Map() };
  }

  /** Addresses of this host that have flows. */
  async #tracked(view: ViewState): Promise<ReadonlyMap<string, Address>> {
    const own = (view.objects.host.get(this.#host)?.ids ?? []).map(({ cidr }) => parseCidr(cidr));
    const flows = await this.#kernel.conntrack.flows();
    const texts = new Set(flows.flatMap(({ source, destination }) => [source, destination]));
    return new Map(
      [...texts]
        .map((text) => [text, parseAddress(text)] as const)
        .filter(([, address]) => own.some((cidr) => containsAddress(cidr, address))),
    );
  }
}

/** A change that puts right what we did not make wrong. */
function tightens({ kind, action, object }: Change): boolean {
  if (kind === 'element')
    return object.startsWith('networks') || (action === 'remove' && !/^(endpoints|sources)/.test(object));
  return kind === 'table' || kind === 'chain';
}

function modelText(model: PolicyModel): string {
  return JSON.stringify(model);
}

function reverse(flow: Flow): Flow {
  return {
    protocol: flow.protocol,
    source: flow.destination,
    destination: flow.source,
    sourcePort: flow.destinationPort,
    destinationPort: flow.sourcePort,
  };
}

function cutInput(desired: Desired, view: ViewState, host: string): CutInput {
  return {
    model: desired.rules.model,
    endpoints: new Set(desired.rules.endpoints.flatMap(({ addresses }) => addresses.map(formatAddress))),
    own: new Set(view.objects.host.get(host)?.addresses ?? []),
    gateways: new Set([desired.links.gateway4, desired.links.gateway6].map(formatAddress)),
  };
}
