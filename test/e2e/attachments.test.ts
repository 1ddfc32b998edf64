/** The ways an endpoint can be wired, with real packets, both families: what works, what is refused and leaves nothing. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Attachment, Endpoint } from '#contract/model.ts';
import type { RomanaError } from '#core/errors.ts';
import type { Lab } from '#lab/harness.ts';
import { inPrivateNamespaces } from '../support/namespace.ts';
import {
  addressOf,
  agentStatus,
  configureAgent,
  drift,
  endBackground,
  eventually,
  localEndpoints,
  ownLinks,
  place,
  reaches,
  routesOf,
  settled,
  startLab,
} from './faults/support.ts';

const families = [4, 6] as const;

if (inPrivateNamespaces(import.meta.url)) {
  let lab: Lab;
  let far: Endpoint; // acme/web on h2
  before(async () => {
    lab = await startLab({ hosts: 2 });
    configureAgent(lab, 'h1', { endpointLinks: ['rom*', 'tap*'] });
    await lab.restartAgent('h1');
    far = await lab.endpoint(place('acme', 'web', 'far', 'h2'));
    await settled(lab);
  });
  after(() => {
    endBackground();
    return lab.stop();
  });

  const ip = async (namespace: string, ...argv: string[]): Promise<string> =>
    (await lab.exec(namespace, ['ip', ...argv])).stdout;
  const create = async (
    name: string,
    attachment: Attachment,
    more: Readonly<Record<string, unknown>> = {},
  ): Promise<Endpoint> =>
    (await lab.agentCall('h1', 'POST', '/v1/endpoints', {
      tenant: 'acme',
      segment: 'web',
      name,
      attachment,
      ...more,
    })) as Endpoint;
  const remove = (name: string): Promise<unknown> =>
    lab.agentCall('h1', 'DELETE', `/v1/endpoints/acme/web/${name}`);
  /** A pair as a hypervisor or another program makes it: `link` on the host, eth0 in a guest of its own. */
  async function pairMade(link: string, guest: string): Promise<void> {
    await lab.namespaces([guest]);
    await ip('h1', 'link', 'add', link, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', guest);
    await ip('h1', 'link', 'set', link, 'up');
  }
  async function bothWays(guest: string, endpoint: Endpoint): Promise<void> {
    await reaches(lab, guest, far);
    await reaches(lab, 'far', endpoint);
  }
  /** A packet of exactly this size with fragmentation forbidden. */
  async function sized(from: string, to: Endpoint, size: number): Promise<string[]> {
    const results = await lab.probe(
      families.map((family) => ({
        from,
        family,
        address: addressOf(to, family),
        protocol: family === 4 ? ('icmp' as const) : ('icmpv6' as const),
        size,
      })),
    );
    return results.map(({ observed }) => observed);
  }
  async function exactly(mtu: number, from: string, to: Endpoint): Promise<void> {
    assert.deepEqual(await sized(from, to, mtu), ['allow', 'allow'], `${mtu} bytes from ${from}`);
    assert.deepEqual(await sized(from, to, mtu + 1), ['deny', 'deny'], `${mtu + 1} bytes from ${from}`);
  }
  /** Of a name that was refused or removed nothing is left on the host. */
  async function nothingOf(name: string, ...addresses: string[]): Promise<void> {
    assert.ok(!(await localEndpoints(lab, 'h1')).some((item) => item.name === name));
    const kernel =
      (await routesOf(lab, 'h1')) +
      (await lab.exec('h1', ['nft', '-n', 'list', 'table', 'inet', 'romana'])).stdout;
    for (const address of addresses) {
      const whole = new RegExp(`(?<![0-9a-f:.])${address}(?![0-9a-f:.])`);
      assert.doesNotMatch(kernel, whole, name);
    }
    assert.deepEqual(await drift(lab, 'h1'), []);
    assert.deepEqual((await agentStatus(lab, 'h1')).problems, []);
  }

  test('veth-netns: wired with the name that was asked for, removed whole', async () => {
    await lab.namespaces(['veth1']);
    const before = await ownLinks(lab, 'h1');
    const made = await create('veth1', { kind: 'veth-netns', netns: '/run/netns/veth1', ifname: 'net7' });
    assert.match(await ip('veth1', '-brief', 'link'), /^net7@/m);
    await lab.answer('veth1');
    await bothWays('veth1', made);
    await exactly(1500, 'veth1', far);
    await remove('veth1');
    assert.doesNotMatch(await ip('veth1', '-brief', 'link'), /net7/);
    assert.deepEqual(await ownLinks(lab, 'h1'), before);
    await nothingOf('veth1', ...made.addresses.map(({ address }) => address));
  });

  test('existing-link: a guest that configures itself reaches and is reached; its link stays when the endpoint goes', async () => {
    await pairMade('tap1', 'guest1');
    const made = await create('guest1', { kind: 'existing-link', link: 'tap1' });
    const [four, six] = [addressOf(made, 4), addressOf(made, 6)];
    await ip('guest1', 'link', 'set', 'eth0', 'up');
    await ip('guest1', 'address', 'add', `${four}/32`, 'dev', 'eth0');
    await ip('guest1', 'route', 'add', '169.254.1.1', 'dev', 'eth0');
    await ip('guest1', 'route', 'add', 'default', 'via', '169.254.1.1');
    await ip('guest1', 'address', 'add', `${six}/128`, 'dev', 'eth0', 'nodad');
    await ip('guest1', 'route', 'add', 'default', 'via', 'fe80::1', 'dev', 'eth0');
    await lab.answer('guest1');
    await bothWays('guest1', made);
    await exactly(1500, 'guest1', far);
    await remove('guest1');
    assert.match(await ip('h1', '-brief', 'link'), /^tap1@/m);
    await nothingOf('guest1', four, six);
    // the link is still one of ours by its name: what nobody has registered passes nothing
    assert.deepEqual(await sized('guest1', far, 100), ['deny', 'deny']);
    await ip('h1', 'link', 'del', 'tap1');
  });

  test('existing-netns-peer: both ends of a foreign pair are configured; the pair stays when the endpoint goes', async () => {
    await pairMade('tap2', 'guest2');
    const made = await create('guest2', {
      kind: 'existing-netns-peer',
      link: 'tap2',
      netns: '/run/netns/guest2',
      ifname: 'eth0',
    });
    await lab.answer('guest2');
    await bothWays('guest2', made);
    await exactly(1500, 'guest2', far);
    await remove('guest2');
    assert.match(await ip('h1', '-brief', 'link'), /^tap2@/m);
    await nothingOf('guest2', ...made.addresses.map(({ address }) => address));
    await ip('h1', 'link', 'del', 'tap2');
  });

  test('several addresses: one of every network that was asked for, each of them reached and a valid source', async () => {
    const layout = { host: 8, tenant: 4, segment: 4, endpoint: 4 };
    await lab.client.networkCreate({ body: { name: 'second', cidr: '172.16.0.0/12', layout } });
    const second = await lab.client.networkShow({ params: { name: 'second' } });
    assert.equal(second.family, 4);
    await lab.client.hostAddId({
      params: { name: 'h1' },
      body: { network: 'second', allocator: 'agent' },
    });
    await settled(lab);
    await lab.namespaces(['many']);
    const attachment = { kind: 'veth-netns', netns: '/run/netns/many', ifname: 'eth0' } as const;
    const made = await eventually('the agent knows its new host id', () =>
      create('many', attachment, { networks: ['v4', 'second', 'v6'] }),
    );
    assert.deepEqual(made.addresses.map(({ network }) => network).sort(), ['second', 'v4', 'v6']);
    await lab.answer('many');
    await settled(lab);
    await bothWays('many', made);
    // with each of its addresses as the source
    for (const { address } of made.addresses) {
      const to = addressOf(far, address.includes(':') ? 6 : 4);
      const { stdout } = await lab.exec('many', ['ping', '-n', '-c', '3', '-W', '3', '-I', address, to], {
        okCodes: 'any',
      });
      assert.match(stdout, /, [123] received/, `from ${address}`);
    }
    await remove('many');
    await nothingOf('many', ...made.addresses.map(({ address }) => address));
  });

  test('attachments that cannot be: refused with the reason, and nothing is left', async () => {
    await lab.namespaces(['victim']);
    await ip('h1', 'link', 'add', 'br-x', 'type', 'bridge');
    await ip('h1', 'link', 'add', 'tap9', 'type', 'veth', 'peer', 'name', 'tap9p');
    await ip('h1', 'link', 'set', 'tap9', 'master', 'br-x');
    await ip('h1', 'link', 'add', 'foreign0', 'type', 'bridge');
    const before = await ownLinks(lab, 'h1');
    const wrong: readonly (readonly [Attachment, RegExp])[] = [
      [{ kind: 'veth-netns', netns: '/run/netns/nowhere', ifname: 'eth0' }, /nowhere does not exist/],
      [{ kind: 'veth-netns', netns: '/run/netns/victim', ifname: 'lo' }, /lo in .* cannot be/],
      [{ kind: 'existing-link', link: 'tap7' }, /tap7 .*does not exist/],
      [{ kind: 'existing-link', link: 'foreign0' }, /foreign0 is no endpoint link here/],
      [{ kind: 'existing-link', link: 'tap9' }, /tap9 is a port of br-x/],
      [
        {
          kind: 'existing-netns-peer',
          link: 'tap9p',
          netns: '/run/netns/victim',
          ifname: 'eth0',
        },
        /eth0|victim/,
      ],
    ];
    for (const [attachment, reason] of wrong) {
      await assert.rejects(
        () => create('wrong', attachment),
        (error: RomanaError) => {
          assert.equal(error.code, 'attachment_invalid', error.message);
          assert.match(error.message, reason);
          return true;
        },
        JSON.stringify(attachment),
      );
      assert.deepEqual(await ownLinks(lab, 'h1'), before);
      await nothingOf('wrong');
    }
    for (const link of ['tap9', 'br-x', 'foreign0']) await ip('h1', 'link', 'del', link);
  });

  test('a namespace that is deleted and made again under its name is wired again, with the same addresses', async () => {
    await lab.namespaces(['reborn']);
    const attachment = { kind: 'veth-netns', netns: '/run/netns/reborn', ifname: 'eth0' } as const;
    const made = await create('reborn', attachment);
    await reaches(lab, 'far', made);
    await lab.run(['ip', 'netns', 'delete', 'reborn']);
    await eventually('the loss is told', async () => {
      const [item] = await localEndpoints(lab, 'h1');
      assert.deepEqual([item?.name, item?.phase], ['reborn', 'failed']);
    });
    await lab.run(['ip', 'netns', 'add', 'reborn']);
    await eventually(
      'wired again',
      async () => {
        const [item] = await localEndpoints(lab, 'h1');
        assert.deepEqual([item?.phase, item?.addresses], ['ready', made.addresses]);
      },
      60_000,
    );
    await reaches(lab, 'far', made);
    await remove('reborn');
  });

  test('links are as large as the smallest uplink, also when that changes: a packet of exactly that size passes, one byte more does not', async () => {
    const near = await lab.endpoint(place('acme', 'web', 'near', 'h1'));
    const mtuOf = async (namespace: string): Promise<number> =>
      Number(/mtu (\d+)/.exec(await ip(namespace, 'link', 'show', 'eth0'))?.[1]);
    await exactly(1500, 'near', far);
    for (const mtu of [1400, 1500]) {
      await ip('h1', 'link', 'set', 'eth0', 'mtu', String(mtu));
      await eventually(`links of ${mtu} bytes`, async () => {
        assert.equal(await mtuOf('near'), mtu);
        assert.deepEqual(await drift(lab, 'h1'), []);
      });
      await exactly(mtu, 'near', far);
      await reaches(lab, 'far', near);
    }
  });
}
