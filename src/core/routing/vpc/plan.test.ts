import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { type Cidr, containsCidr, formatCidr, parseCidr } from '../../address/index.ts';
import type { RoutingHost, RoutingInput } from '../model.ts';
import { changesOf, planVpc, type VpcPlan, type VpcState, type VpcTable, vpcSites } from './index.ts';
import {
  applied,
  foreignRoute,
  hostName,
  makeHost,
  makeInput,
  makeInstance,
  makeState,
  makeTable,
  network4,
  slotCidr,
  zoneCidr,
} from './testing.ts';

function planOf(input: RoutingInput, state: VpcState): VpcPlan {
  const [site] = vpcSites(input);
  assert.ok(site !== undefined);
  return planVpc(site, state);
}

function routesOf(plan: VpcPlan, table = 0): string[] {
  return (plan.tables[table]?.routes ?? []).map(({ cidr, target }) => `${formatCidr(cidr)} ${target}`);
}

/** Makes the changes one by one; at no time is the limit passed. */
function settle(state: VpcState, plan: VpcPlan): VpcState {
  const tables = state.tables.map((table) => {
    const planned = plan.tables.find((one) => one.table === table.id);
    assert.ok(planned !== undefined);
    let at = table;
    for (const change of changesOf(table, planned)) {
      at = applied(at, change);
      const text = formatCidr(change.cidr);
      at = { ...at, recorded: new Set([...at.recorded, text]) };
    }
    return at;
  });
  return { ...state, tables };
}

/** By longest prefix. */
function matchOf(table: VpcTable, cidr: Cidr): string | undefined {
  const found = table.routes
    .filter((route) => route.cidr !== null && containsCidr(route.cidr, cidr))
    .sort((a, b) => (b.cidr?.length ?? 0) - (a.cidr?.length ?? 0));
  return found[0]?.target;
}

/** Each range leads to its host, or to a host of its subnet. */
function assertReached(input: RoutingInput, state: VpcState): void {
  for (const table of state.tables) {
    for (const host of input.hosts) {
      const own = state.instances.get(host.name);
      for (const { cidr } of host.ranges) {
        const target = matchOf(table, cidr);
        const router = [...state.instances.values()].find((one) => one.interface === target);
        assert.ok(router !== undefined, `${formatCidr(cidr)} of ${host.name} has no route in ${table.id}`);
        assert.equal(router.subnet, own?.subnet, `${host.name} is routed to another subnet`);
      }
    }
  }
}

const slots = fc.uniqueArray(fc.integer({ min: 1, max: 60 }), { maxLength: 24 });
const shape = fc.record({
  zones: fc.constant(3),
  slots: fc.tuple(slots, slots, slots),
  budget: fc.option(fc.integer({ min: 3, max: 40 }), { nil: null }),
  dual: fc.boolean(),
});

test('every range is reached, by at most as many routes as there is room for, and a second look changes nothing', () => {
  fc.assert(
    fc.property(shape, fc.integer({ min: 0, max: 44 }), (site, foreign) => {
      const input = makeInput(site);
      const others = Array.from({ length: foreign }, (_, index) => foreignRoute(index));
      const state = makeState(input, { quota: 50, tables: [makeTable('rtb-a', others), makeTable('rtb-b')] });
      if (input.hosts.length === 0) return;
      const plan = planOf(input, state);
      const after = settle(state, plan);
      assert.deepEqual(plan.problems, []);
      assertReached(input, after);
      for (const [index, { use, routes }] of plan.tables.entries()) {
        for (const { family, limit, routes: count, foreign: counted } of use) {
          const here = routes.filter(({ cidr }) => cidr.address.family === family).length;
          assert.equal(here, count);
          assert.ok(here <= limit, `${here} of ${limit}`);
          assert.equal(counted, family === 4 && index === 0 ? foreign : 0);
          assert.ok(limit <= (site.budget ?? 50) && limit + counted <= 50);
        }
      }
      for (const [index, table] of after.tables.entries()) {
        for (const other of state.tables[index]?.routes ?? []) assert.ok(table.routes.includes(other));
      }
      const again = planOf(input, after);
      for (const [index, table] of after.tables.entries()) {
        const planned = again.tables[index];
        assert.ok(planned !== undefined);
        assert.deepEqual(changesOf(table, planned), []);
      }
    }),
    { numRuns: 150 },
  );
});

