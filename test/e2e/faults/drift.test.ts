/** What other programs and people do to a host's kernel is repaired within seconds, and opens nothing that a second host closes. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { linkName } from '#agent/owned.ts';
import type { Endpoint } from '#contract/model.ts';
import type { Lab } from '#lab/harness.ts';
import { inPrivateNamespaces } from '../../support/namespace.ts';
import { Recorder } from './recorder.ts';
import {
  addressOf,
  agentStatus,
  counted,
  countIn,
  drift,
  endBackground,
  eventually,
  keyOf,
  ownLinks,
  ping,
  place,
  reaches,
  romana,
  routesOf,
  settled,
  startLab,
  startStream,
  steady,
} from './support.ts';

if (inPrivateNamespaces(import.meta.url)) {
  let lab: Lab;
  // a1 and b1 talk, across hosts; g1 and g2 are of another tenant, one on each host
  let a1: Endpoint;
  let b1: Endpoint;
  before(async () => {
    lab = await startLab({ hosts: 2 });
    [a1, b1] = await Promise.all([
      lab.endpoint(place('acme', 'web', 'a1', 'h1')),
      lab.endpoint(place('acme', 'web', 'b1', 'h2')),
      lab.endpoint(place('globex', 'web', 'g1', 'h1')),
      lab.endpoint(place('globex', 'web', 'g2', 'h2')),
    ]);
    await settled(lab);
    for (const [victim, foreign] of [
      ['a1', ['g1', 'g2']],
      ['b1', ['g1', 'g2']],
    ] as const) {
      for (const name of foreign) {
        const endpoint = await lab.client.endpointShow({
          params: { tenant: 'globex', segment: 'web', name },
        });
        await countIn(lab, victim, `${name}_4`, `ip saddr ${addressOf(endpoint, 4)}`);
        await countIn(lab, victim, `${name}_6`, `ip6 saddr ${addressOf(endpoint, 6)}`);
      }
    }
  });
  after(() => {
    endBackground();
    return lab.stop();
  });

  /** Nobody waits for answers that must not come. */
  const quick = { patience: 0.3 } as const;
  const leaked = async (victim: string, foreign: string): Promise<number> =>
    (await counted(lab, victim, `${foreign}_4`)) + (await counted(lab, victim, `${foreign}_6`));
  const link = (name: string): string => linkName(keyOf(place('acme', 'web', name, '')));
  const ip = (host: string, ...words: string[]): Promise<unknown> => lab.exec(host, ['ip', ...words]);
  const nft = (host: string, ...words: string[]): Promise<unknown> => lab.exec(host, ['nft', ...words]);

  /** The kernel is as wanted again, the two endpoints reach each other, the foreign ones reach neither. */
  async function repaired(host: string): Promise<void> {
    await eventually(
      `repaired on ${host}`,
      async () => {
        assert.deepEqual(await drift(lab, host), []);
        await reaches(lab, 'a1', b1);
        await reaches(lab, 'b1', a1);
      },
      15_000,
    );
    const before = (await leaked('a1', 'g1')) + (await leaked('a1', 'g2')) + (await leaked('b1', 'g2'));
    const probes = [a1, b1].flatMap(({ addresses }) =>
      addresses.flatMap(({ address }) => [ping('g1', address), ping('g2', address)]),
    );
    const results = await lab.probe(probes.map((probe) => ({ ...probe, tries: 1, timeoutMs: 300 })));
    assert.ok(results.every(({ observed }) => observed === 'deny'));
    const now = (await leaked('a1', 'g1')) + (await leaked('a1', 'g2')) + (await leaked('b1', 'g2'));
    assert.equal(now, before, 'foreign packets arrive');
  }

  const ruleFaults: Readonly<Record<string, (host: string) => Promise<unknown>>> = {
    'nft flush ruleset': (host) => nft(host, 'flush', 'ruleset'),
    'our table deleted': (host) => nft(host, 'delete', 'table', 'inet', 'romana'),
    'our chain flushed': (host) => nft(host, 'flush', 'chain', 'inet', 'romana', 'judge'),
    'a foreign rule in our chain': (host) => nft(host, 'insert', 'rule', 'inet', 'romana', 'judge', 'accept'),
    'a foreign chain in our table': (host) =>
      lab.exec(host, ['nft', '-f', '-'], {
        stdin:
          'table inet romana { chain other { type filter hook forward priority -10; counter accept; }\n}\n',
      }),
    'a foreign identity pair': (host) =>
      nft(host, 'add', 'element', 'inet', 'romana', 'segments/v4/v4', '{ 10.0.2.16 . 10.0.1.16 }'),
  };
  for (const [i, [what, harm]] of Object.entries(ruleFaults).entries()) {
    // a flush on both; the others in turn on the host whose agent allocates and on the other one
    for (const host of i === 0 ? ['h1', 'h2'] : [i % 2 === 0 ? 'h1' : 'h2']) {
      test(`${what} on ${host}: repaired; no allowed packet is lost; the other host keeps its side closed`, async () => {
        const packets = await steady([
          ['a1', b1],
          ['b1', a1],
        ]);
        // each foreign endpoint tries the victim of the other host: two hosts must fail for one packet to pass
        const attacks = await Promise.all([
          ...b1.addresses.map(({ address }) => startStream('g1', address, quick)),
          ...a1.addresses.map(({ address }) => startStream('g2', address, quick)),
        ]);
        const before = (await leaked('b1', 'g1')) + (await leaked('a1', 'g2'));
        await harm(host);
        await repaired(host);
        assert.equal((await leaked('b1', 'g1')) + (await leaked('a1', 'g2')), before);
        for (const attack of attacks) assert.equal((await attack.stop()).answered, 0);
        await packets.stopWhole(20);
      });
    }
  }

  test('what passes between two endpoints of one host while its rules are flushed stops with the repair', async () => {
    const attacks = await Promise.all(
      b1.addresses.map(({ address }) => startStream('g2', address, { ...quick, intervalMs: 2 })),
    );
    const before = await leaked('b1', 'g2');
    const began = performance.now();
    await nft('h2', 'flush', 'ruleset');
    await eventually('the table is back', async () => assert.deepEqual(await drift(lab, 'h2'), []));
    const window = performance.now() - began;
    const after = await eventually('nothing more arrives', async () => {
      const first = await leaked('b1', 'g2');
      await lab.probe([{ ...ping('g2', addressOf(b1, 4)), tries: 1, timeoutMs: 300 }]);
      assert.equal(await leaked('b1', 'g2'), first);
      return first;
    });
    const results = await Promise.all(attacks.map((attack) => attack.stop()));
    const sent = results.reduce((sum, result) => sum + result.sent, 0);
    assert.ok(sent > 100);
    console.log(
      `# flush ruleset: ${after - before} foreign packets of about 2000 a second passed on the host itself; whole again within ${Math.round(window)} ms`,
    );
    await repaired('h2');
  });

  for (const family of [4, 6] as const) {
    test(`elements of an endpoint deleted (IPv${family}): its packets are dropped until the repair, those of others never`, async () => {
      const packets = await steady([
        ['b1', { addresses: [{ network: '', address: addressOf(a1, family === 4 ? 6 : 4) }] }],
      ]);
      const before = await agentStatus(lab, 'h1');
      await nft('h1', 'flush', 'set', 'inet', 'romana', `endpoints${family}`);
      await repaired('h1');
      await packets.stopWhole(10);
      assert.ok((await agentStatus(lab, 'h1')).writes > before.writes);
    });

    test(`elements of an endpoint deleted while the agent is dead (IPv${family}): closed until it starts`, async () => {
      await lab.killAgent('h1');
      await nft('h1', 'flush', 'set', 'inet', 'romana', `endpoints${family}`);
      const stream = await startStream('a1', addressOf(b1, family), quick);
      const [denied] = await lab.probe([{ ...ping('b1', addressOf(a1, family)), timeoutMs: 300 }]);
      assert.equal(denied?.observed, 'deny');
      assert.equal((await stream.stop()).answered, 0);
      lab.startAgent('h1');
      await lab.agentReady('h1');
      await repaired('h1');
    });
  }

  const inet = (family: 4 | 6): string => `-${family}`;
  const routeFaults: Readonly<Record<string, (family: 4 | 6) => Promise<unknown>>> = {
    'the route to an endpoint deleted': (family) =>
      ip('h1', inet(family), 'route', 'del', addressOf(a1, family)),
    'the route to another host deleted': (family) =>
      ip('h1', inet(family), 'route', 'del', family === 4 ? '10.2.0.0/16' : 'fd10:2::/32'),
    'the blackhole of the host deleted': (family) =>
      ip('h1', inet(family), 'route', 'del', 'blackhole', family === 4 ? '10.1.0.0/16' : 'fd10:1::/32'),
    'all our routes flushed': (family) => ip('h1', inet(family), 'route', 'flush', 'proto', '82'),
    'a foreign route with our protocol number': (family) =>
      ip(
        'h1',
        inet(family),
        'route',
        'add',
        family === 4 ? '10.9.0.0/16' : 'fd10:9::/32',
        'dev',
        'lo',
        'proto',
        '82',
      ),
  };
  for (const family of [4, 6] as const) {
    for (const [what, harm] of Object.entries(routeFaults)) {
      test(`${what} (IPv${family}): the routes are as they were`, async () => {
        const before = await routesOf(lab, 'h1');
        await harm(family);
        await repaired('h1');
        assert.deepEqual((await routesOf(lab, 'h1')).split('\n').sort(), before.split('\n').sort());
      });
    }

    test(`the address of the uplink removed and added again (IPv${family}): what went with it comes back`, async () => {
      const host = lab.host('h1');
      const own = family === 4 ? `${host.address4}/24` : `${host.address6}/64`;
      const gateway = family === 4 ? '192.168.1.254' : 'fd00:1::fe';
      const before = await routesOf(lab, 'h1');
      await ip('h1', 'address', 'del', own, 'dev', 'eth0');
      await ip('h1', 'address', 'add', own, 'dev', 'eth0', ...(family === 6 ? ['nodad'] : []));
      await ip('h1', inet(family), 'route', 'replace', 'default', 'via', gateway, 'dev', 'eth0', 'onlink');
      await repaired('h1');
      assert.deepEqual((await routesOf(lab, 'h1')).split('\n').sort(), before.split('\n').sort());
    });
  }

  const linkFaults: Readonly<Record<string, () => Promise<unknown>>> = {
    "the endpoint's link down and up": async () => {
      await ip('h1', 'link', 'set', link('a1'), 'down');
      await ip('h1', 'link', 'set', link('a1'), 'up');
    },
    "the endpoint's link down": () => ip('h1', 'link', 'set', link('a1'), 'down'),
    "the endpoint's link deleted": () => ip('h1', 'link', 'del', link('a1')),
    "the endpoint's end of the link deleted": () => ip('a1', 'link', 'del', 'eth0'),
    'the IPv4 gateway deleted': () => ip('h1', 'address', 'del', '169.254.1.1/32', 'dev', 'lo'),
    'the IPv6 gateway deleted': () => ip('h1', 'address', 'del', 'fe80::1/64', 'dev', link('a1')),
    'the uplink down and up': async () => {
      await ip('h1', 'link', 'set', 'eth0', 'down');
      const { address6 } = lab.host('h1');
      await ip('h1', 'link', 'set', 'eth0', 'up');
      // the kernel drops IPv6 addresses of a link that goes down; whoever configures the host puts them back
      await ip('h1', 'address', 'replace', `${address6}/64`, 'dev', 'eth0', 'nodad');
      await ip('h1', 'route', 'replace', 'default', 'via', '192.168.1.254', 'dev', 'eth0', 'onlink');
      await ip('h1', '-6', 'route', 'replace', 'default', 'via', 'fd00:1::fe', 'dev', 'eth0', 'onlink');
    },
    'forwarding switched off': () =>
      lab.exec('h1', ['sysctl', '-q', '-w', 'net.ipv4.ip_forward=0', 'net.ipv6.conf.all.forwarding=0']),
  };
  for (const [what, harm] of Object.entries(linkFaults)) {
    test(`${what}: repaired, the neighbour on the host loses nothing`, async () => {
      const neighbours = what.startsWith('the endpoint') ? await steady([['h1', await show('g1')]]) : null;
      await harm();
      await repaired('h1');
      await neighbours?.stopWhole(10);
    });
  }
  const show = (name: string): Promise<Endpoint> =>
    lab.client.endpointShow({ params: { tenant: 'globex', segment: 'web', name } });

  test('drift that cannot be repaired is shown by `romana agent status`, and goes when its cause goes', async () => {
    const status = async (): Promise<string> =>
      (await lab.exec('h1', [...romana, 'agent', 'status', '--socket', lab.agentSocket('h1')])).stdout;
    assert.match(await status(), /objects: +\d+, 0 not as desired/);
    const address = addressOf(a1, 4);
    await ip('h1', 'route', 'replace', `${address}/32`, 'dev', 'eth0', 'proto', 'static');
    await eventually('drift is shown', async () => {
      const text = await status();
      assert.match(text, /objects: +\d+, [1-9]\d* not as desired/);
      assert.match(text, new RegExp(`DRIFT +route +${address}/32`));
      assert.match(text, /problem: .*another program .*has a route/i);
    });
    await eventually('the control plane knows', async () => {
      const endpoint = await lab.client.endpointShow({
        params: { tenant: 'acme', segment: 'web', name: 'a1' },
      });
      assert.equal(endpoint.phase, 'failed');
      assert.match(endpoint.message, /another program/i);
    });
    await ip('h1', 'route', 'del', `${address}/32`, 'proto', 'static');
    await repaired('h1');
    await eventually('all is well again', async () => {
      assert.match(await status(), /objects: +\d+, 0 not as desired/);
      const endpoint = await lab.client.endpointShow({
        params: { tenant: 'acme', segment: 'web', name: 'a1' },
      });
      assert.deepEqual([endpoint.phase, endpoint.message], ['ready', '']);
      const host = (await lab.client.status()).hosts.find(({ name }) => name === 'h1');
      assert.deepEqual(host?.problems, []);
    });
  });

  test('after all that nothing is written any more, whatever unrelated things happen', async () => {
    const recorders = await Promise.all(['h1', 'h2'].map((host) => Recorder.start(lab, host)));
    const before = await Promise.all(['h1', 'h2'].map((host) => agentStatus(lab, host)));
    await ip('h1', 'link', 'add', 'foreign0', 'type', 'bridge');
    await ip('h1', 'link', 'del', 'foreign0');
    await nft('h2', 'add', 'table', 'ip', 'foreign');
    await nft('h2', 'delete', 'table', 'ip', 'foreign');
    const links = await Promise.all(['h1', 'h2'].map((host) => ownLinks(lab, host)));
    assert.deepEqual(
      links.map(({ length }) => length),
      [2, 2],
    );
    const now = await Promise.all(['h1', 'h2'].map((host) => agentStatus(lab, host)));
    assert.deepEqual(
      now.map(({ writes }) => writes),
      before.map(({ writes }) => writes),
    );
    for (const recorder of recorders) {
      const recording = await recorder.stop();
      assert.deepEqual(
        recording.rules().filter((line) => line.includes('romana')),
        [],
      );
      assert.deepEqual(recording.routes(), []);
    }
  });
}
