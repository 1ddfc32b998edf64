import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  type Address,
  addressPlan,
  andAddress,
  containsAddress,
  encode,
  encodeShared,
  equalAddress,
  formatAddress,
  parseCidr,
} from '../address/index.ts';
import {
  compileIdentityRules,
  type IdentityRules,
  type Isolation,
  judge,
  judgeEgress,
  judgeIngress,
  judgeToHost,
  numberNames,
  type PolicyModel,
  type PolicyNetwork,
} from './index.ts';

type Widths = readonly [number, number, number, number];
function network(name: string, cidr: string, [host, tenant, segment, endpoint]: Widths): PolicyNetwork {
  return {
    name,
    plan: addressPlan(parseCidr(cidr), { host, tenant, segment, endpoint }),
    infrastructure: 'deny',
  };
}

const v4 = network('v4', '10.0.0.0/8', [8, 2, 2, 12]);
const other4 = network('other4', '172.16.0.0/12', [8, 6, 2, 4]);
const v6 = network('v6', 'fd10::/16', [16, 2, 16, 78]);
const maxShared = 63;

/** Says what the compiled rules say, by nothing but masks, look-ups and comparisons: the meaning that a kernel gives them. */
function device(rules: IdentityRules) {
  const inside = (address: Address) => rules.networks.some(({ plan }) => containsAddress(plan.cidr, address));
  const is = (address: Address, one: PolicyNetwork, mask: 'identityMask' | 'tenantMask', value: Address) =>
    one.plan.family === address.family && equalAddress(andAddress(address, one.plan[mask]), value);
  const paired = (source: Address, destination: Address) =>
    rules.pairs.some(({ from, to, segments, tenants }) =>
      (
        [
          ['identityMask', segments],
          ['tenantMask', tenants],
        ] as const
      ).some(([mask, pairs]) =>
        pairs.some(
          (pair) => is(source, from, mask, pair.source) && is(destination, to, mask, pair.destination),
        ),
      ),
    );
  const groupOf = (address: Address) =>
    rules.shared.groups.find(({ addresses }) => addresses.some((one) => equalAddress(one, address)));
  const grouped = (a: Address, b: Address) => {
    const group = groupOf(a);
    return (
      group !== undefined &&
      (group.addresses.some((one) => equalAddress(one, b)) ||
        group.encoded.some((member) =>
          (['identityMask', 'tenantMask'] as const).some((mask) => is(b, member.network, mask, member.value)),
        ))
    );
  };
  const together = (a: Address, b: Address) => paired(a, b) || grouped(a, b) || grouped(b, a);
  const open = (address: Address) =>
    rules.shared.open.some((one) => equalAddress(one, address)) ||
    rules.open.some((table) =>
      table.tenants.some((value) => is(address, table.network, 'tenantMask', value)),
    );
  return {
    egress: (source: Address, destination: Address) =>
      together(source, destination) || open(source) || !inside(destination),
    ingress: (source: Address, destination: Address) => together(source, destination) || open(destination),
    toHost: open,
  };
}

interface Shape {
  readonly isolations: readonly Isolation[];
  /** For each tenant and each of its two segments: whether it has a number. */
  readonly numbered: readonly { readonly tenant: boolean; readonly segments: readonly boolean[] }[];
  /** Tenants that were promoted: numbered, but with endpoints that still have shared addresses. */
  readonly promoted: readonly boolean[];
}

/** A model and the addresses in it: endpoints 1 and 2 of each segment, on hosts 1 and 2, encoded or shared as the shape says. */
function build(
  networks: readonly PolicyNetwork[],
  shape: Shape,
): { model: PolicyModel; addresses: Address[] } {
  const addresses: Address[] = [];
  let index = 0;
  const tenants = shape.isolations.map((isolation, t) => {
    const { tenant, segments } = shape.numbered[t]!;
    const ids = (id: number, has: boolean) =>
      has ? networks.map(({ name }) => ({ network: name, id })) : [];
    return {
      name: `t${t}`,
      isolation,
      ids: ids(t + 1, tenant),
      segments: segments.map((has, s) => {
        const shared: Address[] = [];
        for (const one of networks) {
          for (const host of [1, 2]) {
            if (!tenant || !has || shape.promoted[t]!) shared.push(encodeShared(one.plan, host, ++index));
            if (tenant && has)
              addresses.push(encode(one.plan, { host, tenant: t + 1, segment: s + 1, endpoint: host }));
          }
        }
        addresses.push(...shared);
        return { name: `s${s}`, ids: ids(s + 1, has), shared };
      }),
    };
  });
  return { model: { networks, tenants }, addresses };
}

const shapes = fc
  .array(
    fc.record({
      isolation: fc.constantFrom<Isolation>('segment', 'tenant', 'open'),
      tenant: fc.boolean(),
      segments: fc.tuple(fc.boolean(), fc.boolean()),
      promoted: fc.boolean(),
    }),
    { minLength: 3, maxLength: 3 },
  )
  .map(
    (tenants): Shape => ({
      isolations: tenants.map(({ isolation }) => isolation),
      numbered: tenants,
      promoted: tenants.map(({ promoted }) => promoted),
    }),
  );