test('routes of a plan do not overlap', () => {
  fc.assert(
    fc.property(shape, (site) => {
      const input = makeInput(site);
      const { tables } = planOf(input, makeState(input));
      for (const { routes } of tables)
        for (const [index, { cidr }] of routes.entries())
          for (const other of routes.slice(index + 1)) assert.ok(!containsCidr(cidr, other.cidr));
    }),
    { numRuns: 60 },
  );
});

test('hosts that come and go: within room a join is one route, a leave at most one more or less, and nothing else moves', () => {
  const input = makeInput({
    zones: 2,
    slots: [
      [1, 2, 3],
      [1, 2],
    ],
  });
  const state = settle(makeState(input), planOf(input, makeState(input)));
  const joined = makeHost(0, 9);
  const more: RoutingInput = { ...input, hosts: [...input.hosts, joined] };
  const instances = new Map([...state.instances, [joined.name, makeInstance(joined.name)]]);
  const plan = planOf(more, { ...state, instances });
  const [table] = state.tables;
  const [planned] = plan.tables;
  assert.ok(table !== undefined && planned !== undefined);
  assert.deepEqual(changesOf(table, planned), [
    { action: 'create', cidr: slotCidr(network4, 0, 9), to: `eni-${joined.name}` },
  ]);
});

test('a host that joins where ranges are joined changes no route', () => {
  const many = Array.from({ length: 30 }, (_, index) => index + 1);
  const input = makeInput({ zones: 2, slots: [many, many], budget: 6 });
  const state = settle(makeState(input), planOf(input, makeState(input)));
  const joined = makeHost(1, 31);
  const more: RoutingInput = { ...input, hosts: [...input.hosts, joined] };
  const instances = new Map([...state.instances, [joined.name, makeInstance(joined.name)]]);
  const plan = planOf(more, { ...state, instances });
  const [table] = state.tables;
  const [planned] = plan.tables;
  assert.ok(table !== undefined && planned !== undefined);
  assert.deepEqual(changesOf(table, planned), []);
});

test('any history of joins and leaves keeps every range reached and moves few routes a step', () => {
  const step = fc.record({ zone: fc.integer({ min: 0, max: 2 }), slot: fc.integer({ min: 1, max: 30 }) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), fc.integer({ min: 3, max: 20 }), (steps, budget) => {
      let hosts: RoutingHost[] = [makeHost(0, 1), makeHost(1, 1), makeHost(2, 1)];
      let tables: readonly VpcTable[] = [makeTable('rtb-a')];
      for (const { zone, slot } of steps) {
        const name = hostName(zone, slot);
        const left = hosts.filter((host) => host.name !== name);
        hosts = left.length < hosts.length ? left : [...hosts, makeHost(zone, slot)];
        const input = makeInput({ zones: 3, slots: [], budget }, hosts);
        const state = makeState(input, { tables });
        const plan = planOf(input, state);
        assert.deepEqual(plan.problems, []);
        const after = settle(state, plan);
        assertReached(input, after);
        tables = after.tables;
      }
    }),
    { numRuns: 60 },
  );
});

test('one host more and less, again and again, does not turn the table over', () => {
  const many = Array.from({ length: 12 }, (_, index) => index + 1);
  for (let budget = 3; budget <= 30; budget++) {
    const small = makeInput({ zones: 2, slots: [many, many], budget });
    const large = makeInput({ zones: 2, slots: [[...many, 33], many], budget });
    let state = makeState(large);
    const turn = (input: RoutingInput): number => {
      const plan = planOf(input, state);
      const [table, planned] = [state.tables[0], plan.tables[0]];
      assert.ok(table !== undefined && planned !== undefined);
      const { length } = changesOf(table, planned);
      state = settle(state, plan);
      return length;
    };
    turn(large);
    turn(small);
    turn(large);
    for (let round = 0; round < 3; round++) {
      const [less, more] = [turn(small), turn(large)];
      assert.ok(less <= 1 && more <= 1, `budget ${budget}: ${less} and ${more} changes`);
    }
  }
});

