/**
 * Daemons that write no routes, with the agent's loop in front: the routes of the host follow the sessions with real switches, and
 * outlive everybody.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { BgpLoop } from '#agent/bgp/loop.ts';
import { desiredRoutes } from '#agent/desired-routes.ts';
import { createKernelFacts } from '#agent/drivers/iproute2/facts.ts';
import { createRouteDriver } from '#agent/drivers/iproute2/routes.ts';
import { createSpeaker, speakerPlace, speakerProcesses } from '#agent/drivers/speakers.ts';
import type { Runner } from '#agent/exec.ts';
import { kernelFiles } from '#agent/files.ts';
import { formatCidr, parseAddress } from '#core/address/index.ts';
import type { HostRouting } from '#core/routing/index.ts';
import { createLog, systemClock, systemTimers } from '#runtime/index.ts';
import { inPrivateNamespaces, type Netns } from '../support/namespace.ts';
import {
  folder,
  intentOf,
  makeUnderlay,
  networks,
  own,
  start,
  startTor,
  stopAll,
  type Tor,
  until,
} from './support/fabric.ts';

const routing: HostRouting = {
  name: 'h1',
  kinds: ['bgp'],
  routes: own.map((cidr) => ({ cidr, nextHops: [], why: { kind: 'own' } })),
  learned: networks.map((cidr) => ({
    cidr,
    nextHops: [1, 2].map((number) => ({
      address: parseAddress(cidr.address.family === 4 ? `172.${16 + number}.11.1` : `fd0${number}:11::1`),
      to: `tor${number}`,
      link: null,
    })),
    why: { kind: 'network', network: formatCidr(cidr) },
  })),
  gateways: [],
  bgp: null,
  problems: [],
};

if (inPrivateNamespaces(import.meta.url)) {
  let host: Netns;
  let tors: readonly [Tor, Tor];
  before(async () => {
    const underlay = await makeUnderlay();
    host = underlay.host;
    tors = [startTor(underlay.tors[0], 1), startTor(underlay.tors[1], 2)];
  });
  after(() => stopAll(tors.flatMap(({ daemons }) => daemons)));

  /** The switches that both networks go over, as the kernel of the host has it. */
  const ways = async (): Promise<string> => {
    const all = await Promise.all(
      networks.map(async (cidr) => {
        const family = cidr.address.family;
        const { stdout } = await host.run(['ip', `-${family}`, 'route', 'show', formatCidr(cidr)]);
        const over = [1, 2].filter((n) =>
          stdout.includes(family === 4 ? `172.${16 + n}.11.1` : `fd0${n}:11::1`),
        );
        assert.equal(stdout.split(' via ').length - 1, over.length, stdout);
        return over.join(' ');
      }),
    );
    return [...new Set(all)].join(', ');
  };

  for (const daemon of ['gobgp', 'exabgp'] as const) {
    test(`${daemon}: routes lose the switch that died, keep the last one, and outlive daemon and agent`, async () => {
      const runner: Runner = (argv, options = {}) => host.run(argv, options);
      const facts = createKernelFacts(runner, kernelFiles);
      const routes = createRouteDriver(runner);
      const place = speakerPlace(daemon, folder());
      const daemons = start(host, speakerProcesses(daemon, place), join(place.dir, 'log'));
      const texts = new Map<string, string>();
      const passes: Promise<unknown>[] = [];
      const loop = new BgpLoop({
        speaker: () =>
          createSpeaker(daemon, { run: runner, timers: systemTimers, clock: systemClock, place }),
        files: {
          read: (name) => Promise.resolve(texts.get(name) ?? null),
          write: (name, text) => Promise.resolve(void texts.set(name, text)),
        },
        clock: systemClock,
        timers: systemTimers,
        log: createLog({ level: 'silent' }),
        onFollow: () => void passes.push(pass()),
        onChange: () => undefined,
      });
      const pass = async (): Promise<void> => {
        const desired = desiredRoutes({
          routing,
          facts: await facts.read(),
          following: loop.following(daemon),
          fenced: false,
        });
        const { failures } = await routes.apply(desired);
        assert.deepEqual([...failures], []);
      };
      const goes = (over: string): Promise<void> =>
        until(`routes go over ${over}`, async () => (await ways()) === over, 40);
      try {
        await loop.load();
        await pass();
        assert.equal(await ways(), '1 2', 'nothing is known yet: all');
        loop.want(intentOf(daemon, { holdSeconds: 3 }), false, []);
        await until('all sessions', () =>
          Promise.resolve(
            loop.report?.sessions.length === 4 &&
              loop.report.sessions.every(({ state }) => state === 'established'),
          ),
        );
        await until('the switches have the ranges', async () => (await tors[0].learned()).length === 2);
        await goes('1 2');

        await stopAll(tors[0].daemons);
        await goes('2');
        await stopAll(tors[1].daemons);
        await until('no session is left', () =>
          Promise.resolve(loop.report?.sessions.every(({ state }) => state !== 'established') === true),
        );
        assert.equal(await ways(), '2', 'the last one stays');
        for (const one of tors[0].daemons) one.start();
        await goes('1');
        for (const one of tors[1].daemons) one.start();
        await goes('1 2');

        loop.stop();
        await stopAll(daemons);
        assert.equal(await ways(), '1 2');
        const next = new BgpLoop({
          speaker: () =>
            createSpeaker(daemon, { run: runner, timers: systemTimers, clock: systemClock, place }),
          files: { read: (name) => Promise.resolve(texts.get(name) ?? null), write: () => Promise.resolve() },
          clock: systemClock,
          timers: systemTimers,
          log: createLog({ level: 'silent' }),
          onFollow: () => assert.fail('a dead daemon changes nothing'),
          onChange: () => undefined,
        });
        await next.load();
        assert.deepEqual(next.following(daemon)?.over, { 4: ['tor1', 'tor2'], 6: ['tor1', 'tor2'] });
        next.want(intentOf(daemon, { holdSeconds: 3 }), false, []);
        await until('the daemon is told to be away', () => Promise.resolve(next.report?.up === false));
        next.stop();
        await Promise.all(passes);
      } finally {
        loop.stop();
        await stopAll(daemons);
        await routes.apply([]);
      }
    });
  }
}
