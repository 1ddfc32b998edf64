/** The lab's switches, routes and probes without Romana: static wiring stands in for the agents. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { createRunner } from '#agent/exec.ts';
import { addNamespaces, applyPlan, buildUnderlay, netnsPath, runIn } from '#lab/network.ts';
import { planLab } from '#lab/plan.ts';
import { Prober } from '#lab/probe.ts';
import { underlay } from '#lab/underlay.ts';
import { inPrivateNamespaces } from '../support/namespace.ts';

const run = createRunner();
const plan = planLab({ hosts: 3, racks: 2 });
const endpoints = plan.hosts.map((host, i) => ({
  name: `e${i + 1}`,
  host,
  address4: `10.${i + 1}.1.27`,
  address6: `fd10:${i + 1}:1:1::b`,
}));

async function wire({ name, host, address4, address6 }: (typeof endpoints)[number]): Promise<void> {
  await addNamespaces(run, [name]);
  await run([
    'ip',
    'link',
    'add',
    name,
    'netns',
    host.name,
    'type',
    'veth',
    'peer',
    'name',
    'eth0',
    'netns',
    name,
  ]);
  await applyPlan(run, {
    name: host.name,
    sysctls: ['net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1'],
    lines: [
      `link set ${name} up`,
      'address replace 169.254.1.1/32 dev lo scope link',
      `address add fe80::1/64 dev ${name} nodad`,
      `route add ${address4} dev ${name} src ${host.address4}`,
      `route add ${address6} dev ${name} src ${host.address6}`,
    ],
  });
  await applyPlan(run, {
    name,
    sysctls: [],
    lines: [
      'link set lo up',
      'link set eth0 up',
      `address add ${address4}/32 dev eth0`,
      `address add ${address6}/128 dev eth0 nodad`,
      'route add 169.254.1.1 dev eth0 scope link',
      'route add default via 169.254.1.1',
      'route add default via fe80::1 dev eth0',
    ],
  });
}

if (inPrivateNamespaces(import.meta.url)) {
  let prober: Prober;
  before(async () => {
    await buildUnderlay(run, underlay(plan));
    // host 3 stands in rack 2 with addresses of rack 2
    const third = endpoints[2];
    assert.ok(third);
    Object.assign(third, { address4: '10.129.1.27', address6: 'fd10:8001:1:1::b' });
    const routes = {
      leaf1: [
        '10.1.0.0/16 via 192.168.1.1',
        '10.2.0.0/16 via 192.168.1.2',
        'fd10:1::/32 via fd00:1::1',
        'fd10:2::/32 via fd00:1::2',
        'blackhole 10.0.0.0/9',
        'blackhole fd10::/17',
      ],
      leaf2: [
        '10.129.0.0/16 via 192.168.2.1',
        'fd10:8001::/32 via fd00:2::1',
        'blackhole 10.128.0.0/9',
        'blackhole fd10:8000::/17',
      ],
      spine: [
        '10.0.0.0/9 via 192.168.101.2',
        '10.128.0.0/9 via 192.168.102.2',
        'fd10::/17 via fd00:101::2',
        'fd10:8000::/17 via fd00:102::2',
      ],
    };
    for (const [name, lines] of Object.entries(routes))
      await applyPlan(run, { name, sysctls: [], lines: lines.map((line) => `route add ${line}`) });
    for (const endpoint of endpoints) await wire(endpoint);
    prober = new Prober();
    for (const { name } of endpoints) await prober.listen(netnsPath(name));
  });
  after(() => prober.close());

  const pairs = (): { netns: string; address4: string; address6: string }[] =>
    endpoints.flatMap((from) =>
      endpoints.filter((to) => to !== from).map((to) => ({ ...to, netns: netnsPath(from.name) })),
    );

  test('every endpoint reaches every other by TCP, UDP and ICMP in both families over plain routes', async () => {
    const requests = pairs().flatMap(({ netns, address4, address6 }) => [
      ...(['tcp', 'udp', 'icmp'] as const).map((protocol) => ({
        netns,
        family: 4 as const,
        protocol,
        address: address4,
      })),
      ...(['tcp', 'udp', 'icmpv6'] as const).map((protocol) => ({
        netns,
        family: 6 as const,
        protocol,
        address: address6,
      })),
    ]);
    const results = await prober.probe(requests);
    const wrong = results.flatMap((result, i) =>
      result.observed === 'allow' ? [] : [{ ...requests[i], ...result }],
    );
    assert.deepEqual(wrong, []);
    assert.equal(results.length, 36);
  });

  test('the control plane reaches hosts of every rack in both families', async () => {
    for (const host of plan.hosts) {
      await run(['ping', '-n', '-c', '1', '-W', '2', host.address4]);
      await run(['ping', '-n', '-c', '1', '-W', '2', host.address6]);
    }
  });

  test('what a filter drops or refuses is deny, and only that', async () => {
    const inHost = runIn(run, 'h3');
    await inHost(['nft', '-f', '-'], {
      stdin: [
        'table inet lab {',
        'chain f {',
        'type filter hook forward priority 0',
        'ip daddr 10.129.1.27 tcp dport 7777 counter drop',
        'ip daddr 10.129.1.27 udp dport 7777 counter reject',
        'ip6 daddr fd10:8001:1:1::b icmpv6 type echo-request counter drop',
        '}',
        '}',
        '',
      ].join('\n'),
    });
    const netns = netnsPath('e1');
    const to4 = { netns, family: 4, address: '10.129.1.27', timeoutMs: 200 } as const;
    const to6 = { netns, family: 6, address: 'fd10:8001:1:1::b', timeoutMs: 200 } as const;
    const results = await prober.probe([
      { ...to4, protocol: 'tcp' },
      { ...to4, protocol: 'udp' },
      { ...to4, protocol: 'icmp' },
      { ...to6, protocol: 'tcp' },
      { ...to6, protocol: 'udp' },
      { ...to6, protocol: 'icmpv6' },
    ]);
    assert.deepEqual(
      results.map((result) => result.observed),
      ['deny', 'deny', 'allow', 'allow', 'allow', 'deny'],
    );
    const listed = await inHost(['nft', 'list', 'table', 'inet', 'lab']);
    assert.doesNotMatch(listed.stdout, /packets 0 /, 'each rule has met its packets');
    await inHost(['nft', 'delete', 'table', 'inet', 'lab']);
  });

  test('a port without an answer, an address of nobody and a namespace of nobody', async () => {
    const from = { netns: netnsPath('e1'), family: 4, timeoutMs: 200, tries: 1 } as const;
    const results = await prober.probe([
      { ...from, protocol: 'tcp', address: '10.2.1.27', port: 9 },
      { ...from, protocol: 'udp', address: '10.2.1.27', port: 9 },
      { ...from, protocol: 'icmp', address: '10.200.1.27' },
      { ...from, protocol: 'tcp', address: '10.77.1.27' },
    ]);
    assert.deepEqual(new Set(results.map((result) => result.observed)), new Set(['deny']));
    const nobody = { netns: netnsPath('none'), family: 4, protocol: 'tcp', address: '10.2.1.27' } as const;
    await assert.rejects(prober.probe([nobody]), /No such file/);
    await assert.rejects(prober.listen(netnsPath('none')), /No such file/);
  });

  test('a packet of the full MTU crosses racks unfragmented and one byte more is refused, both families', async () => {
    const netns = netnsPath('e1');
    const four = { netns, family: 4, protocol: 'icmp', address: '10.129.1.27' } as const;
    const six = { netns, family: 6, protocol: 'icmpv6', address: 'fd10:8001:1:1::b' } as const;
    const observed = async (mtu: number): Promise<string[]> => {
      const requests = [four, six].flatMap((to) => [mtu, mtu + 1].map((size) => ({ ...to, size })));
      return (await prober.probe(requests)).map((result) => result.observed);
    };
    assert.deepEqual(await observed(1500), ['allow', 'deny', 'allow', 'deny']);
    // a smaller link in the middle is noticed
    await run(['ip', '-n', 'spine', 'link', 'set', 'leaf2', 'mtu', '1400']);
    assert.deepEqual(await observed(1500), ['deny', 'deny', 'deny', 'deny']);
  });

  test('after release the namespace holds no socket of the helper', async () => {
    await prober.release(netnsPath('e2'));
    const { stdout } = await runIn(run, 'e2')(['ss', '-Hlntuw']);
    assert.equal(stdout.trim(), '');
  });
}
