/**
 * The worked example, to the bit: 8 bits host, 8 bits tenant, 4 bits segment, 4 bits endpoint. Host 1 is 10.1.0.0/16, tenant 1 segment
 * 1 on it 10.1.1.16/28, endpoint 11 in it 10.1.1.27; on host 2 the same is 10.2.1.27. The IPv6 network of the lab says the same.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { Endpoint } from '#contract/model.ts';
import type { Lab } from '#lab/harness.ts';
import { inPrivateNamespaces } from '../support/namespace.ts';
import {
  agentStatus,
  drift,
  endBackground,
  eventually,
  ping,
  reaches,
  romana,
  routesOf,
  settled,
  startLab,
} from './faults/support.ts';

const expected = {
  h1: ['10.1.1.27', 'fd10:1:1:1::b'],
  h2: ['10.2.1.27', 'fd10:2:1:1::b'],
} as const;

if (inPrivateNamespaces(import.meta.url)) {
  let lab: Lab;
  before(async () => {
    lab = await startLab({ hosts: 2 });
    await lab.namespaces(['vm1', 'vm2']);
    for (const name of ['vm1', 'vm2']) await lab.answer(name);
  });
  after(() => {
    endBackground();
    return lab.stop();
  });

  const cli = async (...argv: string[]): Promise<string> =>
    (await lab.exec('control', [...romana, ...argv, '--config', join(lab.stateDir, 'server', 'client.yaml')]))
      .stdout;
  /** By the agent's socket, on the host itself. */
  const agentCli = async (...argv: string[]): Promise<string> =>
    (await lab.exec('h1', [...romana, 'agent', ...argv, '--socket', lab.agentSocket('h1')])).stdout;
  const addresses = (endpoint: Endpoint): string[] => endpoint.addresses.map(({ address }) => address).sort();
  const netns = (name: string): string => `/run/netns/${name}`;

  test('host 1: `romana agent endpoint create … --endpoint-id 11` gives 10.1.1.27 and its IPv6 twin', async () => {
    const text = await agentCli(
      'endpoint',
      'create',
      'acme/web/vm1',
      '--endpoint-id',
      '11',
      '--netns',
      netns('vm1'),
      '-o',
      'json',
    );
    const made = JSON.parse(text) as Endpoint;
    assert.deepEqual(addresses(made), [...expected.h1]);
    assert.equal(made.phase, 'ready');
    const known = await eventually('registered', () =>
      lab.client.endpointShow({ params: { tenant: 'acme', segment: 'web', name: 'vm1' } }),
    );
    assert.deepEqual(addresses(known), [...expected.h1]);
  });

  test('host 2: the API gives 10.2.1.27 and its IPv6 twin', async () => {
    const made = await lab.client.endpointCreate({
      params: { tenant: 'acme', segment: 'web' },
      body: {
        name: 'vm2',
        host: 'h2',
        endpointId: 11,
        attachment: { kind: 'veth-netns', netns: netns('vm2'), ifname: 'eth0' },
      },
    });
    assert.deepEqual(addresses(made), [...expected.h2]);
    await eventually('ready', async () => {
      const { phase } = await lab.client.endpointShow({
        params: { tenant: 'acme', segment: 'web', name: 'vm2' },
      });
      assert.equal(phase, 'ready');
    });
  });

  const both = async (): Promise<void> => {
    await settled(lab);
    await reaches(lab, 'vm1', {
      addresses: expected.h2.map((address) => ({ network: address.includes(':') ? 'v6' : 'v4', address })),
    });
    await reaches(lab, 'vm2', {
      addresses: expected.h1.map((address) => ({ network: address.includes(':') ? 'v6' : 'v4', address })),
    });
  };

  test('they ping each other; an address of the block that nobody has answers nothing', async () => {
    await both();
    const silent = await lab.probe(['10.2.1.28', 'fd10:2:1:1::c'].map((address) => ping('vm1', address)));
    assert.deepEqual(
      silent.map(({ observed }) => observed),
      ['deny', 'deny'],
    );
  });

  test('the same endpoint made by `romana endpoint create`, when its ids are free again', async () => {
    await cli('endpoint', 'delete', 'acme/web/vm2');
    const text = await eventually('the id is free again', () =>
      cli(
        'endpoint',
        'create',
        'acme/web/vm2',
        '--host',
        'h2',
        '--endpoint-id',
        '11',
        '--netns',
        netns('vm2'),
        '-o',
        'json',
      ),
    );
    assert.deepEqual(addresses(JSON.parse(text) as Endpoint), [...expected.h2]);
    await eventually('ready', async () => {
      assert.match(await cli('endpoint', 'show', 'acme/web/vm2'), /phase: +ready/);
    });
    await both();
  });

  test('one route per host and family leads to all of it, whatever is on it', async () => {
    const routes = await routesOf(lab, 'h2');
    const h1 = lab.host('h1');
    assert.match(routes, new RegExp(`^10\\.1\\.0\\.0/16 via ${h1.address4} .*proto 82`, 'm'));
    assert.match(routes, new RegExp(`^fd10:1::/32 via ${h1.address6} .*proto 82`, 'm'));
    assert.match(routes, /^10\.2\.1\.27 dev rom[0-9a-f]{10} .*proto 82/m);
    assert.match(routes, /^fd10:2:1:1::b dev rom[0-9a-f]{10} .*proto 82/m);
    assert.match(routes, /^blackhole 10\.2\.0\.0\/16 .*proto 82/m);
    for (const host of ['h1', 'h2']) {
      assert.deepEqual(await drift(lab, host), []);
      assert.deepEqual((await agentStatus(lab, host)).problems, []);
    }
  });

  test('`romana address decode` and `encode` take it apart and put it together, by ids and by names', async () => {
    const decode = async (...argv: string[]): Promise<Record<string, unknown>> =>
      JSON.parse(await cli('address', 'decode', ...argv, '-o', 'json')) as Record<string, unknown>;
    const ids = { tenant: 1, segment: 1, endpoint: 11 };
    for (const [n, host] of [
      [1, 'h1'],
      [2, 'h2'],
    ] as const) {
      const [four, six] = expected[host];
      const name = `acme/web/vm${n}`;
      const answer4 = await decode(four);
      assert.deepEqual(answer4['ids'], { host: n, ...ids });
      assert.deepEqual([answer4['hostCidr'], answer4['block']], [`10.${n}.0.0/16`, `10.${n}.1.16/28`]);
      assert.deepEqual([answer4['host'], answer4['tenant'], answer4['segment']], [host, 'acme', 'web']);
      assert.match(JSON.stringify(answer4['endpoint']), new RegExp(name.split('/')[2] ?? ''));
      const answer6 = await decode(six);
      assert.deepEqual(answer6['ids'], { host: n, ...ids });
      assert.deepEqual([answer6['hostCidr'], answer6['block']], [`fd10:${n}::/32`, `fd10:${n}:1:1::/64`]);
      const encode = await cli(
        'address',
        'encode',
        '--network',
        'v4',
        '--host',
        host,
        '--tenant',
        'acme',
        '--segment',
        'web',
        '--endpoint',
        '11',
        '-q',
      );
      assert.equal(encode.trim(), four);
    }
  });
}
