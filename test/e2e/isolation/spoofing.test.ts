/**
 * What an endpoint, an uplink or a foreign link says about where a packet comes from is checked before anything else, whatever the
 * state of connections. Forged packets are counted at three places: they reach the host, they are dropped there, none arrives.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Lab } from '#lab/harness.ts';
import { inPrivateNamespaces } from '../../support/namespace.ts';
import { drop, seen, watch } from './support/counting.ts';
import { type Forged, forge, PSH_ACK, RST, SYN } from './support/forge.ts';
import {
  addOutside,
  eventually,
  type Family,
  families,
  hostAddress,
  ip,
  outside,
  type Placed,
  place,
  settled,
  startLab,
} from './support/lab.ts';
import { endStreams, losses, Stream } from './support/streams.ts';

const repeat = 5;
const times = (forged: Forged): Forged[] =>
  Array.from({ length: repeat }, (_, i) => ({ ...forged, sequence: i }));

if (inPrivateNamespaces(import.meta.url)) {
  let lab: Lab;
  let a: Placed; // acme/web on h1
  let b: Placed; // acme/web on h1
  let c: Placed; // acme/web on h2
  let g: Placed; // globex/web on h1
  let router: Placed; // acme/web on h1, with source prefixes and three addresses per family

  const observed = ['h1', 'h2', 'leaf1', 'a', 'b', 'c', 'g', 'router', outside.name];

  before(async () => {
    lab = await startLab({ hosts: 2, racks: 1 }, [
      { name: 'acme', isolation: 'segment', segments: ['web', 'db'] },
      { name: 'globex', isolation: 'segment', segments: ['web'] },
    ]);
    await addOutside(lab);
    const acme = { tenant: 'acme', segment: 'web' };
    [a, b, c, g, router] = await Promise.all([
      place(lab, { ...acme, name: 'a', host: 'h1' }),
      place(lab, { ...acme, name: 'b', host: 'h1' }),
      place(lab, { ...acme, name: 'c', host: 'h2' }),
      place(lab, { tenant: 'globex', segment: 'web', name: 'g', host: 'h1' }),
      place(lab, {
        ...acme,
        name: 'router',
        host: 'h1',
        networks: ['v4', 'v4', 'v6', 'v6'],
        sourcePrefixes: ['198.51.100.64/28', '2001:db8:64::/48'],
      }),
    ]);
    await settled(lab);
    for (const namespace of observed) await watch(lab, namespace);
  });
  after(() => {
    endStreams();
    return lab.stop();
  });

  const arrivals = async (): Promise<Map<string, number>> =>
    new Map(await Promise.all(observed.map(async (ns) => [ns, (await seen(lab, ns)).arrived] as const)));

  /** Sends, and finds every packet at `at` and in its drop counter, none anywhere else but where it was sent through. */
  async function expectDropped(
    from: string,
    at: string,
    counter: string,
    packets: readonly Forged[],
    through: readonly string[] = [],
  ): Promise<void> {
    const before = await arrivals();
    const dropped = await drop(lab, at, counter);
    await forge(lab, from, packets);
    const now = await eventually(`sure that ${packets.length} packets of ${from} reached ${at}`, async () => {
      const all = await arrivals();
      return (all.get(at) ?? 0) - (before.get(at) ?? 0) >= packets.length ? all : undefined;
    });
    const rise = (ns: string): number => (now.get(ns) ?? 0) - (before.get(ns) ?? 0);
    assert.equal(rise(at), packets.length);
    assert.equal((await drop(lab, at, counter)) - dropped, packets.length, `${counter} of ${at}`);
    for (const ns of observed.filter((ns) => ns !== at && !through.includes(ns)))
      assert.equal(rise(ns), 0, `${ns} received forged packets`);
  }

  /** Sends, and every packet arrives at `to`. */
  async function expectDelivered(from: string, to: string, packets: readonly Forged[]): Promise<void> {
    const before = (await seen(lab, to)).arrived;
    await forge(lab, from, packets);
    await eventually(`sure that all reach ${to}`, async () =>
      (await seen(lab, to)).arrived - before >= packets.length ? true : undefined,
    );
    assert.equal((await seen(lab, to)).arrived - before, packets.length);
  }

  /** The address `by` further; stays inside the last 16 bits. */
  function shifted(address: string, by: number): string {
    const separator = address.includes(':') ? ':' : '.';
    const at = address.lastIndexOf(separator) + 1;
    const radix = separator === ':' ? 16 : 10;
    const last = Number.parseInt(address.slice(at) || '0', radix);
    return address.slice(0, at) + (last + by).toString(radix);
  }

  /** Addresses of nobody: of a host id that was never given out. */
  const unassigned = { 4: '10.200.1.17', 6: 'fd10:c8:1:1::1' } as const;
  /** In the identity of acme/web, on h2 and on h1, but of no endpoint. */
  const neighbour = (place: Placed, family: Family): string => shifted(place[family], 6);

  for (const family of families) {
    const udp = (source: string, destination: string): Forged => ({ source, destination, protocol: 'udp' });

    test(`A1 an endpoint sends with its own source and is delivered (IPv${family})`, async () => {
      await expectDelivered('b', 'a', times(udp(b[family], a[family])));
      await expectDelivered('b', 'c', times(udp(b[family], c[family])));
    });

    test(`A2 whatever source an endpoint forges, each packet is counted as spoofed and none arrives (IPv${family})`, async () => {
      const sources = [
        g[family], // another tenant's, on the same host
        a[family], // of its own segment, on the same host
        c[family], // of its own segment, on another host
        neighbour(a, family), // of its own segment, nobody's
        unassigned[family],
        hostAddress(lab, 'h1', family),
        hostAddress(lab, 'h2', family),
        outside[family],
        family === 4 ? '169.254.1.1' : 'fe80::1',
        // the kernel itself drops ::1 and multicast sources before anybody may count them
        ...(family === 4 ? ['127.0.0.1', '255.255.255.255'] : ['::']),
      ];
      const targets = [
        a[family],
        c[family],
        g[family],
        outside[family],
        hostAddress(lab, 'h1', family),
        hostAddress(lab, 'h2', family),
      ];
      for (const protocol of ['udp', 'tcp', 'icmp'] as const) {
        const packets = sources.flatMap((source) =>
          targets
            .filter((target) => target !== source)
            .map((destination) => ({ source, destination, protocol, flags: SYN })),
        );
        await expectDropped('b', 'h1', 'spoofed', packets);
      }
    });

    test(`A3 an address that an endpoint gives itself is of no use, for asking and for answering (IPv${family})`, async () => {
      const stolen = neighbour(a, family);
      const length = family === 4 ? 32 : 128;
      await ip(lab, 'b', [`address add ${stolen}/${length} dev eth0${family === 6 ? ' nodad' : ''}`]);
      const before = { c: (await seen(lab, 'c')).arrived, spoofed: await drop(lab, 'h1', 'spoofed') };
      const { code, stdout } = await lab.exec(
        'b',
        ['ping', '-n', '-Q', String(42 << 2), '-c', '5', '-i', '0.05', '-W', '1', '-I', stolen, c[family]],
        { okCodes: 'any' },
      );
      await ip(lab, 'b', [`address del ${stolen}/${length} dev eth0`]);
      assert.equal(code, 1, stdout);
      assert.match(stdout, / 0 received/);
      assert.equal((await seen(lab, 'c')).arrived, before.c);
      // At least: asking for the gateway's link address from the stolen one is counted too.
      assert.ok((await drop(lab, 'h1', 'spoofed')) >= before.spoofed + 5);
    });

    test(`A4 inside the established connection of another endpoint forged packets are dropped and the connection lives on (IPv${family})`, async () => {
      const port = 7100 + family;
      const side = (place: Placed) => ({ namespace: place.name, address: place[family] });
      const stream = await Stream.begin({ protocol: 'tcp', from: side(a), to: side(c), port });
      await stream.flows();
      const towards = (flags: number): Forged[] =>
        times({
          source: a[family],
          destination: c[family],
          protocol: 'tcp',
          sourcePort: port + 1000,
          destinationPort: port,
          flags,
        });
      const back = (flags: number): Forged[] =>
        times({
          source: c[family],
          destination: a[family],
          protocol: 'tcp',
          sourcePort: port,
          destinationPort: port + 1000,
          flags,
        });
      // b shares a's host, g has another tenant: both speak as a, and as c
      for (const from of ['b', 'g'])
        for (const flags of [PSH_ACK, RST, SYN])
          await expectDropped(from, 'h1', 'spoofed', [...towards(flags), ...back(flags)]);
      await stream.flows(50);
      assert.deepEqual(await losses(stream), []);
      stream.end();
    });

    test(`A5 an uplink brings no unassigned and no local Romana source (IPv${family})`, async () => {
      for (const source of [unassigned[family], b[family], neighbour(b, family), g[family]])
        for (const destination of [a[family], g[family], hostAddress(lab, 'h1', family)])
          await expectDropped('leaf1', 'h1', 'uplink_spoofed', times(udp(source, destination)));
    });

    test(`A6 an uplink brings the sources of another host's range: judged by identity, and outside ones (IPv${family})`, async () => {
      await expectDelivered('leaf1', 'a', times(udp(c[family], a[family])));
      await expectDelivered('leaf1', 'a', times(udp(neighbour(c, family), a[family])));
      await expectDropped('leaf1', 'h1', 'ingress_denied', times(udp(c[family], g[family])));
      await expectDropped('leaf1', 'h1', 'ingress_denied', times(udp(outside[family], a[family])));
    });

    test(`A7 an address that is Romana's only under the mask is outside (IPv${family})`, async () => {
      const disguised = family === 4 ? a[4].replace(/^10\.\d+/, '203.7') : a[6].replace(/^fd10/, '2001');
      await expectDropped('leaf1', 'h1', 'ingress_denied', times(udp(disguised, a[family])));
    });

    test(`A8 the source prefixes of an endpoint pass, their neighbours do not; its several addresses pass (IPv${family})`, async () => {
      const own = router.all
        .map(({ address }) => address)
        .filter((address) => address.includes(':') === (family === 6));
      assert.equal(own.length, 2);
      for (const source of own) await expectDelivered('router', 'c', times(udp(source, c[family])));
      const inside =
        family === 4
          ? ['198.51.100.64', '198.51.100.79']
          : ['2001:db8:64::', '2001:db8:64:ffff:ffff:ffff:ffff:ffff'];
      const beside =
        family === 4
          ? ['198.51.100.63', '198.51.100.80']
          : ['2001:db8:63:ffff:ffff:ffff:ffff:ffff', '2001:db8:65::'];
      for (const source of inside)
        await expectDelivered('router', outside.name, times(udp(source, outside[family])));
      await expectDropped(
        'router',
        'h1',
        'spoofed',
        beside.flatMap((source) => times(udp(source, outside[family]))),
      );
      // what is one endpoint's is no other's
      await expectDropped(
        'b',
        'h1',
        'spoofed',
        [...own, ...inside].flatMap((source) => times(udp(source, outside[family]))),
      );
    });
  }

  test('A9 a link that is neither uplink nor endpoint link brings no Romana source, and its own sources reach no endpoint', async () => {
    await lab.namespaces(['container']);
    await ip(lab, 'h1', [
      'link add docker0 type bridge',
      'link add vethc type veth peer name eth0 netns container',
      'link set vethc master docker0 up',
      'link set docker0 up',
      'address add 172.17.0.1/16 dev docker0',
      'address add fd17::1/64 dev docker0 nodad',
    ]);
    await ip(lab, 'container', [
      'link set eth0 up',
      'address add 172.17.0.2/16 dev eth0',
      'address add fd17::2/64 dev eth0 nodad',
      'route add default via 172.17.0.1',
      'route add default via fd17::1',
    ]);
    for (const family of families) {
      const container = family === 4 ? '172.17.0.2' : 'fd17::2';
      for (const source of [c[family], neighbour(c, family), a[family], g[family], unassigned[family]])
        for (const destination of [b[family], hostAddress(lab, 'h1', family), outside[family]])
          await expectDropped(
            'container',
            'h1',
            'uplink_spoofed',
            times({ source, destination, protocol: 'udp' }),
          );
      await expectDropped(
        'container',
        'h1',
        'ingress_denied',
        times({ source: container, destination: b[family], protocol: 'udp' }),
      );
    }
    await ip(lab, 'h1', ['link del docker0', 'link del vethc']);
  });

  test('A10 a link named like an endpoint link that no rule knows passes nothing, in either direction, also while no agent runs', async () => {
    await lab.namespaces(['stranger']);
    await ip(lab, 'h1', [
      'link add rom-foo type veth peer name eth0 netns stranger',
      'link set rom-foo up',
      'address add 198.18.0.1/24 dev rom-foo',
      'address add 2001:db8:18::1/64 dev rom-foo nodad',
    ]);
    await ip(lab, 'stranger', [
      'link set eth0 up',
      'address add 198.18.0.2/24 dev eth0',
      'address add 2001:db8:18::2/64 dev eth0 nodad',
      'route add default via 198.18.0.1',
      'neigh replace 198.18.0.1 lladdr 00:00:5e:00:53:01 dev eth0',
    ]);
    const mac = await lab.exec('h1', ['cat', '/sys/class/net/rom-foo/address']);
    await ip(lab, 'stranger', [
      'route add default via 2001:db8:18::1',
      `neigh replace 198.18.0.1 lladdr ${mac.stdout.trim()} dev eth0`,
      `neigh replace 2001:db8:18::1 lladdr ${mac.stdout.trim()} dev eth0`,
    ]);
    const own = (await lab.exec('stranger', ['cat', '/sys/class/net/eth0/address'])).stdout.trim();
    await ip(lab, 'h1', [
      `neigh replace 198.18.0.2 lladdr ${own} dev rom-foo`,
      `neigh replace 2001:db8:18::2 lladdr ${own} dev rom-foo`,
    ]);
    await watch(lab, 'stranger');
    const check = async (): Promise<void> => {
      for (const family of families) {
        const itself = family === 4 ? '198.18.0.2' : '2001:db8:18::2';
        const packets = [itself, a[family], c[family], unassigned[family], outside[family]].flatMap(
          (source) =>
            [b[family], c[family], outside[family], hostAddress(lab, 'h1', family)].flatMap((destination) =>
              source === destination ? [] : times({ source, destination, protocol: 'udp' }),
            ),
        );
        await expectDropped('stranger', 'h1', 'spoofed', packets);
        const before = {
          stranger: (await seen(lab, 'stranger')).arrived,
          denied: await drop(lab, 'h1', 'ingress_denied'),
        };
        await forge(lab, 'b', times({ source: b[family], destination: itself, protocol: 'udp' }));
        await forge(
          lab,
          'leaf1',
          times({ source: outside[family], destination: b[family], protocol: 'udp' }),
        );
        await eventually('denied', async () =>
          (await drop(lab, 'h1', 'ingress_denied')) >= before.denied + 2 * repeat ? true : undefined,
        );
        assert.equal((await seen(lab, 'stranger')).arrived, before.stranger);
      }
    };
    await check();
    await lab.killAgent('h1');
    await check();
    await expectDropped('b', 'h1', 'spoofed', times({ source: a[4], destination: c[4], protocol: 'udp' }));
    await expectDropped('b', 'h1', 'spoofed', times({ source: a[6], destination: c[6], protocol: 'udp' }));
    lab.startAgent('h1');
    await lab.agentReady('h1');
    await check();
  });
}
