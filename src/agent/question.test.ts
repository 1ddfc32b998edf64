/** The agent's own way to make endpoints: the same question has the same answer, whatever changed in between. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type * as m from '#contract/model.ts';
import { parseAddress } from '#core/address/index.ts';
import type { Log } from '#core/ports.ts';
import { LocalAllocator } from './allocator.ts';
import { ipamNetwork, type LocalEndpointInput, LocalEndpoints } from './endpoints.ts';
import { FakeFs } from './journal/fake-fs.ts';
import { adoptedQuestion } from './question.ts';
import { View } from './view.ts';

const log: Log = { debug() {}, info() {}, warn() {}, error() {} };
const stored = { uid: '', revision: 1, createdAt: '' };
const four = (name: string, cidr: string, tenants: string[] = []): m.LaidOut => ({
  name,
  cidr,
  family: 4,
  layout: { host: 8, tenant: 4, segment: 4, endpoint: 4 },
  infrastructure: 'deny',
  reserved: [],
  quarantineSeconds: 30,
  tenants,
  ...stored,
});
const six = (name: string, cidr: string, tenants: string[] = []): m.LaidOut => ({
  ...four(name, cidr, tenants),
  family: 6,
  layout: { host: 16, tenant: 16, segment: 16, endpoint: 64 },
});

for (const [family, early, later, address] of [
  [4, four('early', '10.16.0.0/12'), four('later', '10.0.0.0/12', ['acme']), '10.16.17.17'],
  [6, six('early', 'fd20::/16'), six('later', 'fd10::/16', ['acme']), 'fd20:1:1:1::1'],
] as const) {
  describe(`IPv${family}`, async () => {
    /** An agent on one host with the given networks, which may become others. */
    async function agent(networks: readonly m.LaidOut[]) {
      let uuids = 0;
      const allocator = await LocalAllocator.open({
        dir: 'dir',
        networks: networks.map(ipamNetwork),
        clock: { now: () => 1_000_000, monotonic: () => 500 },
        random: { bytes: (n) => new Uint8Array(n), uuid: () => `uuid-${++uuids}`, fraction: () => 0 },
        log,
        fs: new FakeFs(),
      });
      let view = knowing(networks);
      const endpoints = new LocalEndpoints({
        host: 'h1',
        allocator: () => allocator,
        view: () => view.state!,
        reconcile: () => Promise.resolve(null),
        last: () => null,
        now: () => '2026-01-01T00:00:00.000Z',
        growth: () => Promise.resolve(false),
      });
      return {
        allocator,
        ask: (more: Partial<LocalEndpointInput> = {}) =>
          endpoints.create({
            tenant: 'acme',
            segment: 'web',
            name: 'a',
            attachment: { kind: 'none' },
            sourcePrefixes: [],
            ...more,
          }),
        become: (next: readonly m.LaidOut[], state?: m.Host['state']): void => {
          for (const one of next) allocator.setNetwork(ipamNetwork(one));
          view = knowing(next, state);
        },
      };
    }

    function knowing(networks: readonly m.LaidOut[], state?: m.Host['state']): View {
      const view = new View();
      view.take({ type: 'snapshot' });
      const put = (kind: string, key: string, value: unknown) =>
        view.take({ type: 'object', kind, key, value } as Parameters<View['take']>[0]);
      for (const one of networks) put('network', one.name, one);
      const ids = networks.map(({ name, cidr }) => ({ network: name, id: 1, allocator: 'agent', cidr }));
      const host = { name: 'h1', addresses: [], group: null, labels: {}, ids, joined: true, ...stored };
      put('host', 'h1', state === undefined ? host : { ...host, state });
      const numbers = networks.map(({ name }) => ({ network: name, id: 1 }));
      put('tenant', 'acme', { name: 'acme', isolation: 'segment', ids: numbers, ...stored });
      put('segment', 'acme/web', { tenant: 'acme', name: 'web', ids: numbers, ...stored });
      view.take({ type: 'synced', position: { incarnation: 'x', revision: 1 } });
      return view;
    }

    const texts = ({ addresses }: m.Endpoint): string[] => addresses.map((one) => one.address);

    test('a network that is opened between two equal requests changes nothing for the endpoint; new ones take it', async () => {
      const { ask, become } = await agent([early]);
      const first = await ask();
      assert.deepEqual(texts(first), [address]);
      become([later, early]);
      assert.deepEqual(await ask(), first);
      const [other] = (await ask({ name: 'b' })).addresses;
      assert.equal(other?.network, 'later', 'now the default');
    });

    test('a network that was closed, and a host that leaves, refuse new endpoints and answer for those that are there', async () => {
      const { ask, become } = await agent([early]);
      const first = await ask();
      become([{ ...early, tenants: ['globex'] }]);
      assert.deepEqual(await ask(), first);
      await assert.rejects(ask({ name: 'b' }), { code: 'network_closed' });
      become([early], 'draining');
      assert.deepEqual(await ask(), first);
      await assert.rejects(ask({ name: 'b' }), { code: 'host_leaving' });
    });

    test('whatever else is asked for under the name is a conflict that says what differs, and takes nothing', async () => {
      const { ask, allocator } = await agent([early]);
      const first = await ask({ addresses: [address] });
      assert.deepEqual(
        await ask({ addresses: [address.replace('::1', ':0::1')] }),
        first,
        'another spelling',
      );
      const others: [string, Partial<LocalEndpointInput>][] = [
        ['networks', { addresses: [address], networks: ['early'] }],
        ['addresses', {}],
        ['endpointId', { addresses: [address], endpointId: 1 }],
        ['attachment', { addresses: [address], attachment: { kind: 'existing', link: 'tap0' } as never }],
        ['sourcePrefixes', { addresses: [address], sourcePrefixes: ['203.0.113.0/24'] }],
      ];
      for (const [field, other] of others)
        await assert.rejects(ask(other), (error: unknown) => {
          assert.equal((error as { code: string }).code, 'conflict');
          return (error as { details: { fields: string[] } }).details.fields.join() === field;
        });
      assert.equal(allocator.list().length, 1);
    });

    test('one that was taken over from the records answers every question that its addresses answer', async () => {
      const { ask, allocator, become } = await agent([early]);
      const wiring = { attachment: { kind: 'none' } as const, sourcePrefixes: [] };
      await allocator.rebuild([
        {
          key: 'acme/web/a',
          uid: 'recorded',
          question: adoptedQuestion(wiring),
          addresses: [{ network: 'early', address: parseAddress(address) }],
          payload: { ...wiring, createdAt: '2026-01-01T00:00:00.000Z' },
        },
      ]);
      become([later, early]);
      for (const wish of [{}, { networks: ['early'] }, { addresses: [address] }, { endpointId: 1 }])
        assert.equal((await ask(wish)).uid, 'recorded');
      const unlike = `${address.slice(0, -1)}9`;
      for (const wish of [{ networks: ['later'] }, { addresses: [unlike] }, { endpointId: 2 }])
        await assert.rejects(ask(wish), { code: 'conflict' });
    });
  });
}