test('a router that fails is replaced at once, by one of its subnet, and nothing else moves; it does not move back', () => {
  const many = Array.from({ length: 30 }, (_, index) => index + 1);
  const input = makeInput({ zones: 2, slots: [many, many], budget: 8 });
  const state = settle(makeState(input), planOf(input, makeState(input)));
  const before = planOf(input, state);
  const [victim] = before.routers;
  assert.ok(victim !== undefined);
  const fail = (change: Partial<VpcState>): [VpcPlan, string[]] => {
    const plan = planOf(input, { ...state, ...change });
    const old = new Set(routesOf(before));
    return [plan, routesOf(plan).filter((line) => !old.has(line))];
  };
  const instances = (change: Parameters<typeof makeInstance>[1]) =>
    new Map([...state.instances, [victim.host, makeInstance(victim.host, change)]]);
  // one observer alone
  assert.deepEqual(fail({ silent: new Set([victim.host]) })[1], []);
  assert.deepEqual(fail({ instances: instances({ impaired: true }) })[1], []);
  for (const change of [
    { silent: new Set([victim.host]), instances: instances({ impaired: true }) },
    { instances: instances({ state: 'stopped' as const }) },
    { instances: instances({ state: 'terminated' as const }) },
  ]) {
    const [plan, moved] = fail(change);
    assert.deepEqual(moved.length, victim.ranges.length, JSON.stringify(moved));
    assert.ok(plan.routers.every(({ host }) => host !== victim.host));
    const after = settle({ ...state, ...change }, plan);
    assert.deepEqual(
      routesOf(planOf(input, { ...after, instances: state.instances, silent: new Set() })),
      routesOf(plan),
    );
  }
});

test('a router that drains gives its ranges away, unless nobody else is there', () => {
  const input = makeInput({ zones: 1, slots: [[1, 2, 3]], budget: 1 });
  const state = settle(makeState(input), planOf(input, makeState(input)));
  const [router] = planOf(input, state).routers;
  assert.ok(router !== undefined);
  const drained = {
    ...input,
    hosts: input.hosts.map((host) =>
      host.name === router.host ? { ...host, state: 'draining' as const } : host,
    ),
  };
  const [next] = planOf(drained, state).routers;
  assert.notEqual(next?.host, router.host);
  const all = { ...input, hosts: input.hosts.map((host) => ({ ...host, state: 'draining' as const })) };
  const last = planOf(all, state);
  assert.equal(last.routers[0]?.host, router.host);
  assert.deepEqual(
    last.problems.map(({ code }) => code),
    ['no_router'],
  );
});

test('no instance forwards for all when several can, also while nobody is known to be well', () => {
  const many = Array.from({ length: 32 }, (_, index) => index + 1);
  const input = makeInput({ zones: 1, slots: [many], budget: 9 });
  for (const silent of [[], input.hosts.map(({ name }) => name)]) {
    const { routers, problems } = planOf(input, makeState(input, { silent: new Set(silent) }));
    assert.ok(routers.length > 2);
    assert.ok(routers.every(({ ranges }) => ranges.length === 1));
    assert.deepEqual(problems, []);
  }
});

test('new ranges go to hosts that are well, as long as there are any', () => {
  const input = makeInput({ zones: 1, slots: [[1, 2, 3, 4]], budget: 1 });
  const silent = new Set(['z0-h01', 'z0-h02', 'z0-h03']);
  assert.deepEqual(
    planOf(input, makeState(input, { silent })).routers.map(({ host, health }) => [host, health]),
    [['z0-h04', 'fit']],
  );
});

test('the cut is as fine as it can be: one route less would leave more hosts behind routers', () => {
  const input = makeInput({ zones: 2, slots: [[2, 3, 4, 5], [1]], budget: 4 });
  // one route stays free: 3 routes for 5 hosts
  const { tables } = planOf(input, makeState(input));
  assert.deepEqual(
    tables[0]?.routes.map(({ why }) => (why.kind === 'router' ? why.hosts : 1)),
    [2, 2, 1],
  );
});

