/**
 * Isolation that changes while everything runs: the verdicts follow on all hosts, what becomes forbidden is cut although it was
 * established, what stays allowed loses nothing, and what is allowed again goes on where it was.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Lab } from '#lab/harness.ts';
import { inPrivateNamespaces } from '../../support/namespace.ts';
import { drop, watch, watched } from './support/counting.ts';
import {
  addOutside,
  type Expectation,
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
import { endStreams, losses, type Side, Stream, type StreamWish } from './support/streams.ts';

/** Attempts of 10 ms each, long enough for TCP to send again several times. */
const patience = 120;

if (inPrivateNamespaces(import.meta.url)) {
  let lab: Lab;
  let w1: Placed; // acme/web on h1
  let w2: Placed; // acme/web on h2
  let d1: Placed; // acme/db on h1
  let d2: Placed; // acme/db on h2
  let g2: Placed; // globex/web on h2, always open
  let i2: Placed; // initech/web on h2, always isolated
  // All below the ports that the kernel gives to probes: one of those may still be closing where a flow is to begin.
  let nextPort = 20_000;

  before(async () => {
    lab = await startLab({ hosts: 2, racks: 2 }, [
      { name: 'acme', isolation: 'segment', segments: ['web', 'db'] },
      { name: 'globex', isolation: 'open', segments: ['web'] },
      { name: 'initech', isolation: 'segment', segments: ['web'] },
    ]);
    await addOutside(lab);
    const at = (tenant: string, segment: string, name: string, host: string): Promise<Placed> =>
      place(lab, { tenant, segment, name, host });
    [w1, w2, d1, d2, g2, i2] = await Promise.all([
      at('acme', 'web', 'w1', 'h1'),
      at('acme', 'web', 'w2', 'h2'),
      at('acme', 'db', 'd1', 'h1'),
      at('acme', 'db', 'd2', 'h2'),
      at('globex', 'web', 'g2', 'h2'),
      at('initech', 'web', 'i2', 'h2'),
    ]);
    await setIsolation(lab, 'acme', 'segment');
    await watch(lab, 'i2', { strangers: 'udp dport 9 udp sport 9009' });
    for (const name of ['w1', 'w2', 'd1', 'd2', 'h1', outside.name])
      await watch(lab, name, { cuttable: 'meta l4proto { tcp, udp } th dport 10000-19999' });
  });
  after(() => {
    endStreams();
    return lab.stop();
  });

  const here = (place: Placed, family: Family): Side => ({ namespace: place.name, address: place[family] });
  const far = (family: Family): Side => ({ namespace: outside.name, address: outside[family] });
  const hostSide = (host: string, family: Family): Side => ({
    namespace: host,
    address: hostAddress(lab, host, family),
  });

  function begin(wishes: readonly Omit<StreamWish, 'port'>[]): Promise<Stream[]> {
    return Promise.all(wishes.map((wish) => Stream.begin({ ...wish, port: nextPort++ })));
  }
  async function allFlow(streams: readonly Stream[]): Promise<void> {
    await Promise.all(streams.map((stream) => stream.flows()));
  }
  /** Not one message arrives at either side while they keep trying. */
  async function allSilent(streams: readonly Stream[]): Promise<void> {
    const heard = await Promise.all(
      streams.map(async (stream) => ({ stream, ...(await stream.throughput(patience)) })),
    );
    assert.deepEqual(
      heard
        .filter(({ to, from }) => to + from > 0)
        .map(({ stream, to, from }) => `${stream.name}: ${to} forth, ${from} back`),
      [],
    );
  }
  /** Of flows up to a host: not one message arrives there. A host may send to its own endpoints whatever it likes. */
  async function hostsHearNothing(streams: readonly Stream[]): Promise<void> {
    const heard = await Promise.all(
      streams.map(async (stream) => ({ stream, ...(await stream.throughput(patience)) })),
    );
    assert.deepEqual(
      heard.filter(({ to }) => to > 0).map(({ stream, to }) => `${stream.name}: ${to}`),
      [],
    );
  }
  async function nothingLost(streams: readonly Stream[]): Promise<void> {
    assert.deepEqual((await Promise.all(streams.map(losses))).flat(), []);
  }
  const both = (make: (family: Family) => readonly Omit<StreamWish, 'port'>[]): Omit<StreamWish, 'port'>[] =>
    families.flatMap(make);

  function verdicts(isolation: 'segment' | 'tenant' | 'open'): Expectation[] {
    const when = (allowed: boolean): 'allow' | 'deny' => (allowed ? 'allow' : 'deny');
    const pair = (x: Placed, y: Placed, allowed: boolean): Expectation[] => [
      { from: x.name, to: y, verdict: when(allowed) },
      { from: y.name, to: x, verdict: when(allowed) },
    ];
    return [
      ...pair(w1, w2, true),
      ...pair(d1, d2, true),
      ...pair(w1, d1, isolation !== 'segment'),
      ...pair(w1, d2, isolation !== 'segment'),
      ...pair(w2, d1, isolation !== 'segment'),
      ...pair(w1, g2, isolation === 'open'),
      ...pair(d2, g2, isolation === 'open'),
      ...pair(w1, i2, false),
      ...pair(d2, i2, false),
      { from: outside.name, to: w1, verdict: when(isolation === 'open'), protocols: ['icmp'] },
      { from: w1.name, to: outside, verdict: 'allow', protocols: ['icmp'] },
      {
        from: w1.name,
        to: { name: 'h1', 4: hostAddress(lab, 'h1', 4), 6: hostAddress(lab, 'h1', 6) },
        verdict: when(isolation === 'open'),
        protocols: ['icmp'],
      },
    ];
  }

  test('C1 verdicts follow segment, tenant, open and back on all hosts; what is allowed throughout loses nothing, what is forbidden throughout never passes', async () => {
    const kept = await begin(
      both((family) => [
        { protocol: 'udp', from: here(w1, family), to: here(w2, family) },
        { protocol: 'tcp', from: here(d2, family), to: here(d1, family) },
        { protocol: 'udp', from: here(w2, family), to: far(family) },
      ]),
    );
    await allFlow(kept);
    const never = await Promise.all(
      families.map((family) =>
        Stream.begin({
          protocol: 'udp',
          from: here(w1, family),
          to: here(i2, family),
          port: 9,
          sourcePort: 9009,
        }),
      ),
    );
    for (const isolation of ['segment', 'tenant', 'open', 'tenant', 'segment'] as const) {
      await setIsolation(lab, 'acme', isolation);
      await expectVerdicts(lab, isolation, verdicts(isolation));
    }
    const tried = await Promise.all(never.map((stream) => stream.stat()));
    for (const { from } of tried) assert.ok(from.sent > 100, `${from.sent} attempts only`);
    assert.equal((await watched(lab, 'i2')).get('strangers'), 0);
    await nothingLost(kept);
    for (const stream of [...kept, ...never]) stream.end();
  });

  test('C2 flows between segments are cut in both directions when they become forbidden; others lose nothing; allowed again, the same flows go on', async () => {
    await setIsolation(lab, 'acme', 'tenant');
    nextPort = 10_000;
    const doomed = await begin(
      both((family) =>
        (['tcp', 'udp', 'icmp'] as const).flatMap((protocol) => [
          { protocol, from: here(w1, family), to: here(d2, family) },
          { protocol, from: here(d1, family), to: here(w1, family) },
        ]),
      ),
    );
    nextPort = 21_000;
    const kept = await begin(
      both((family) => [
        { protocol: 'tcp', from: here(w1, family), to: here(w2, family) },
        { protocol: 'udp', from: here(d1, family), to: here(d2, family) },
        { protocol: 'icmp', from: here(w2, family), to: here(w1, family) },
        { protocol: 'tcp', from: here(w1, family), to: far(family) },
        { protocol: 'udp', from: here(d2, family), to: far(family) },
        { protocol: 'tcp', from: hostSide('h1', family), to: here(w1, family) },
      ]),
    );
    await allFlow([...doomed, ...kept]);
    for (const round of [1, 2]) {
      const before = await drop(lab, 'h1', 'cut');
      await setIsolation(lab, 'acme', 'segment');
      const places = ['w1', 'd1', 'd2'];
      const counts = (): Promise<(number | undefined)[]> =>
        Promise.all(places.map(async (name) => (await watched(lab, name)).get('cuttable')));
      const arrived = await counts();
      await allSilent(doomed);
      assert.deepEqual(await counts(), arrived, `packets of cut flows still arrive in round ${round}`);
      assert.ok((await drop(lab, 'h1', 'cut')) > before);
      await expectVerdicts(lab, 'segment', verdicts('segment'));
      await setIsolation(lab, 'acme', 'tenant');
      await allFlow([...doomed, ...kept]);
    }
    const tcp = doomed.filter(({ wish }) => wish.protocol === 'tcp');
    await nothingLost([...tcp, ...kept]);
    for (const stream of [...doomed, ...kept]) stream.end();
  });

  test('C3 a new connection of the same addresses and ports works after the flow was cut, ended and allowed again', async () => {
    await setIsolation(lab, 'acme', 'tenant');
    const wishes = both((family) => [
      { protocol: 'tcp', from: here(w1, family), to: here(d2, family) },
      { protocol: 'udp', from: here(w2, family), to: here(d1, family) },
    ]).map((wish, i) => ({ ...wish, port: 12_000 + i }));
    const first = await Promise.all(wishes.map((wish) => Stream.begin(wish)));
    await allFlow(first);
    await setIsolation(lab, 'acme', 'segment');
    await allSilent(first);
    for (const stream of first) stream.end();
    await setIsolation(lab, 'acme', 'tenant');
    for (const host of ['h1', 'h2']) {
      for (const set of ['cut4', 'cut6']) {
        const { stdout } = await lab.exec(host, ['nft', '-j', 'list', 'set', 'inet', 'romana', set]);
        assert.doesNotMatch(stdout, /[^0-9]1[23]00\d[^0-9]/, `${set} of ${host}`);
      }
    }
    const second = await Promise.all(wishes.map((wish) => Stream.begin(wish)));
    await allFlow(second);
    await nothingLost(second);
    for (const stream of second) stream.end();
  });

  test('C4 a flow is cut although its reverse direction stays allowed; the flows that go the allowed way live on', async () => {
    await setIsolation(lab, 'acme', 'open');
    nextPort = 14_000;
    // forbidden in a moment: in from outside, up to the hosts; both may still be reached the other way round
    const doomed = await begin(
      both((family) => [
        { protocol: 'tcp', from: far(family), to: here(w1, family) },
        { protocol: 'udp', from: far(family), to: here(d2, family) },
        { protocol: 'icmp', from: far(family), to: here(w1, family) },
        { protocol: 'tcp', from: here(g2, family), to: here(w1, family) },
        { protocol: 'udp', from: here(w1, family), to: here(g2, family) },
      ]),
    );
    const doomedUp = await begin(
      both((family) => [
        { protocol: 'tcp', from: here(w1, family), to: hostSide('h1', family) },
        { protocol: 'udp', from: here(d1, family), to: hostSide('h1', family) },
        { protocol: 'tcp', from: here(d1, family), to: hostSide('h2', family) },
      ]),
    );
    nextPort = 22_000;
    const kept = await begin(
      both((family) => [
        { protocol: 'tcp', from: here(w1, family), to: far(family) },
        { protocol: 'udp', from: here(d2, family), to: far(family) },
        { protocol: 'tcp', from: hostSide('h1', family), to: here(w1, family) },
        { protocol: 'udp', from: hostSide('h1', family), to: here(d1, family) },
        { protocol: 'tcp', from: far(family), to: here(g2, family) },
        { protocol: 'tcp', from: here(g2, family), to: hostSide('h2', family) },
      ]),
    );
    await allFlow([...doomed, ...doomedUp, ...kept]);
    await setIsolation(lab, 'acme', 'segment');
    await allSilent(doomed);
    await hostsHearNothing(doomedUp);
    await expectVerdicts(lab, 'segment', verdicts('segment'));
    await allFlow(kept);
    await nothingLost(kept);
    await setIsolation(lab, 'acme', 'open');
    await allFlow([...doomed, ...doomedUp]);
    for (const stream of [...doomed, ...doomedUp, ...kept]) stream.end();
  });

  test('C5 infrastructure that is closed again takes its flows along, other networks keep theirs', async () => {
    const set = async (name: string, infrastructure: 'allow' | 'deny'): Promise<void> => {
      await lab.client.networkUpdate({ params: { name }, query: {}, body: { infrastructure } });
      await settled(lab);
    };
    await setIsolation(lab, 'acme', 'segment');
    await set('v4', 'allow');
    await set('v6', 'allow');
    nextPort = 16_000;
    const [four, six] = await begin(
      both((family) => [{ protocol: 'tcp', from: here(w1, family), to: hostSide('h1', family) }]),
    );
    assert.ok(four !== undefined && six !== undefined);
    await allFlow([four, six]);
    await set('v4', 'deny');
    await hostsHearNothing([four]);
    await allFlow([six]);
    await set('v6', 'deny');
    await hostsHearNothing([four, six]);
    for (const stream of [four, six]) stream.end();
  });
}
