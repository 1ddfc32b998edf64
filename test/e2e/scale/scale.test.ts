/** What grows with hosts, tenants and endpoints are elements and routes: never rules, and never anything on a host that is not concerned. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Endpoint } from '#contract/model.ts';
import type { Lab } from '#lab/harness.ts';
import { pooled } from '#lab/processes.ts';
import { inPrivateNamespaces } from '../../support/namespace.ts';
import { Recorder } from '../faults/recorder.ts';
import {
  agentStatus,
  createLocally,
  drift,
  endBackground,
  eventually,
  type Place,
  place,
  reaches,
  removeLocally,
  routesOf,
  settled,
  startLab,
  tableWithHandles,
} from '../faults/support.ts';

const segments = ['web', 'db', 'app', 'ops'] as const;
const hosts = ['h1', 'h2', 'h3'] as const;

if (inPrivateNamespaces(import.meta.url)) {
  let lab: Lab;
  const placed: Place[] = [];
  before(async () => {
    lab = await startLab({
      hosts: hosts.length,
      racks: 2,
      tenants: ['acme', 'globex'].map((name) => ({ name, isolation: 'segment', segments })),
    });
  });
  after(() => {
    endBackground();
    return lab.stop();
  });

  /** Endpoint number n: tenants, segments and hosts in turn. */
  const nth = (n: number): Place =>
    place(
      n % 2 === 0 ? 'acme' : 'globex',
      segments[Math.floor(n / 2) % segments.length] ?? 'web',
      `e${n}`,
      hosts[Math.floor(n / 8) % hosts.length] ?? 'h1',
    );
  async function fill(count: number): Promise<void> {
    const wishes = Array.from({ length: count - placed.length }, (_, i) => nth(placed.length + i));
    await lab.namespaces(wishes.map(({ name }) => name));
    await pooled(wishes, 8, (wish) => lab.endpoint(wish));
    placed.push(...wishes);
    await settled(lab);
  }
  /** Every rule with its chain and handle, without what packets change. */
  async function rulesOf(host: string): Promise<string[]> {
    const { stdout } = await lab.exec(host, ['nft', '-j', 'list', 'table', 'inet', 'romana']);
    const { nftables } = JSON.parse(stdout) as {
      nftables: { rule?: { chain: string; handle: number; expr: unknown } }[];
    };
    return nftables.flatMap(({ rule }) =>
      rule === undefined
        ? []
        : [
            `${rule.chain} ${rule.handle} ${JSON.stringify(rule.expr).replaceAll(/"(packets|bytes)":\d+/g, '')}`,
          ],
    );
  }

  test('rules per host are the same with 3 and with 8 hosts, with 2 and with 22 tenants, with 12 and with 200 endpoints', async () => {
    await fill(12);
    const before = await Promise.all(hosts.map((host) => lab.counts(host)));
    const rulesBefore = await Promise.all(hosts.map(rulesOf));
    assert.ok(before.every(({ rules }) => rules > 0));

    for (let n = 4; n <= 8; n++) {
      const addresses = [`192.168.1.${n + 100}`, `fd00:1::${n + 100}`];
      await lab.client.hostCreate({ body: { name: `h${n}`, addresses, group: 'rack1' } });
    }
    await eventually('routes to all hosts stand', async () => {
      const now = await lab.counts('h1');
      // one host CIDR of each family, routed by the hosts of its rack
      assert.equal(now.routes - (before[0]?.routes ?? 0), 10);
    });
    for (let n = 1; n <= 20; n++) {
      const tenant = `tenant${n}`;
      await lab.client.tenantCreate({ body: { name: tenant, isolation: n % 2 === 0 ? 'open' : 'tenant' } });
      await lab.client.segmentCreate({ params: { tenant }, body: { name: 'web' } });
    }
    await fill(200);

    for (const [i, host] of hosts.entries()) {
      const now = await lab.counts(host);
      assert.equal(now.rules, before[i]?.rules, `rules of ${host}`);
      assert.ok(now.elements > (before[i]?.elements ?? 0) + 60, `elements of ${host}: ${now.elements}`);
      // not one of them was written anew either
      assert.deepEqual(await rulesOf(host), rulesBefore[i], host);
      assert.deepEqual(await drift(lab, host), []);
    }
    const [first, second] = await Promise.all(
      [nth(0), nth(192)].map(({ tenant, segment, name }) =>
        lab.client.endpointShow({ params: { tenant, segment, name } }),
      ),
    );
    assert.ok(first !== undefined && second !== undefined);
    assert.deepEqual([first.tenant, first.segment], [second.tenant, second.segment]);
    await reaches(lab, first.name, second);
    await reaches(lab, second.name, first);
  });

  /** What a namespace without Romana or on another host must not see change. */
  async function quiet(churned: string, work: () => Promise<void>): Promise<void> {
    const others = hosts.filter((host) => host !== churned);
    const switches = ['leaf1', 'leaf2', 'spine'];
    const dump = async (): Promise<unknown> => ({
      tables: await Promise.all(others.map((host) => tableWithHandles(lab, host))),
      routes: await Promise.all([...others, ...switches].map((name) => routesOf(lab, name))),
      writes: await Promise.all(others.map(async (host) => (await agentStatus(lab, host)).writes)),
    });
    const before = await dump();
    const own = (await agentStatus(lab, churned)).writes;
    const recorders = await Promise.all(
      [...others, ...switches].map(async (name) => ({ name, recorder: await Recorder.start(lab, name) })),
    );
    await work();
    await settled(lab);
    assert.ok((await agentStatus(lab, churned)).writes > own, 'the host itself writes');
    for (const { name, recorder } of recorders) {
      const recording = await recorder.stop();
      const links = recording.links().filter((line) => !/NEIGH/.test(line));
      assert.deepEqual([...recording.rules(), ...recording.routes(), ...links], [], name);
    }
    assert.deepEqual(await dump(), before);
  }

  const guests = Array.from({ length: 16 }, (_, i) => `guest${i}`);
  const guest = (name: string, host: string): Place =>
    place('acme', segments[Number(name.slice(5)) % segments.length] ?? 'web', name, host);

  test("endpoints that come and go through the agent's socket: zero rule, route and link writes on all other hosts and switches", async () => {
    await lab.namespaces(guests);
    await quiet('h1', async () => {
      await pooled(guests, 4, async (name) => {
        await createLocally(lab, guest(name, 'h1'));
        await removeLocally(lab, guest(name, 'h1'));
      });
    });
    assert.deepEqual(await drift(lab, 'h1'), []);
  });

  test('endpoints that come and go through the API: zero rule, route and link writes on all other hosts and switches', async () => {
    await quiet('h2', async () => {
      await pooled(guests, 4, async (name) => {
        const { tenant, segment } = guest(name, 'h2');
        const attachment = { kind: 'veth-netns', netns: `/run/netns/${name}` } as const;
        await lab.client.endpointCreate({
          params: { tenant, segment },
          body: { name, host: 'h2', attachment },
        });
        await eventually('ready', async () => {
          const { phase }: Endpoint = await lab.client.endpointShow({ params: { tenant, segment, name } });
          assert.equal(phase, 'ready');
        });
        await lab.client.endpointDelete({ params: { tenant, segment, name } });
      });
      await eventually('all gone', async () => {
        const { items } = await lab.client.endpointList({ query: { host: 'h2' } });
        assert.deepEqual(
          items.filter(({ name }) => name.startsWith('guest')),
          [],
        );
      });
    });
    await eventually('nothing left', async () => assert.deepEqual(await drift(lab, 'h2'), []));
  });
}