test('not even the coarsest cut fits: the problem says how much would, and what fits is routed', () => {
  const input = makeInput({ zones: 3, slots: [[1, 2], [1, 2, 3], [1]], budget: 2 });
  const plan = planOf(input, makeState(input));
  assert.deepEqual(
    plan.problems.map(({ code }) => code),
    ['budget_too_small'],
  );
  assert.match(plan.problems[0]?.message ?? '', /room for 2 IPv4 .* needs 3: .* to 3;/);
  assert.deepEqual(
    plan.tables[0]?.routes.map(({ cidr }) => formatCidr(cidr)),
    [formatCidr(zoneCidr(network4, 0)), formatCidr(zoneCidr(network4, 1))],
  );
});

test('quota not readable: the stated budget counts, else 50', () => {
  const input = makeInput({ zones: 1, slots: [[1]] });
  const limitOf = (budget: number | null, quota: number | null): number | undefined => {
    const site = makeInput({ zones: 1, slots: [[1]], budget });
    const tables = [makeTable('rtb-a', [foreignRoute(1), foreignRoute(2)])];
    return planOf(site, makeState(input, { quota, tables })).tables[0]?.use[0]?.limit;
  };
  assert.deepEqual(
    [limitOf(null, null), limitOf(70, null), limitOf(null, 500), limitOf(100, 500), limitOf(100, 50)],
    [48, 70, 498, 100, 48],
  );
});

test('routes of others stay: in the way, inside, beside, propagated; ours of earlier hosts go', () => {
  const input = makeInput({ zones: 1, slots: [[1, 2]] });
  const [one, two, gone] = [slotCidr(network4, 0, 1), slotCidr(network4, 0, 2), slotCidr(network4, 0, 7)];
  const routes = [
    { cidr: one, target: 'nat-9', counted: true },
    { cidr: parseCidr(`${formatCidr(two).split('/')[0]}/32`), target: 'nat-8', counted: true },
    { cidr: gone, target: 'eni-gone', counted: true },
    { cidr: slotCidr(network4, 0, 8), target: 'eni-other', counted: true },
    { cidr: parseCidr('0.0.0.0/0'), target: 'igw-1', counted: true },
    { cidr: slotCidr(network4, 0, 9), target: 'eni-z0-h01', counted: false },
    { cidr: null, target: 'pl-1', counted: true },
  ];
  const table = { ...makeTable('rtb-a', routes), recorded: new Set([formatCidr(gone)]) };
  const plan = planOf(input, makeState(input, { tables: [table] }));
  const [planned] = plan.tables;
  assert.ok(planned !== undefined);
  assert.deepEqual(changesOf(table, planned), [
    { action: 'delete', cidr: gone, from: 'eni-gone' },
    { action: 'create', cidr: two, to: 'eni-z0-h02' },
  ]);
  assert.deepEqual(
    plan.problems.map(({ code }) => code),
    ['route_in_the_way', 'route_inside'],
  );
});

test('routes of a network that is gone go too: those on record that lead to our instances, and no others', () => {
  const input = makeInput({ zones: 1, slots: [[1]] });
  const gone = ['10.9.0.0/16', '10.10.0.0/16', '10.11.0.0/16'].map(parseCidr);
  const targets = ['eni-z0-h01', 'nat-1', 'eni-z0-h01'];
  const routes = gone.map((cidr, index) => ({ cidr, target: targets[index] ?? '', counted: true }));
  const table = { ...makeTable('rtb-a', routes), recorded: new Set(['10.9.0.0/16', '10.10.0.0/16']) };
  const [planned] = planOf(input, makeState(input, { tables: [table] })).tables;
  assert.deepEqual(
    planned?.stale.map(({ cidr }) => cidr !== null && formatCidr(cidr)),
    ['10.9.0.0/16'],
  );
});