test('I2, I6: compiled rules and evaluator agree on every pair of encoded, shared and unknown addresses, both families', () => {
  fc.assert(
    fc.property(
      shapes,
      fc.boolean(),
      fc.array(fc.boolean(), { minLength: 3, maxLength: 3 }),
      (shape, six, here) => {
        const networks = six ? [v6] : [v4, other4];
        const { model, addresses } = build(networks, shape);
        const present = new Set(model.tenants.map(({ name }) => name).filter((_, t) => here[t]));
        const { egress, ingress, toHost } = device(compileIdentityRules(model, present));
        const nobody = networks.map(({ plan }) => encodeShared(plan, 3, maxShared));
        const isHere = (address: Address) => {
          const owner = model.tenants.find((tenant) => owns(model, tenant.name, address));
          return owner !== undefined && present.has(owner.name);
        };
        for (const a of [...addresses, ...nobody]) {
          for (const b of [...addresses, ...nobody]) {
            const text = `${formatAddress(a)} → ${formatAddress(b)}`;
            // A pass is asked where its endpoint is, and that host has the tenant present.
            if (isHere(a)) assert.equal(egress(a, b), judgeEgress(model, a, b).allow, `egress ${text}`);
            if (isHere(b)) assert.equal(ingress(a, b), judgeIngress(model, a, b).allow, `ingress ${text}`);
          }
          assert.equal(toHost(a), judgeToHost(model, a).allow, formatAddress(a));
        }
      },
    ),
  );
});

function owns(model: PolicyModel, name: string, address: Address): boolean {
  const open: PolicyModel = {
    networks: model.networks,
    tenants: model.tenants
      .filter((tenant) => tenant.name === name)
      .map((tenant) => ({ ...tenant, isolation: 'open' })),
  };
  return judgeToHost(open, address).allow;
}

test('I6: a shared tenant is isolated like an encoded one: one with numbers and one without give the same verdicts', () => {
  for (const net of [v4, v6]) {
    for (const isolation of ['segment', 'tenant', 'open'] as const) {
      for (const other of ['segment', 'tenant', 'open'] as const) {
        const verdicts = (tenant: boolean, segments: boolean): string => {
          const numbered = [
            { tenant, segments: [segments, segments] },
            { tenant: true, segments: [true, true] },
          ];
          const { model } = build([net], {
            isolations: [isolation, other],
            numbered,
            promoted: [false, false],
          });
          const all = model.tenants.flatMap((one, t) =>
            one.segments.flatMap(({ shared = [] }, s) =>
              [0, 1].map(
                (n) =>
                  shared[n] ??
                  encode(net.plan, { host: n + 1, tenant: t + 1, segment: s + 1, endpoint: n + 1 }),
              ),
            ),
          );
          return all.map((a) => all.map((b) => (judge(model, a, b).allow ? '+' : '-')).join('')).join(' ');
        };
        assert.equal(verdicts(false, true), verdicts(true, true));
        assert.equal(verdicts(true, false), verdicts(true, true));
        assert.equal(verdicts(false, false), verdicts(true, true));
      }
    }
  }
});

test('I7: elements number by shared endpoints, not by pairs; a group without shared addresses costs nothing', () => {
  const numbered = [{ tenant: false, segments: [true, true] }];
  const { model } = build([v4], { isolations: ['segment'], numbered, promoted: [false] });
  const [tenant] = model.tenants;
  const many = Array.from({ length: 500 }, (_, n) => encodeShared(v4.plan, 5, n + 1));
  const grown = {
    ...model,
    tenants: [{ ...tenant!, segments: [{ ...tenant!.segments[0]!, shared: many }] }],
  };
  const { groups } = compileIdentityRules(grown, new Set(['t0'])).shared;
  assert.deepEqual(
    groups.map(({ addresses, encoded }) => [addresses.length, encoded.length]),
    [[500, 0]],
  );
  const encodedAlone = build([v4], {
    isolations: ['tenant'],
    numbered: [{ tenant: true, segments: [true] }],
    promoted: [false],
  });
  assert.deepEqual(compileIdentityRules(encodedAlone.model, new Set(['t0'])).shared, {
    groups: [],
    open: [],
  });
  assert.deepEqual(compileIdentityRules(grown, new Set()).shared.groups, []);
});

test('group numbers differ always, stay when groups come and go, and are never 0 or all ones', () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.string({ minLength: 1, maxLength: 8 })),
      fc.integer({ min: 1, max: 5 }),
      (names, few) => {
        const sorted = [...names].sort();
        const crowded = numberNames(sorted, (name) => (0xfffffffe + (name.length % few)) >>> 0);
        assert.equal(new Set(crowded.values()).size, names.length);
        for (const number of crowded.values()) assert.ok(number !== 0 && number !== 0xffffffff);
      },
    ),
  );
  const names = ['a/web', 'b/web', 'c/web'];
  const all = numberNames(names);
  assert.equal(numberNames(['b/web']).get('b/web'), all.get('b/web'));
  assert.equal(new Set(all.values()).size, 3);
});
