/**
 * Endpoints and what is no endpoint: their own host, other hosts, the gateway, the world outside. Packets are counted where they must
 * not be: at the host's own sockets, at the endpoint, outside.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Lab } from '#lab/harness.ts';
import { inPrivateNamespaces } from '../../support/namespace.ts';
import { drop, seen, watch, watched } from './support/counting.ts';
import { type Forged, forge } from './support/forge.ts';
import {
  addOutside,
  eventually,
  expectVerdicts,
  type Family,
  families,
  hostAddress,
  outside,
  type Placed,
  place,
  setIsolation,
  settled,
  startLab,
} from './support/lab.ts';
import { endStreams, losses, type Side, Stream } from './support/streams.ts';

const gateway = { name: 'gateway', 4: '169.254.1.1', 6: 'fe80::1' } as const;
const protocols = ['udp', 'tcp', 'icmp'] as const;

if (inPrivateNamespaces(import.meta.url)) {
  let lab: Lab;
  let a: Placed; // acme/web on h1, isolated by segment
  let t: Placed; // tyrell/web on h1, isolated by tenant
  let o: Placed; // oscorp/web on h1, open
  let p: Placed; // oscorp/web on h2, open

  before(async () => {
    lab = await startLab({ hosts: 2, racks: 2 }, [
      { name: 'acme', isolation: 'segment', segments: ['web'] },
      { name: 'tyrell', isolation: 'tenant', segments: ['web'] },
      { name: 'oscorp', isolation: 'open', segments: ['web'] },
    ]);
    await addOutside(lab);
    const at = (tenant: string, name: string, host: string): Promise<Placed> =>
      place(lab, { tenant, segment: 'web', name, host });
    [a, t, o, p] = await Promise.all([
      at('acme', 'a', 'h1'),
      at('tyrell', 't', 'h1'),
      at('oscorp', 'o', 'h1'),
      at('oscorp', 'p', 'h2'),
    ]);
    await settled(lab);
    for (const host of ['h1', 'h2']) {
      await lab.answer(host);
      await watch(lab, host);
    }
    await lab.answer(outside.name);
    for (const namespace of ['a', 't', 'o', 'p', outside.name]) await watch(lab, namespace);
  });
  after(() => {
    endStreams();
    return lab.stop();
  });

  const hostPlace = (name: string): { name: string; 4: string; 6: string } => ({
    name,
    4: hostAddress(lab, name, 4),
    6: hostAddress(lab, name, 6),
  });
  const packets = (source: string, destination: string): Forged[] =>
    protocols.flatMap((protocol) =>
      [1, 2, 3].map((sequence) => ({ source, destination, protocol, sequence, destinationPort: 7777 })),
    );
  /** How many of the marked packets that `from` sent were counted in `counter` of a host, and how many got to where it is counted. */
  async function deliver(
    from: string,
    sent: readonly Forged[],
    at: string,
    counter: string,
    target: string,
  ): Promise<void> {
    const reached = async (): Promise<number> =>
      target === at ? ((await watched(lab, at)).get('taken') ?? 0) : (await seen(lab, target)).arrived;
    const before = { counter: await drop(lab, at, counter), reached: await reached() };
    await forge(lab, from, sent);
    await eventually(`counted in ${counter} of ${at}`, async () =>
      (await drop(lab, at, counter)) - before.counter >= sent.length ? true : undefined,
    );
    assert.equal((await drop(lab, at, counter)) - before.counter, sent.length, `${counter} of ${at}`);
    assert.equal(await reached(), before.reached, `${target} received packets of ${from}`);
  }

  for (const family of families) {
    test(`H1 endpoints of isolated tenants reach no address of their host; every packet is counted (IPv${family})`, async () => {
      for (const from of [a, t])
        await deliver(
          from.name,
          packets(from[family], hostAddress(lab, 'h1', family)),
          'h1',
          'host_denied',
          'h1',
        );
    });

    test(`H2 nor of another host (IPv${family})`, async () => {
      for (const from of [a, t])
        await deliver(
          from.name,
          packets(from[family], hostAddress(lab, 'h2', family)),
          'h2',
          'host_denied',
          'h2',
        );
    });

    test(`H3 at the gateway they reach ICMP alone (IPv${family})`, async () => {
      const noEcho = packets(a[family], gateway[family]).filter(({ protocol }) => protocol !== 'icmp');
      await deliver(
        'a',
        family === 4 ? noEcho : noEcho.map((forged) => ({ ...forged, link: 'eth0' })),
        'h1',
        'host_denied',
        'h1',
      );
      const target = family === 4 ? gateway[4] : `${gateway[6]}%eth0`;
      const { stdout } = await lab.exec('a', ['ping', '-n', '-c', '3', '-i', '0.05', '-W', '2', target], {
        okCodes: 'any',
      });
      assert.match(stdout, / 3 received/);
    });

    test(`H4 packets from outside are counted and reach no endpoint of an isolated tenant (IPv${family})`, async () => {
      for (const to of [a, t])
        await deliver(outside.name, packets(outside[family], to[family]), 'h1', 'ingress_denied', to.name);
    });

    test(`H5 hosts reach the endpoints of other hosts as everybody outside does: not (IPv${family})`, async () => {
      await deliver('h2', packets(hostAddress(lab, 'h2', family), a[family]), 'h1', 'ingress_denied', 'a');
    });

    test(`H6 long conversations with outside and with the own host lose nothing (IPv${family})`, async () => {
      const side = (namespace: string, address: string): Side => ({ namespace, address });
      const far = side(outside.name, outside[family]);
      const own = side('h1', hostAddress(lab, 'h1', family));
      const of = (place: Placed): Side => side(place.name, place[family]);
      const wishes = [
        { from: of(a), to: far },
        { from: far, to: of(o) },
        { from: own, to: of(a) },
        { from: own, to: of(t) },
        { from: of(o), to: own },
      ];
      const streams = await Promise.all(
        wishes.flatMap((wish, i) =>
          (['tcp', 'udp'] as const).map((protocol, j) =>
            Stream.begin({ ...wish, protocol, port: 20_000 + family * 100 + i * 10 + j }),
          ),
        ),
      );
      await Promise.all(streams.map((stream) => stream.flows(50)));
      assert.deepEqual((await Promise.all(streams.map(losses))).flat(), []);
      for (const stream of streams) stream.end();
    });
  }

  test('H7 a host reaches its own endpoints, whatever their tenant', async () => {
    await expectVerdicts(lab, 'host to endpoint', [
      ...[a, t, o].map((to) => ({ from: 'h1', to, verdict: 'allow' as const })),
      { from: 'h2', to: p, verdict: 'allow' },
      { from: 'h2', to: a, verdict: 'deny' },
      { from: 'h1', to: p, verdict: 'allow' },
    ]);
  });

  test('H8 endpoints reach outside; outside reaches those of open tenants alone', async () => {
    await expectVerdicts(lab, 'outside', [
      ...[a, t, o, p].map(({ name }) => ({ from: name, to: outside, verdict: 'allow' as const })),
      ...[a, t].map((to) => ({ from: outside.name, to, verdict: 'deny' as const })),
      ...[o, p].map((to) => ({ from: outside.name, to, verdict: 'allow' as const })),
    ]);
  });

  test('H9 open tenants reach the hosts; isolated ones do as soon as they are open and no longer', async () => {
    const up = (from: Placed, verdict: 'allow' | 'deny') =>
      ['h1', 'h2'].map((host) => ({ from: from.name, to: hostPlace(host), verdict }));
    await expectVerdicts(lab, 'open', [
      ...up(o, 'allow'),
      ...up(p, 'allow'),
      ...up(a, 'deny'),
      ...up(t, 'deny'),
    ]);
    await setIsolation(lab, 'acme', 'open');
    await expectVerdicts(lab, 'acme open', [...up(a, 'allow'), ...up(t, 'deny')]);
    await setIsolation(lab, 'acme', 'segment');
    await expectVerdicts(lab, 'acme closed', up(a, 'deny'));
  });

  test('H10 with infrastructure allowed every endpoint of that network reaches the hosts, of the other network none', async () => {
    const set = async (name: string, infrastructure: 'allow' | 'deny'): Promise<void> => {
      await lab.client.networkUpdate({ params: { name }, query: {}, body: { infrastructure } });
      await settled(lab);
    };
    const verdicts = async (
      when: string,
      expected: Readonly<Record<Family, 'allow' | 'deny'>>,
    ): Promise<void> => {
      const wishes = [a, t].flatMap(({ name }) =>
        ['h1', 'h2'].flatMap((host) =>
          families.map((family) => ({
            text: `${name} -> ${host} IPv${family}`,
            expected: expected[family],
            wish: {
              from: name,
              family,
              protocol: 'tcp' as const,
              address: hostAddress(lab, host, family),
              timeoutMs: expected[family] === 'allow' ? 3000 : 400,
            },
          })),
        ),
      );
      const results = await lab.probe(wishes.map(({ wish }) => wish));
      assert.deepEqual(
        results.map(({ observed }, i) => `${wishes[i]?.text} ${observed}`),
        wishes.map((wish) => `${wish.text} ${wish.expected}`),
        when,
      );
    };
    await verdicts('both closed', { 4: 'deny', 6: 'deny' });
    await set('v4', 'allow');
    await verdicts('IPv4 open', { 4: 'allow', 6: 'deny' });
    await set('v6', 'allow');
    await set('v4', 'deny');
    await verdicts('IPv6 open', { 4: 'deny', 6: 'allow' });
    await set('v6', 'deny');
    await verdicts('both closed again', { 4: 'deny', 6: 'deny' });
    // infrastructure means hosts, not other tenants
    await expectVerdicts(lab, 'tenants', [{ from: a.name, to: t, verdict: 'deny' }]);
  });
}