test('a route of ours that leads elsewhere is led back; a foreign one that leads where ours would is left', () => {
  const input = makeInput({ zones: 1, slots: [[1, 2]] });
  const [one, two] = [slotCidr(network4, 0, 1), slotCidr(network4, 0, 2)];
  const table = {
    ...makeTable('rtb-a', [
      { cidr: one, target: 'nat-1', counted: true },
      { cidr: two, target: 'eni-z0-h02', counted: true },
    ]),
    recorded: new Set([formatCidr(one)]),
  };
  const plan = planOf(input, makeState(input, { tables: [table] }));
  const [planned] = plan.tables;
  assert.ok(planned !== undefined);
  assert.deepEqual(changesOf(table, planned), [
    { action: 'replace', cidr: one, from: 'nat-1', to: 'eni-z0-h01' },
  ]);
});

test('hosts without instance, of a wrong subnet, fenced or lost; a network in the VPC; a table that is not there', () => {
  const base = makeInput({
    zones: 1,
    slots: [[1, 2, 3, 4, 5, 6]],
    fabric: { routeTables: ['rtb-a', 'rtb-x'] },
  });
  const states = ['active', 'active', 'active', 'fenced', 'lost'] as const;
  const input = {
    ...base,
    hosts: base.hosts.map((host, index) => ({ ...host, state: states[index] ?? 'active' })),
  };
  const instances = new Map(makeState(input).instances);
  instances.delete('z0-h01');
  instances.set('z0-h04', makeInstance('z0-h04'));
  instances.set('z0-h03', makeInstance('z0-h03', { subnet: 'subnet-other' }));
  const local = { cidr: parseCidr('100.64.0.0/16'), target: 'local', counted: true };
  const plan = planOf(input, makeState(input, { instances, tables: [makeTable('rtb-a', [local])] }));
  assert.deepEqual(
    plan.problems.map(({ code, about }) => `${code} ${about}`),
    ['table_missing rtb-x', 'no_instance z0-h01', 'wrong_subnet z0-h03', 'network_in_vpc rtb-a'],
  );
  assert.deepEqual(
    routesOf(plan).map((line) => line.split(' ')[1]),
    ['eni-z0-h02', 'eni-z0-h03', 'eni-z0-h06'],
  );
});

test('granted addresses have a route of their own outside the ranges of their host', () => {
  const base = makeInput({ zones: 2, slots: [[1], [1]] });
  const [first] = slotTexts(base);
  const vip = parseCidr('203.0.113.7/32');
  const granted = [parseCidr(`${first.split('/')[0]}/32`), vip];
  const input = {
    ...base,
    hosts: base.hosts.map((host) => (host.name === 'z0-h01' ? { ...host, granted } : host)),
  };
  const plan = planOf(input, makeState(input));
  assert.deepEqual(
    routesOf(plan).filter((line) => line.includes('/32')),
    ['203.0.113.7/32 eni-z0-h01'],
  );
});

function slotTexts({ hosts }: RoutingInput): [string, ...string[]] {
  const texts = hosts.flatMap(({ ranges }) => ranges.map(({ cidr }) => formatCidr(cidr)));
  return [texts[0] ?? '', ...texts.slice(1)];
}

test('two hosts that claim one range: one route, and a problem that names the other', () => {
  const base = makeInput({ zones: 1, slots: [[1, 2]] });
  const twice = base.hosts.map((host) => ({ ...host, ranges: base.hosts[0]?.ranges ?? [] }));
  const input = { ...base, hosts: twice };
  const plan = planOf(input, makeState(input));
  assert.deepEqual(
    plan.problems.map(({ code, about }) => `${code} ${about}`),
    ['range_twice z0-h02'],
  );
  assert.deepEqual(
    routesOf(plan).map((line) => line.split(' ')[1]),
    ['eni-z0-h01'],
  );
});

test('the same hosts in another order are the same plan', () => {
  fc.assert(
    fc.property(shape, fc.infiniteStream(fc.nat()), (site, keys) => {
      const input = makeInput(site);
      const order = input.hosts.map((host) => ({ host, key: keys.next().value ?? 0 }));
      const shuffled = { ...input, hosts: order.sort((a, b) => a.key - b.key).map(({ host }) => host) };
      assert.deepEqual(
        routesOf(planOf(shuffled, makeState(shuffled))),
        routesOf(planOf(input, makeState(input))),
      );
    }),
    { numRuns: 40 },
  );
});
