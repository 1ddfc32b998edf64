/** Routes of other programs to prefixes of ours: never touched, always told, gone from the problems when they are gone. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseCidr } from '#core/address/index.ts';
import { Simulator } from '../../test/simulation/simulator.ts';
import { type Outcome, Reconciler } from './reconciler.ts';
import { machine, silent, viewOf } from './testing.ts';

for (const [family, cidr, equal, worse] of [
  ['IPv4', '10.2.0.0/16', 0, 50],
  ['IPv6', 'fd10:2::/32', 1024, 2048],
] as const) {
  for (const [what, metric, code, taken] of [
    ['of the same metric keeps ours out', equal, /protocol bird.*should stand/, true],
    ['of another metric stands beside', worse, /protocol bird.*beside the one of Romana/, false],
  ] as const) {
    test(`a foreign ${family} route ${what}, and is told until it is gone`, async () => {
      const sim = new Simulator();
      const { kernel, drivers } = machine();
      const foreign = {
        cidr: parseCidr(cidr),
        type: 'unicast',
        protocol: 'bird',
        metric,
        via: null,
        source: null,
      };
      kernel.addRoute({ ...foreign, link: 'up0' });
      const outcomes: Outcome[] = [];
      const reconciler = new Reconciler({
        host: 'h1',
        uplinks: [],
        endpointLinks: ['rom*'],
        mtu: 0,
        resyncMs: 30_000,
        kernel: drivers,
        clock: sim.clock({ ms: 0 }),
        timers: sim,
        log: silent,
        knowledge: () => ({ view: viewOf(), endpoints: [] }),
        onPass: (outcome) => outcomes.push(outcome),
      });
      const protocols = (): string[] =>
        kernel
          .routes()
          .filter((route) => route.cidr.length === foreign.cidr.length && route.type === 'unicast')
          .filter(
            (route) =>
              route.cidr.address.w0 === foreign.cidr.address.w0 &&
              route.cidr.address.w1 === foreign.cidr.address.w1,
          )
          .map(({ protocol }) => protocol)
          .sort();
      reconciler.start();
      await sim.run(1_000);
      const told = outcomes.at(-1)!.problems.filter((problem) => problem.code === 'route_foreign');
      assert.equal(told.length, 1, JSON.stringify(outcomes.at(-1)!.problems));
      assert.match(told[0]!.message, code);
      assert.ok(told[0]!.message.includes(cidr));
      assert.deepEqual(protocols(), taken ? ['bird'] : ['82', 'bird']);
      assert.equal(outcomes.at(-1)!.applied, true);
      kernel.deleteRoute(foreign.cidr, 'bird');
      await sim.run(62_000);
      assert.deepEqual(outcomes.at(-1)!.problems, []);
      assert.deepEqual(protocols(), ['82']);
      await reconciler.stop();
    });
  }
}
