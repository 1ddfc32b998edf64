/**
 * What is not Romana's on a host stays as it is and goes on working: bridges, tables, routes, rules, sysctls, forwarding of others.
 * The agents are started for the first time in this file on hosts that somebody else has furnished: on h1 forwarding is on, on h2 off.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Lab } from '#lab/harness.ts';
import { inPrivateNamespaces } from '../../support/namespace.ts';
import { drop, seen, watch } from './support/counting.ts';
import { forge } from './support/forge.ts';
import {
  addOutside,
  eventually,
  expectVerdicts,
  families,
  hostAddress,
  ip,
  outside,
  type Placed,
  place,
  settled,
  startLab,
} from './support/lab.ts';
import { endStreams, losses, type Side, Stream } from './support/streams.ts';

const container = { name: 'container', 4: '172.17.0.2', 6: 'fd17::2' } as const;
/** Two foreign networks that h1 routes between. */
const left = { name: 'left', 4: '172.30.1.2', 6: 'fd30:1::2' } as const;
const right = { name: 'right', 4: '172.30.2.2', 6: 'fd30:2::2' } as const;

if (inPrivateNamespaces(import.meta.url)) {
  let lab: Lab;
  let a: Placed;
  let b: Placed;
  let before1: Record<string, string>;
  let before2: Record<string, string>;

  before(async () => {
    lab = await startLab({ hosts: 2, racks: 1 }, [
      { name: 'acme', isolation: 'segment', segments: ['web', 'db'] },
    ]);
    await addOutside(lab);
    await lab.namespaces([container.name, left.name, right.name, 'twin1', 'twin2']);
    for (const host of ['h1', 'h2']) await forget(host);
    for (const host of ['h1', 'h2']) await furnish(host, host === 'h1');
    before1 = await foreign('h1', true);
    before2 = await foreign('h2', false);
    await checkOthers('before the agents', false);
    for (const host of ['h1', 'h2']) {
      lab.startAgent(host);
      await lab.agentReady(host);
    }
    a = await place(lab, { tenant: 'acme', segment: 'web', name: 'a', host: 'h1' });
    b = await place(lab, { tenant: 'acme', segment: 'web', name: 'b', host: 'h2' });
    await settled(lab);
  });
  after(() => {
    endStreams();
    return lab.stop();
  });

  /** As after a reboot: nothing of Romana in the kernel, forwarding as the host has it. */
  async function forget(host: string): Promise<void> {
    await lab.stopAgent(host);
    await lab.exec(host, ['nft', 'delete', 'table', 'inet', 'romana']);
    for (const family of families)
      await lab.exec(host, ['ip', `-${family}`, 'route', 'flush', 'table', 'all', 'proto', '82']);
    await ip(lab, host, ['address del 169.254.1.1/32 dev lo']);
    const forwarding = host === 'h1' ? 1 : 0;
    await lab.exec(host, [
      'sysctl',
      '-q',
      '-w',
      `net.ipv4.ip_forward=${forwarding}`,
      `net.ipv6.conf.all.forwarding=${forwarding}`,
    ]);
  }

  /** A container engine, a firewall, a router and an administrator have been here. */
  async function furnish(host: string, docker: boolean): Promise<void> {
    const second = docker ? 1 : 2;
    if (docker) {
      await ip(lab, host, [
        'link add docker0 type bridge',
        'link add vethc type veth peer name eth0 netns container',
        'link set vethc master docker0 up',
        'link set docker0 up',
        'address add 172.17.0.1/16 dev docker0',
        'address add fd17::1/64 dev docker0 nodad',
      ]);
      await ip(lab, container.name, [
        'link set lo up',
        'link set eth0 up',
        `address add ${container[4]}/16 dev eth0`,
        `address add ${container[6]}/64 dev eth0 nodad`,
        'route add default via 172.17.0.1',
        'route add default via fd17::1',
      ]);
      for (const [i, place] of [left, right].entries()) {
        await ip(lab, host, [
          `link add ${place.name} type veth peer name eth0 netns ${place.name}`,
          `link set ${place.name} up`,
          `address add 172.30.${i + 1}.1/24 dev ${place.name}`,
          `address add fd30:${i + 1}::1/64 dev ${place.name} nodad`,
        ]);
        await ip(lab, place.name, [
          'link set lo up',
          'link set eth0 up',
          `address add ${place[4]}/24 dev eth0`,
          `address add ${place[6]}/64 dev eth0 nodad`,
          `route add default via 172.30.${i + 1}.1`,
          `route add default via fd30:${i + 1}::1`,
        ]);
      }
      for (const { name } of [container, left, right]) await lab.answer(name);
      await lab.answer(outside.name);
      await lab.answer(host);
    }
    // two links with the same network, kept apart by routing tables
    await ip(lab, host, [
      ...['twin1', 'twin2'].flatMap((twin, i) => [
        ...(docker
          ? [`link add ${twin} type veth peer name eth0 netns ${twin}`]
          : [`link add ${twin} type veth peer name ${twin}p`]),
        `link set ${twin} up`,
        `address add 172.31.0.1/24 dev ${twin} noprefixroute`,
        `route add 172.31.0.0/24 dev ${twin} table ${100 + i}`,
      ]),
      // foreign routes: an administrator's, a routing daemon's; some inside the networks and host CIDRs, equal to none of ours
      'route add 10.77.7.0/24 via 192.168.1.254 proto 186 metric 20',
      `route add 10.${second}.99.0/24 via 192.168.1.254 proto static`,
      'route add fd10:77:7::/48 via fd00:1::fe proto 186 metric 20',
      'route add 198.51.100.0/24 via 192.168.1.254 table 200 proto bird',
      'route add unreachable 192.0.2.0/24',
      'rule add pref 1000 from 172.31.0.0/24 iif twin1 lookup 100',
      'rule add pref 1001 fwmark 0x7 lookup 200',
    ]);
    await lab.exec(host, ['ip', '-6', 'rule', 'add', 'pref', '1002', 'from', 'fd30::/16', 'lookup', '200']);
    const ruleset = [
      'table ip docker-like {',
      'set allowed { type ipv4_addr; flags interval; elements = { 172.17.0.0/16, 198.18.0.0/15 } }',
      'map ports { type inet_service : ipv4_addr; elements = { 8080 : 172.17.0.2 } }',
      'chain forward { type filter hook forward priority 0; policy accept;',
      'iifname "docker0" ip saddr @allowed counter accept',
      'oifname "docker0" ct state established,related counter accept',
      'oifname "docker0" counter drop',
      '}',
      'chain postrouting { type nat hook postrouting priority 100; policy accept;',
      'ip saddr 172.17.0.0/16 oifname != "docker0" counter masquerade',
      '}',
      '}',
      'table ip6 docker-like { chain postrouting { type nat hook postrouting priority 100; policy accept;',
      'ip6 saddr fd17::/64 oifname != "docker0" counter masquerade',
      '}',
      '}',
      'table inet filter { chain input { type filter hook input priority 10; policy accept;',
      'tcp dport 23 counter drop comment "romana is not concerned"',
      '}',
      '}',
      'table inet romantic { chain forward { type filter hook forward priority -5; policy accept;',
      '}',
      '}',
    ];
    await lab.exec(host, ['nft', '-f', '-'], { stdin: `${ruleset.join('\n')}\n` });
    await lab.exec(host, [
      'sysctl',
      '-q',
      '-w',
      'net.ipv4.conf.all.log_martians=1',
      'net.ipv4.ip_default_ttl=63',
    ]);
  }

  /**
   * Everything on a host that is not Romana's, as text. Without counters, and without what is documented as Romana's: its table, its
   * links, routes of its protocol, the gateway address. `sysctls`: forwarding was on, so that no sysctl may differ at all.
   */
  async function foreign(host: string, sysctls: boolean): Promise<Record<string, string>> {
    const of = async (...argv: string[]): Promise<string> => (await lab.exec(host, argv)).stdout;
    const ours = /\brom[0-9a-f]{10}\b|proto 82\b|169\.254\.1\.1\b/;
    const lines = (text: string): string =>
      text
        .split('\n')
        .filter((line) => !ours.test(line))
        .map((line) => line.replaceAll(/\b(expires|valid_lft|preferred_lft) \S+/g, '').trimEnd())
        .join('\n');
    const tables = (await of('nft', 'list', 'tables'))
      .split('\n')
      .filter((line) => line !== '' && line !== 'table inet romana')
      .map((line) => line.split(' ').slice(1));
    const rules: string[] = [];
    for (const [family = '', name = ''] of tables)
      rules.push(await of('nft', '-a', '-s', 'list', 'table', family, name));
    // the kernel itself lists an anycast route per address when it starts to forward IPv6
    const routes6 = lines(await of('ip', '-6', 'route', 'show', 'table', 'all'));
    return {
      nft: rules.join(''),
      rules4: await of('ip', '-4', 'rule'),
      rules6: await of('ip', '-6', 'rule'),
      routes4: lines(await of('ip', '-4', 'route', 'show', 'table', 'all')),
      routes6: sysctls
        ? routes6
        : routes6
            .split('\n')
            .filter((line) => !line.startsWith('anycast'))
            .join('\n'),
      links: lines(await of('ip', '-o', 'link')),
      addresses: lines(await of('ip', '-o', 'address')),
      bridge: await of('bridge', 'link'),
      ...(sysctls
        ? { sysctls: sysctlLines(await of('sysctl', '-a', '-r', '^net[.](ipv4|ipv6|core|netfilter)[.]')) }
        : {}),
    };
  }
  function sysctlLines(text: string): string {
    const moves = /nf_conntrack_count|\.rom[0-9a-f]{10}\.|stable_secret|random_seed|tcp_fastopen_key/;
    return text
      .split('\n')
      .filter((line) => !moves.test(line))
      .join('\n');
  }

  async function unchanged(when: string): Promise<void> {
    assert.deepEqual(await foreign('h1', true), before1, `h1 ${when}`);
    assert.deepEqual(await foreign('h2', false), before2, `h2 ${when}`);
  }

  /** The container reaches outside and its host; left and right reach each other through the host; both as before Romana. */
  async function checkOthers(when: string, agents: boolean): Promise<void> {
    const h1 = { name: 'h1', 4: hostAddress(lab, 'h1', 4), 6: hostAddress(lab, 'h1', 6) };
    await expectVerdicts(lab, when, [
      { from: container.name, to: outside, verdict: 'allow' },
      // not UDP: the responder on a host of many addresses answers from the nearest, not from the one that was asked
      { from: container.name, to: h1, verdict: 'allow', protocols: ['tcp', 'icmp'] },
      { from: left.name, to: right, verdict: 'allow' },
      { from: right.name, to: left, verdict: 'allow' },
      ...(agents
        ? [
            { from: a.name, to: b, verdict: 'allow' as const },
            { from: container.name, to: a, verdict: 'deny' as const },
          ]
        : []),
    ]);
  }

  const conversations = (): Promise<Stream[]> => {
    const side = ({ name }: { name: string }, address: string): Side => ({ namespace: name, address });
    return Promise.all(
      families.flatMap((family) =>
        [
          {
            protocol: 'tcp' as const,
            from: side(container, container[family]),
            to: side(outside, outside[family]),
          },
          { protocol: 'udp' as const, from: side(left, left[family]), to: side(right, right[family]) },
        ].map((wish, i) => Stream.begin({ ...wish, port: 20_000 + family * 10 + i })),
      ),
    );
  };

  test('N1 what others have on a host is byte-identical after the agent has started and worked', async () => {
    await unchanged('with the agent at work');
    await checkOthers('with the agent at work', true);
  });

  test('N2 nor do endpoints that come and go, a restart, kill -9 or the end of the agent change it; traffic of others loses nothing meanwhile', async () => {
    const streams = await conversations();
    await Promise.all(streams.map((stream) => stream.flows()));
    const wish = { tenant: 'acme', segment: 'db', name: 'guest', host: 'h1' };
    await place(lab, wish);
    await unchanged('with one more endpoint');
    await lab.removeEndpoint(wish);
    await settled(lab);
    await unchanged('after its removal');
    for (const host of ['h1', 'h2']) await lab.restartAgent(host);
    await unchanged('after a restart');
    for (const host of ['h1', 'h2']) await lab.killAgent(host);
    await unchanged('after kill -9');
    for (const host of ['h1', 'h2']) lab.startAgent(host);
    for (const host of ['h1', 'h2']) await lab.agentReady(host);
    await checkOthers('after all that', true);
    for (const host of ['h1', 'h2']) await lab.stopAgent(host);
    await unchanged('after the end');
    await checkOthers('without an agent', true);
    for (const host of ['h1', 'h2']) lab.startAgent(host);
    for (const host of ['h1', 'h2']) await lab.agentReady(host);
    assert.deepEqual((await Promise.all(streams.map(losses))).flat(), []);
    for (const stream of streams) stream.end();
  });

  test('N3 where forwarding was off before, foreign packets are still not forwarded; each is counted; also after restarts', async () => {
    await watch(lab, 'h2');
    await watch(lab, outside.name);
    const foreign = (): Promise<void> =>
      forge(
        lab,
        'leaf1',
        families.flatMap((family) =>
          [1, 2, 3].map((sequence) => ({
            source: family === 4 ? '198.18.5.5' : '2001:db8:5::5',
            destination: outside[family],
            protocol: 'udp' as const,
            sequence,
          })),
        ),
      );
    // the leaf sends to h2 what is for outside, as to a router
    await ip(
      lab,
      'leaf1',
      families.map((family) => `route replace ${outside[family]} via ${hostAddress(lab, 'h2', family)}`),
    );
    const check = async (when: string): Promise<void> => {
      const before = {
        others: await drop(lab, 'h2', 'others'),
        arrived: (await seen(lab, 'h2')).arrived,
        left: (await seen(lab, 'h2')).left,
        outside: (await seen(lab, outside.name)).arrived,
      };
      await foreign();
      await eventually('at h2', async () =>
        (await seen(lab, 'h2')).arrived - before.arrived >= 6 ? true : undefined,
      );
      assert.equal((await drop(lab, 'h2', 'others')) - before.others, 6, when);
      assert.equal((await seen(lab, 'h2')).left, before.left, when);
      assert.equal((await seen(lab, outside.name)).arrived, before.outside, when);
    };
    await check('at first');
    await lab.restartAgent('h2');
    await check('after a restart');
    await lab.killAgent('h2');
    await check('after kill -9');
    lab.startAgent('h2');
    await lab.agentReady('h2');
    await check('after another start');
    await ip(
      lab,
      'leaf1',
      families.map((family) => `route del ${outside[family]}`),
    );
    // endpoints of that host are forwarded all the same
    await expectVerdicts(lab, 'endpoints', [
      { from: b.name, to: a, verdict: 'allow' },
      { from: b.name, to: outside, verdict: 'allow' },
    ]);
  });

  test('N4 where forwarding was on before, nothing of others is counted as dropped', async () => {
    for (const name of ['others', 'uplink_spoofed', 'egress_denied', 'host_denied', 'spoofed'])
      assert.equal(await drop(lab, 'h1', name), 0, name);
  });
}
