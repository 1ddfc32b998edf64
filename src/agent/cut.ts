/**
 * Which established flows a change forbids. The kernel lets established flows pass before it asks who may talk, so a permission that
 * goes away must take its flows along. Pure; asks the reference evaluator. Imports core, agent/rules.
 */
import { type Address, containsAddress, parseAddress } from '#core/address/index.ts';
import { judgeEgress, judgeIngress, judgeToHost, type PolicyModel } from '#core/policy/index.ts';
import type { Flow } from './rules/ruleset.ts';

export interface CutInput {
  readonly model: PolicyModel;
  /** Addresses of the endpoints on this host. */
  readonly endpoints: ReadonlySet<string>;
  /** The host's own addresses: it always reaches its endpoints. */
  readonly own: ReadonlySet<string>;
  /** Addresses that every endpoint may reach on the host (its gateways). */
  readonly gateways: ReadonlySet<string>;
}

/** Flows in their original direction; only passes that this host enforces are asked. */
export function forbiddenFlows(input: CutInput, flows: readonly Flow[]): Flow[] {
  return flows.filter((flow) => !allowed(input, flow));
}

function allowed(input: CutInput, flow: Flow): boolean {
  const source = parseAddress(flow.source);
  const destination = parseAddress(flow.destination);
  if (input.own.has(flow.source)) return true;
  if (input.gateways.has(flow.destination)) return true;
  if (input.own.has(flow.destination)) {
    return !inRomana(input.model, source) || judgeToHost(input.model, source).allow;
  }
  if (input.endpoints.has(flow.source) && !judgeEgress(input.model, source, destination).allow) return false;
  if (input.endpoints.has(flow.destination) && !judgeIngress(input.model, source, destination).allow)
    return false;
  return true;
}

function inRomana(model: PolicyModel, address: Address): boolean {
  return model.networks.some(({ plan }) => containsAddress(plan.cidr, address));
}
