import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  type Address,
  addressPlan,
  andAddress,
  containsAddress,
  encode,
  equalAddress,
  formatAddress,
  parseAddress,
  parseCidr,
} from '../address/index.ts';
import {
  compileIdentityRules,
  type IdentityRules,
  judge,
  judgeEgress,
  judgeIngress,
  judgeToHost,
  type PolicyModel,
  type PolicyNetwork,
} from './index.ts';

const v4 = network('v4', '10.0.0.0/8', [8, 8, 4, 4]);
const other4 = network('other4', '172.16.0.0/12', [8, 6, 2, 4]);
const v6 = network('v6', 'fd10::/16', [16, 16, 16, 64]);

function network(
  name: string,
  cidr: string,
  [host, tenant, segment, endpoint]: [number, number, number, number],
): PolicyNetwork {
  return {
    name,
    plan: addressPlan(parseCidr(cidr), { host, tenant, segment, endpoint }),
    infrastructure: 'deny',
  };
}

function model(isolation: 'segment' | 'tenant' | 'open'): PolicyModel {
  const everywhere = (id: number) => [v4, other4, v6].map(({ name }) => ({ network: name, id }));
  const segments = [
    { name: 'web', ids: everywhere(1) },
    { name: 'db', ids: everywhere(2) },
  ];
  return {
    networks: [v4, other4, v6],
    tenants: [
      {
        name: 'acme',
        isolation,
        ids: [
          { network: 'v4', id: 1 },
          { network: 'other4', id: 3 },
          { network: 'v6', id: 1 },
        ],
        segments,
      },
      {
        name: 'globex',
        isolation: 'segment',
        ids: [
          { network: 'v4', id: 3 },
          { network: 'other4', id: 1 },
          { network: 'v6', id: 2 },
        ],
        segments,
      },
    ],
  };
}

const at = (where: PolicyNetwork, host: number, tenant: number, segment: number, endpoint: number): Address =>
  encode(where.plan, { host, tenant, segment, endpoint });

for (const [family, net, tenants] of [
  [4, v4, [1, 3]],
  [6, v6, [1, 2]],
] as const) {
  test(`isolation defaults between endpoints, IPv${family}`, () => {
    const web = at(net, 1, tenants[0], 1, 1);
    const farWeb = at(net, 2, tenants[0], 1, 9);
    const db = at(net, 1, tenants[0], 2, 1);
    const foreign = at(net, 1, tenants[1], 1, 1);
    const verdicts = (isolation: 'segment' | 'tenant' | 'open') =>
      [farWeb, db, foreign].map((to) => [
        judge(model(isolation), web, to).allow,
        judge(model(isolation), to, web).allow,
      ]);
    assert.deepEqual(verdicts('segment'), [
      [true, true],
      [false, false],
      [false, false],
    ]);
    assert.deepEqual(verdicts('tenant'), [
      [true, true],
      [true, true],
      [false, false],
    ]);
    // globex isolates its segments, so it neither sends to the open tenant nor takes from it.
    assert.deepEqual(verdicts('open'), [
      [true, true],
      [true, true],
      [false, false],
    ]);
  });

  test(`outside addresses are reachable but reach only open tenants, IPv${family}`, () => {
    const web = at(net, 1, tenants[0], 1, 1);
    const outside = parseAddress(family === 4 ? '203.0.1.5' : '2001:db8:1::5');
    assert.equal(judgeEgress(model('segment'), web, outside).allow, true);
    assert.equal(judgeIngress(model('segment'), outside, web).allow, false);
    assert.equal(judgeIngress(model('tenant'), outside, web).allow, false);
    assert.equal(judgeIngress(model('open'), outside, web).allow, true);
    assert.equal(judgeToHost(model('segment'), web).allow, false);
    assert.equal(judgeToHost(model('open'), web).allow, true);
  });
}

test('I1: one tenant is the same across networks although its numbers differ, and equal numbers are not one tenant', () => {
  const acme4 = at(v4, 1, 1, 1, 1);
  assert.equal(judge(model('segment'), acme4, at(other4, 1, 3, 1, 1)).allow, true);
  assert.equal(judge(model('segment'), acme4, at(other4, 1, 1, 1, 1)).allow, false);
});

