/**
 * The reference evaluator: what isolation means, written to be read, not to be fast. The compiler must agree with it on every
 * packet, and the kernel with the compiler; the agent asks it which established flows a change forbids.
 */
import type { Address } from '../address/index.ts';
import { type Identity, identify, type PolicyModel } from './model.ts';

export interface Judgement {
  readonly allow: boolean;
  /** One clause for an operator, e.g. "tenant acme isolates its segments". */
  readonly because: string;
}

function allow(because: string): Judgement {
  return { allow: true, because };
}
function deny(because: string): Judgement {
  return { allow: false, because };
}

/** What `own` says of traffic with `peer`, by the isolation default. `peer` outside is answered by the caller's direction. */
function isolation(own: Identity, peer: Identity): Judgement {
  const { tenant } = own;
  if (tenant === null) return deny('the address belongs to no known tenant');
  if (tenant.isolation === 'open') return allow(`tenant ${tenant.name} is open`);
  if (tenant !== peer.tenant) return deny(`tenant ${tenant.name} talks to no other tenant`);
  if (tenant.isolation === 'tenant') return allow(`both are of tenant ${tenant.name}`);
  return own.segment !== null && own.segment === peer.segment
    ? allow(`both are of segment ${tenant.name}/${own.segment.name}`)
    : deny(`tenant ${tenant.name} isolates its segments`);
}

/** May a local endpoint with this source send to this destination? Asked on the source's host. */
export function judgeEgress(model: PolicyModel, source: Address, destination: Address): Judgement {
  const peer = identify(model, destination);
  if (!peer.inside) return allow('endpoints may reach addresses outside of Romana');
  return isolation(identify(model, source), peer);
}

/** May this source reach a local endpoint with this destination? Asked on the destination's host. */
export function judgeIngress(model: PolicyModel, source: Address, destination: Address): Judgement {
  const own = identify(model, destination);
  const peer = identify(model, source);
  if (!peer.inside && own.tenant?.isolation !== 'open')
    return deny('outside addresses reach endpoints by policy only');
  return isolation(own, peer);
}

/** May an endpoint open a connection to an address of a host itself? (The gateway's ICMP is exempt and not asked here.) */
export function judgeToHost(model: PolicyModel, source: Address): Judgement {
  const own = identify(model, source);
  if (own.network?.infrastructure === 'allow')
    return allow(`network ${own.network.name} allows infrastructure`);
  if (own.tenant?.isolation === 'open') return allow(`tenant ${own.tenant.name} is open`);
  return deny("endpoints do not reach the hosts' own addresses");
}

/** Both passes, for a packet between two endpoints anywhere. */
export function judge(model: PolicyModel, source: Address, destination: Address): Judgement {
  const egress = judgeEgress(model, source, destination);
  return egress.allow ? judgeIngress(model, source, destination) : egress;
}
