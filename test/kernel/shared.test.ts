/** Shared identity in the kernel: the table agrees with the reference evaluator on every packet of random models (agent/rules/shared.ts). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { buildRuleset } from '#agent/rules/build.ts';
import {
  type Address,
  addressPlan,
  encode,
  encodeShared,
  formatAddress,
  formatCidr,
  hostCidr,
  parseAddress,
  parseCidr,
} from '#core/address/index.ts';
import { type Isolation, judge, type PolicyModel, type PolicyNetwork } from '#core/policy/index.ts';
import { inPrivateNamespaces } from '../support/namespace.ts';
import { full } from '../support/sizes.ts';
import { rulesOf, type TestEndpoint, type TestHost, twoHosts } from './support/two-hosts.ts';

type Widths = readonly [number, number, number, number];
function network(name: string, cidr: string, [host, tenant, segment, endpoint]: Widths): PolicyNetwork {
  return {
    name,
    plan: addressPlan(parseCidr(cidr), { host, tenant, segment, endpoint }),
    infrastructure: 'deny',
  };
}
const v4 = network('v4', '10.0.0.0/8', [8, 8, 4, 4]);
const other4 = network('other4', '172.16.0.0/12', [8, 6, 2, 4]);
const v6 = network('v6', 'fd10::/16', [16, 16, 16, 64]);
const networks = [v4, other4, v6];

const hosts: readonly [TestHost, TestHost] = [
  { name: 'h1', cidrs: networks.map(({ plan }) => formatCidr(hostCidr(plan, 1))) },
  { name: 'h2', cidrs: networks.map(({ plan }) => formatCidr(hostCidr(plan, 2))) },
];

/** Tenants t0 and t1 have numbers, t2 and t3 have none; t1 was promoted late and still has endpoints with shared addresses. */
const numbered = [true, true, false, false];
let index = 0;
const sharedOn = (one: PolicyNetwork, host: number): Address => encodeShared(one.plan, host, ++index);
const encodedOn = (one: PolicyNetwork, host: number, tenant: number, segment: number): Address =>
  encode(one.plan, { host, tenant: tenant + 1, segment, endpoint: ++index % 15 || 1 });

interface Made extends TestEndpoint {
  readonly shared: readonly Address[];
}
function made(
  name: string,
  tenant: number,
  host: 1 | 2,
  encodedIn: readonly Address[],
  shared: readonly Address[],
): Made {
  return {
    name,
    host: `h${host}`,
    tenant: `t${tenant}`,
    addresses: [...encodedIn, ...shared].map(formatAddress),
    shared,
  };
}
const endpoints: readonly Made[] = [
  made('a', 0, 1, [encodedOn(v4, 1, 0, 1), encodedOn(v6, 1, 0, 1)], []),
  // A segment beyond the segment field: its tenant has numbers, it has none.
  made('b', 0, 2, [encodedOn(other4, 2, 0, 2)], [sharedOn(v4, 2), sharedOn(v6, 2)]),
  made('c', 1, 1, [encodedOn(v4, 1, 1, 1), encodedOn(v6, 1, 1, 2)], []),
  made('d', 1, 2, [], [sharedOn(v4, 2), sharedOn(other4, 2), sharedOn(v6, 2)]),
  made('e', 2, 1, [], [sharedOn(v4, 1), sharedOn(v6, 1)]),
  made('f', 2, 1, [], [sharedOn(other4, 1), sharedOn(v6, 1)]),
  made('g', 2, 2, [], [sharedOn(v4, 2), sharedOn(v6, 2)]),
  made('i', 3, 2, [], [sharedOn(v4, 2), sharedOn(v6, 2)]),
];

interface Choice {
  readonly isolations: readonly Isolation[];
  /** Segment of each shared address; null: nobody's, such as one that the control plane has not told yet. */
  readonly segments: readonly (number | null)[];
}
function modelOf({ isolations, segments }: Choice): PolicyModel {
  const all = endpoints.flatMap(({ tenant, shared }) => shared.map((address) => ({ tenant, address })));
  return {
    networks,
    tenants: isolations.map((isolation, t) => ({
      name: `t${t}`,
      isolation,
      ids: numbered[t] === true ? networks.map(({ name }) => ({ network: name, id: t + 1 })) : [],
      segments: [0, 1].map((s) => ({
        name: `s${s}`,
        ids: networks.map(({ name }) => ({ network: name, id: s + 1 })),
        shared: all
          .filter(({ tenant }, i) => tenant === `t${t}` && segments[i] === s)
          .map(({ address }) => address),
      })),
    })),
  };
}
const choices = fc.record({
  isolations: fc.tuple(...numbered.map(() => fc.constantFrom<Isolation>('segment', 'tenant', 'open'))),
  segments: fc.array(fc.constantFrom(0, 0, 1, 1, null), { minLength: 20, maxLength: 20 }),
});