/** What a device that only masks and compares would say: the meaning of the compiled rules. */
function deviceAllows(rules: IdentityRules, source: Address, destination: Address): boolean {
  const inside = (address: Address) => rules.networks.some(({ plan }) => containsAddress(plan.cidr, address));
  const paired = rules.pairs.some(
    ({ from, to, segments, tenants }) =>
      from.plan.family === source.family &&
      to.plan.family === destination.family &&
      (segments.some(
        (pair) =>
          equalAddress(andAddress(source, from.plan.identityMask), pair.source) &&
          equalAddress(andAddress(destination, to.plan.identityMask), pair.destination),
      ) ||
        tenants.some(
          (pair) =>
            equalAddress(andAddress(source, from.plan.tenantMask), pair.source) &&
            equalAddress(andAddress(destination, to.plan.tenantMask), pair.destination),
        )),
  );
  const isOpen = (address: Address) =>
    rules.open.some(
      ({ network: { plan }, tenants }) =>
        plan.family === address.family &&
        tenants.some((value) => equalAddress(andAddress(address, plan.tenantMask), value)),
    );
  const egress = paired || isOpen(source) || !inside(destination);
  const ingress = paired || isOpen(destination);
  return egress && ingress;
}

test('I2, I4: compiled rules and evaluator agree on every packet, in any order of the model', () => {
  const isolation = fc.constantFrom('segment', 'tenant', 'open' as const);
  const ids = fc.uniqueArray(fc.integer({ min: 1, max: 5 }), { minLength: 3, maxLength: 3 });
  fc.assert(
    fc.property(
      fc.tuple(isolation, isolation, isolation),
      ids,
      ids,
      fc.array(fc.nat(), { minLength: 24, maxLength: 24 }),
      fc.boolean(),
      (kinds, ids4, idsOther, picks, six) => {
        const networks = six ? [v6] : [v4, other4];
        const tenants = kinds.map((kind, index) => ({
          name: `t${index}`,
          isolation: kind,
          ids: networks.map(({ name }) => ({
            network: name,
            id: (name === 'other4' ? idsOther : ids4)[index]!,
          })),
          segments: [1, 2].map((id) => ({
            name: `s${id}`,
            ids: networks.map(({ name }) => ({ network: name, id })),
          })),
        }));
        const subject: PolicyModel = { networks, tenants };
        const rules = compileIdentityRules(subject, new Set(tenants.map(({ name }) => name)));
        const shuffled = compileIdentityRules(
          { networks: networks.toReversed(), tenants: tenants.toReversed() },
          new Set(['t2', 't0', 't1']),
        );
        assert.deepEqual(shuffled, rules);
        const pick = (from: number): Address => {
          const [a, b, c, d] = picks.slice(from, from + 4) as [number, number, number, number];
          const net = networks[a % networks.length]!;
          const max = { host: 3, tenant: 5, segment: 2, endpoint: 3 };
          return at(
            net,
            1 + (b % max.host),
            1 + (c % max.tenant),
            1 + (d % max.segment),
            1 + (a % max.endpoint),
          );
        };
        for (let i = 0; i + 8 <= picks.length; i += 8) {
          const source = pick(i);
          const destination = pick(i + 4);
          // A destination without a known tenant is no endpoint: nobody is asked.
          if (
            !tenants.some(
              (tenant) =>
                judgeIngress({ networks, tenants: [{ ...tenant, isolation: 'open' }] }, source, destination)
                  .allow,
            )
          )
            continue;
          assert.equal(
            deviceAllows(rules, source, destination),
            judge(subject, source, destination).allow,
            `${formatAddress(source)} → ${formatAddress(destination)}`,
          );
        }
      },
    ),
  );
});

test('a foreign address whose low bits look like a tenant passes for nobody (prefix bits are part of the mask)', () => {
  const rules = compileIdentityRules(model('segment'), new Set(['acme', 'globex']));
  const target = at(v4, 1, 1, 1, 1);
  assert.equal(deviceAllows(rules, parseAddress('11.2.1.27'), target), false);
  assert.equal(deviceAllows(rules, at(v4, 2, 1, 1, 11), target), true);
  const target6 = at(v6, 1, 1, 1, 1);
  assert.equal(deviceAllows(rules, parseAddress('fd11:2:1:1::b'), target6), false);
  assert.equal(deviceAllows(rules, at(v6, 2, 1, 1, 11), target6), true);
});

test('I3: tables number by networks alone; elements by tenants and segments, not by hosts', () => {
  const rules = compileIdentityRules(model('segment'), new Set(['acme']));
  assert.equal(rules.pairs.length, 5);
  assert.deepEqual(
    rules.pairs.map(({ segments }) => segments.length),
    [2, 2, 2, 2, 2],
  );
  assert.deepEqual(
    compileIdentityRules(model('tenant'), new Set(['acme'])).pairs.map(({ tenants }) => tenants.length),
    [1, 1, 1, 1, 1],
  );
  assert.deepEqual(
    compileIdentityRules(model('segment'), new Set()).pairs.map(({ segments }) => segments.length),
    [0, 0, 0, 0, 0],
  );
});
