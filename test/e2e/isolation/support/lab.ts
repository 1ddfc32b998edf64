/** A small lab for one test file, with a place outside of it; verdicts by probes, waiting by polling. */
import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import type { Endpoint } from '#contract/model.ts';
import { type EndpointWish, Lab, type LabProbeWish } from '#lab/harness.ts';
import { type LabPlan, planLab } from '#lab/plan.ts';
import { until } from '#lab/processes.ts';
import type { Tenant } from '#lab/spread.ts';

const cli = fileURLToPath(new URL('../../../../src/cli/main.ts', import.meta.url));

export type Family = 4 | 6;
export const families = [4, 6] as const;
/** Addresses of a place behind the spine that is no part of any Romana network. */
export const outside = { name: 'outside', 4: '203.0.113.2', 6: '2001:db8:113::2' } as const;

export function startLab(
  size: { readonly hosts: number; readonly racks: number },
  tenants: readonly Tenant[],
): Promise<Lab> {
  const plan: LabPlan = planLab(size);
  return Lab.start({ plan, command: [process.execPath, cli], tenants });
}

/** A namespace behind the spine. It knows the way back to everything. */
export async function addOutside(lab: Lab): Promise<void> {
  await lab.namespaces([outside.name]);
  await ip(lab, outside.name, [
    'link add eth0 type veth peer name outside netns spine',
    'link set lo up',
    'link set eth0 up',
    `address add ${outside[4]}/30 dev eth0`,
    `address add ${outside[6]}/64 dev eth0 nodad`,
  ]);
  await ip(lab, 'spine', [
    'link set outside up',
    'address add 203.0.113.1/30 dev outside',
    'address add 2001:db8:113::1/64 dev outside nodad',
  ]);
  await ip(lab, outside.name, ['route add default via 203.0.113.1', 'route add default via 2001:db8:113::1']);
}

/** Lines for `ip -batch` in a namespace. */
export async function ip(lab: Lab, namespace: string, lines: readonly string[]): Promise<void> {
  await lab.exec(namespace, ['ip', '-batch', '-'], { stdin: `${lines.join('\n')}\n` });
}

export function hostAddress(lab: Lab, host: string, family: Family): string {
  return family === 4 ? lab.host(host).address4 : lab.host(host).address6;
}

/** A placed endpoint with its first address of each family. */
export interface Placed {
  readonly name: string;
  readonly host: string;
  readonly 4: string;
  readonly 6: string;
  readonly all: Endpoint['addresses'];
}

export async function place(lab: Lab, wish: EndpointWish): Promise<Placed> {
  const endpoint = await lab.endpoint(wish);
  const first = (six: boolean): string => {
    const found = endpoint.addresses.find(({ address }) => address.includes(':') === six);
    assert.ok(found !== undefined, `${wish.name} has no IPv${six ? 6 : 4} address`);
    return found.address;
  };
  return { name: wish.name, host: wish.host, 4: first(false), 6: first(true), all: endpoint.addresses };
}

/** Polled; the limit is generous because the machine may be busy. */
export function eventually<T>(
  what: string,
  check: () => Promise<T | undefined>,
  timeoutMs = 20_000,
): Promise<T> {
  return until(what, timeoutMs, check);
}

/** Until every host has applied the newest revision. */
export async function settled(lab: Lab): Promise<void> {
  await eventually('applied everywhere', async () => {
    const { hosts } = await lab.client.status();
    return hosts.every(({ joined, current }) => joined && current) ? true : undefined;
  });
}

export async function setIsolation(lab: Lab, tenant: string, isolation: Tenant['isolation']): Promise<void> {
  await lab.client.tenantUpdate({ params: { name: tenant }, query: {}, body: { isolation } });
  await settled(lab);
}

/** One line of expectation: from a namespace to an address of a name. */
export interface Expectation {
  readonly from: string;
  readonly to: { readonly name: string; readonly 4: string; readonly 6: string };
  readonly verdict: 'allow' | 'deny';
  readonly protocols?: readonly ('tcp' | 'udp' | 'icmp')[];
}

/** Probes TCP, UDP and ICMP in both families, all at once; names every pair that is not as expected. */
export async function expectVerdicts(
  lab: Lab,
  when: string,
  expectations: readonly Expectation[],
): Promise<void> {
  const probes = expectations.flatMap(({ from, to, verdict, protocols = ['tcp', 'udp', 'icmp'] }) =>
    families.flatMap((family) =>
      protocols.map((protocol) => {
        const wish: LabProbeWish = {
          from,
          family,
          protocol: protocol === 'icmp' && family === 6 ? 'icmpv6' : protocol,
          address: to[family],
          timeoutMs: verdict === 'allow' ? 3000 : 400,
          tries: 2,
        };
        return { wish, verdict, text: `${from} -> ${to.name} IPv${family} ${protocol}` };
      }),
    ),
  );
  const results = await lab.probe(probes.map(({ wish }) => wish));
  const wrong = probes.flatMap(({ verdict, text }, i) =>
    results[i]?.observed === verdict
      ? []
      : [`${text}: expected ${verdict}, observed ${results[i]?.observed} (${results[i]?.reason})`],
  );
  assert.deepEqual(wrong, [], when);
}