/** What the evaluator says of every pair of addresses of different endpoints. */
function expected(model: PolicyModel): string[] {
  return endpoints.flatMap((from) =>
    endpoints
      .filter((to) => to !== from)
      .flatMap((to) =>
        from.addresses.flatMap((source) =>
          to.addresses
            .filter((destination) => destination.includes(':') === source.includes(':'))
            .filter((destination) => judge(model, parseAddress(source), parseAddress(destination)).allow)
            .map((destination) => `${source} ${destination}`),
        ),
      ),
  );
}
const together: Choice = {
  isolations: ['segment', 'segment', 'segment', 'segment'],
  segments: Array.from({ length: 20 }, () => 0),
};

if (inPrivateNamespaces(import.meta.url)) {
  const world = await twoHosts(hosts, endpoints);

  test('the kernel lets through exactly what the evaluator allows, for random owners and isolations', async () => {
    const counts = new Set<string>();
    await fc.assert(
      fc.asyncProperty(choices, async (choice) => {
        const model = modelOf(choice);
        counts.add(String(await world.apply(model)));
        assert.deepEqual([...(await world.arrivals())].sort(), expected(model).sort());
      }),
      { numRuns: full ? 200 : 6, examples: [[together as never]], endOnFailure: true },
    );
    assert.equal(counts.size, 1, 'the number of rules is the same for every model');
    assert.ok(expected(modelOf(together)).length >= 10);
  });

  test('a shared address passes from its own link and host alone', async () => {
    await world.apply(modelOf(together));
    const [e, , g] = ['e', 'f', 'g'].map((name) => endpoints.find((one) => one.name === name)!);
    const [own4, own6] = e!.addresses as [string, string];
    const [far4, far6] = g!.addresses as [string, string];
    const legal = [
      [own4, far4],
      [own6, far6],
    ] as const;
    assert.equal((await world.forged('e', legal)).size, 2);
    // From another endpoint's link, of the same host and of the other.
    assert.deepEqual([...(await world.forged('a', legal))], []);
    assert.deepEqual(
      [
        ...(await world.forged('i', [
          [own4, far4],
          [own6, far6],
        ])),
      ],
      [],
    );
    // From the wire: a member's address is taken only with the host CIDR of another host, and nobody's is no member's.
    const unassigned = formatAddress(encodeShared(v4.plan, 77, 5));
    const unassigned6 = formatAddress(encodeShared(v6.plan, 77, 5));
    assert.deepEqual(
      [
        ...(await world.forged('h1', [
          [unassigned, far4],
          [unassigned6, far6],
          [far4, far4],
          [far6, far6],
        ])),
      ],
      [],
    );
    assert.equal((await world.forged('h1', legal)).size, 2);
    const nobody = [
      formatAddress(encodeShared(v4.plan, 1, 99)),
      formatAddress(encodeShared(v6.plan, 1, 99)),
    ] as const;
    assert.deepEqual(
      [
        ...(await world.forged('h1', [
          [nobody[0], far4],
          [nobody[1], far6],
        ])),
      ],
      [],
    );
  });

  test("a priority that somebody else has set is taken for no group's, and ours is seen by nobody else", async () => {
    const model = modelOf(together);
    const stranger: PolicyModel = modelOf({
      ...together,
      segments: together.segments.map((segment, i) => (i === 0 ? null : segment)),
    });
    await world.apply(stranger);
    const wanted = expected(stranger).sort();
    assert.ok(wanted.length < expected(model).length);
    const elements = buildRuleset(rulesOf(stranger, endpoints, hosts[0], hosts[1])).sets.get(
      'shared_members4',
    )!.elements;
    const groups = [...new Set([...elements].map((element) => element.split(' ')[0]!))];
    assert.ok(groups.length >= 2);
    for (const priority of [...groups, '7:7']) {
      await Promise.all(
        [...world.spaces.values()].map((ns) =>
          ns.run(['nft', '-f', '-'], { stdin: foreign(priority, groups) }),
        ),
      );
      assert.deepEqual([...(await world.arrivals())].sort(), wanted, `others set ${priority}`);
      if (groups.includes(priority)) continue;
      for (const ns of world.spaces.values()) {
        const { stdout } = await ns.run(['nft', 'list', 'counter', 'inet', 'foreign', 'seen']);
        assert.match(stdout, /packets 0 /, 'a group was left in the priority of a packet');
      }
    }
  });
}

/** A program that uses priorities too: sets one before our table, and counts packets that have a group's after it. */
function foreign(priority: string, groups: readonly string[]): string {
  return `
table inet foreign
delete table inet foreign
table inet foreign {
  counter seen { }
  chain before {
    type filter hook forward priority -10;
    meta priority set ${priority}
  }
  chain after {
    type filter hook forward priority 10;
    meta priority { ${groups.join(', ')} } counter name seen
  }
}
`;
}
