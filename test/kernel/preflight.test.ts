/** The collector of the preflight on a real kernel: what it reads, and that it leaves nothing behind. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createRunner } from '#agent/exec.ts';
import { kernelFiles } from '#agent/files.ts';
import { type PreflightFacts, preflight } from '#agent/preflight.ts';
import { collectPreflight } from '#agent/preflight-collect.ts';
import { formatCidr, parseAddress, parseCidr } from '#core/address/index.ts';
import { addAddresses, here, inPrivateNamespaces, makeNetns, setSysctl, veth } from '../support/namespace.ts';

const run = createRunner();
const subject = {
  networks: [{ name: 'net4', cidr: parseCidr('10.0.0.0/8') }],
  nodeAddresses: [parseAddress('192.168.0.1')],
  now: Date.UTC(2026, 0, 1),
};
const collect = (): Promise<PreflightFacts> => collectPreflight(run, kernelFiles, subject);
const nft = (stdin: string): Promise<unknown> => run(['nft', '-f', '-'], { stdin });
const codes = (facts: PreflightFacts): string[] => preflight(facts).map(({ code }) => code);

if (inPrivateNamespaces(import.meta.url)) {
  test('a sound host passes, and the collector changes nothing', async () => {
    await veth(here, 'up0', await makeNetns('upstream'), 'd0');
    await addAddresses(here, 'up0', '192.168.0.1/24', 'fd99::1/64');
    const facts = await collect();
    assert.deepEqual(codes(facts), []);
    assert.equal(facts.tableProblem, null);
    assert.ok(facts.netAdmin);
    assert.ok(facts.programs.every(({ version }) => /^\d+\./.test(version ?? '')));
    assert.equal((await run(['nft', 'list', 'ruleset'])).stdout, '');
  });

  test('a table of our name is ours by its marker chain alone', async () => {
    await nft('add table inet romana\n');
    assert.deepEqual(codes(await collect()), ['table_foreign']);
    await nft('add chain inet romana romana_v1\n');
    assert.equal((await collect()).table, 'ours');
    await nft('add chain inet romana forward { type filter hook forward priority 0; policy drop; }\n');
    assert.deepEqual((await collect()).dropChains, []);
    await nft('delete table inet romana\n');
  });

  test('chains of others that drop forwarded packets are seen, and only those', async () => {
    await nft(`table ip filter { chain FORWARD { type filter hook forward priority 0; policy drop; }
      chain INPUT { type filter hook input priority 0; policy drop; }
      }
      table ip6 filter { chain FORWARD { type filter hook forward priority 0; policy accept; }
      }\n`);
    const facts = await collect();
    assert.deepEqual(facts.dropChains, ['ip filter FORWARD']);
    assert.deepEqual(codes(facts), ['forward_dropped']);
    await nft('delete table ip filter\ndelete table ip6 filter\n');
  });

  test('routes of others, own addresses and sysctls are seen', async () => {
    await run(['ip', 'route', 'add', '10.7.0.0/16', 'via', '192.168.0.9', 'proto', 'static']);
    await run(['ip', 'route', 'add', '10.8.0.0/16', 'via', '192.168.0.9', 'proto', '82']);
    await run(['ip', 'route', 'add', 'blackhole', '10.9.0.0/16']);
    await setSysctl(here, 'net/ipv4/conf/all/arp_ignore', 1);
    await setSysctl(here, 'net/ipv4/conf/all/rp_filter', 1);
    await run(['ip', 'route', 'add', 'default', 'dev', 'up0', 'proto', 'ra', 'metric', '9']);
    await run(['ip', '-6', 'route', 'add', 'default', 'dev', 'up0', 'proto', 'ra']);
    const facts = await collectPreflight(run, kernelFiles, {
      ...subject,
      networks: [...subject.networks, { name: 'net6', cidr: parseCidr('fd99::/16') }],
      nodeAddresses: [parseAddress('192.168.0.5')],
    });
    assert.ok(
      facts.routes.some(({ cidr, protocol }) => formatCidr(cidr) === '10.7.0.0/16' && protocol === 'static'),
    );
    assert.deepEqual(codes(facts).sort(), [
      'arp_ignored',
      'network_contains_host',
      'network_overlaps_route',
      'node_address_missing',
      'router_advertisement',
      'rp_filter_strict',
    ]);
  });

  test('without a program the finding names the package, and the rest is judged all the same', async () => {
    const without =
      (missing: string): typeof run =>
      (argv, options) =>
        argv[0] === missing ? run([`no-${missing}`], options) : run(argv, options);
    for (const [program, debianPackage] of [
      ['ip', 'iproute2'],
      ['nft', 'nftables'],
      ['conntrack', 'conntrack'],
    ] as const) {
      const findings = preflight(await collectPreflight(without(program), kernelFiles, subject));
      const missing = findings.filter(({ code }) => code === 'program_missing');
      assert.equal(missing.length, 1);
      assert.match(missing[0]?.remedy ?? '', new RegExp(debianPackage));
    }
  });
}
