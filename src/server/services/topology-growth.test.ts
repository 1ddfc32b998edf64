/** Growth in topology files: host ids that hosts reserve because they, or a group around them, say so. */
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import * as fc from 'fast-check';
import { isRomanaError, RomanaError } from '#core/errors.ts';
import { demandTopology, hostIdsOf } from '#core/plan/topology/index.ts';
import { refusedWith } from '#store/conformance.ts';
import { admin, type World, world } from '../testing.ts';
import { host, network } from './fixtures.ts';

const worlds: World[] = [];
afterEach(() => {
  for (const w of worlds.splice(0)) w.dispose();
});
function fresh(): World {
  const w = world();
  worlds.push(w);
  return w;
}

const none = { params: {}, query: {}, body: undefined };
type Document = Record<string, Record<string, unknown>[]>;
const apply = (w: World, body: Document) => w.services.topologyApply(admin, { params: {}, query: {}, body });
const changes = async (w: World, body: Document) =>
  (await w.services.topologyDiff(admin, { params: {}, query: {}, body })).changes;
const exported = async (w: World): Promise<Document> =>
  JSON.parse(JSON.stringify(await w.services.topologyExport(admin, none))) as Document;
const shown = async (w: World, name: string) => {
  const { ids, reservations = [] } = await w.services.hostShow(admin, {
    params: { name },
    query: {},
    body: undefined,
  });
  return {
    // One that waits for routes is its id as well.
    ids: new Map([
      ...ids.map(({ network: of, id }) => [of, id] as const),
      ...reservations.flatMap(({ network: of, pending }) =>
        pending === null ? [] : [[of, pending.id] as const],
      ),
    ]),
    reserved: reservations.map(({ network: of, first, size }) => `${of} ${first}+${size}`).sort(),
  };
};

const networks = [
  { name: 'v4', cidr: '10.0.0.0/8', layout: '8/8/4/4' },
  { name: 'v6', cidr: 'fd10::/16', layout: '16/16/16/64' },
];
const file: Document = {
  networks,
  topologies: [
    {
      map: [
        { name: 'small', assignment: { rack: '0' } },
        {
          name: 'zone',
          growth: 3,
          groups: [
            {
              name: 'r1',
              assignment: { rack: '1' },
              hosts: [
                { name: 'h1', ip: '192.0.2.1' },
                { name: 'h2', ip: '192.0.2.2', growth: 16 },
                { name: 'h3', ip: '192.0.2.3', growth: 1 },
              ],
            },
            { name: 'r2', assignment: { rack: '2' }, growth: 8 },
          ],
        },
      ],
    },
  ],
  hosts: [{ name: 'h4', ip: '192.0.2.4', labels: { rack: '2' } }],
};

test('a host reserves what it states, else what the nearest group around it states, in both families, however it came there', async () => {
  const w = fresh();
  await apply(w, file);
  assert.deepEqual((await shown(w, 'h1')).reserved, ['v4 128+4', 'v6 32768+4']);
  assert.deepEqual((await shown(w, 'h2')).reserved, ['v4 160+16', 'v6 32800+16']);
  assert.match((await shown(w, 'h3')).reserved.join(), /^v4 \d+\+1,v6 \d+\+1$/);
  assert.deepEqual((await shown(w, 'h4')).reserved, ['v4 192+8', 'v6 49152+8'], 'placed by labels');
  await host(w.services, 'h5', { group: 'zone/r2' });
  await host(w.services, 'h6', { group: 'zone/r2', growth: 2 });
  await host(w.services, 'h7', { group: 'small' });
  assert.deepEqual((await shown(w, 'h5')).reserved, ['v4 208+8', 'v6 49168+8']);
  assert.match((await shown(w, 'h6')).reserved.join(), /\+2,.*\+2$/);
  assert.match((await shown(w, 'h7')).reserved.join(), /\+1,.*\+1$/);
  // A network that comes later.
  await network(w.services, 'later', {
    cidr: '172.16.0.0/12',
    layout: { host: 8, tenant: 4, segment: 4, endpoint: 4 },
  });
  assert.ok((await shown(w, 'h1')).reserved.includes('later 128+4'));
});

test('what is exported has the growth, changes nothing when applied, and makes the same on an empty control plane', async () => {
  const w = fresh();
  await apply(w, file);
  await host(w.services, 'h5', { group: 'zone/r1', growth: 128 });
  const out = await exported(w);
  type Group = { groups: Group[]; hosts: { name: string; growth?: number }[] };
  const [topology] = out['topologies'] as { map: Group[] }[];
  const r1 = topology!.map[1]!.groups[0]!.hosts;
  assert.deepEqual(
    r1.map(({ name, growth }) => [name, growth]),
    [
      ['h1', undefined],
      ['h2', 16],
      ['h3', 1],
      ['h5', 64],
    ],
    'of what was asked for, as much as the group can hold',
  );
  assert.deepEqual(await changes(w, out), []);
  const other = fresh();
  await apply(other, out);
  assert.deepEqual(await exported(other), out);
});

test('growth that no part of its group could hold is refused where it is stated, and nothing is left of the file', async () => {
  const refusedAt = async (w: World, body: Document, path: string) =>
    assert.rejects(apply(w, body), (error: unknown) => {
      assert.ok(error instanceof RomanaError);
      const issues = error.details?.['issues'] as { path: string }[];
      assert.deepEqual([error.code, issues.map((one) => one.path)], ['topology_invalid', [path]]);
      return true;
    });
  const w = fresh();
  const racks = (growth: number, more = {}) => ({
    networks,
    topologies: [
      {
        map: [
          { name: 'a', growth, groups: [{ name: 'r1' }, { name: 'r2' }] },
          { name: 'b', ...more },
        ],
      },
    ],
  });
  // Id 0 of the first rack is nobody's, so it has room for half of its 64.
  await apply(w, racks(32));
  const fine = await exported(w);
  await refusedAt(w, racks(33), 'topologies.0.map.0.growth');
  const hosts = [{ name: 'h1', ip: '192.0.2.1', growth: 128 }];
  await apply(w, racks(32, { hosts: [] }));
  await refusedAt(
    w,
    racks(32, { hosts: [{ ...hosts[0], growth: 129 }] }),
    'topologies.0.map.1.hosts.0.growth',
  );
  assert.deepEqual(await exported(w), fine);
  await assert.rejects(
    network(w.services, 'narrow', {
      cidr: '172.16.0.0/12',
      layout: { host: 4, tenant: 8, segment: 4, endpoint: 4 },
    }),
    refusedWith('topology_invalid'),
  );
  assert.deepEqual(await exported(w), fine);
  await apply(w, racks(32, { hosts }));
});

test('another growth of a host that exists is refused at its place; another one of a group counts for hosts that come', async () => {
  const w = fresh();
  await apply(w, file);
  const [topology] = file['topologies']!;
  const [small, zone] = topology!['map'] as Record<string, unknown>[];
  const [r1, r2] = zone!['groups'] as Record<string, unknown>[];
  const before = await shown(w, 'h1');
  const changed = (growth: number, hosts: unknown[] = []): Document => ({
    topologies: [{ map: [small!, { ...zone, growth, groups: [{ ...r1, hosts }, r2!] }] }],
  });
  await assert.rejects(
    apply(w, changed(3, [{ name: 'h1', ip: '192.0.2.1', growth: 8 }])),
    (error: unknown) => {
      refusedWith('conflict')(error);
      const { issues } = (error as RomanaError).details as { issues: { path: string }[] };
      return issues[0]?.path === 'topologies.0.map.1.groups.0.hosts.0.growth';
    },
  );
  await apply(w, changed(3, [{ name: 'h1', ip: '192.0.2.1', growth: 4 }]));
  await apply(w, changed(16));
  assert.deepEqual(await shown(w, 'h1'), before);
  await host(w.services, 'h9', { group: 'zone/r1' });
  assert.match((await shown(w, 'h9')).reserved.join(), /\+16,.*\+16$/);
});

test('`show` without a server tells the host ids that an empty control plane gives', async () => {
  const growth = fc.option(fc.constantFrom(1, 2, 3, 8, 16), { nil: undefined });
  const leaf = fc.record({ growth, hosts: fc.array(growth, { maxLength: 5 }) });
  const carved = fc.constantFrom(['v4'], ['v6'], ['v4', 'v6']);
  const stated = (value: number | undefined) => (value === undefined ? {} : { growth: value });
  await fc.assert(
    fc.asyncProperty(
      fc.array(leaf, { minLength: 1, maxLength: 4 }),
      carved,
      fc.array(growth, { maxLength: 3 }),
      async (leaves, of, labelled) => {
        let count = 0;
        const one = (own: number | undefined) => ({
          name: `h${++count}`,
          ip: `192.0.2.${count}`,
          ...stated(own),
        });
        const document: Document = {
          networks: [{ ...networks[0]!, layout: '6/10/4/4' }, networks[1]!],
          topologies: [
            {
              networks: of,
              map: leaves.map((all, i) => ({
                name: `r${i}`,
                ...stated(all.growth),
                hosts: all.hosts.map(one),
              })),
            },
          ],
          hosts: labelled.map(one),
        };
        const w = world();
        try {
          await apply(w, document);
          const ids = hostIdsOf(demandTopology(document).plan);
          assert.equal(ids.size, count);
          for (const [name, wanted] of ids) assert.deepEqual((await shown(w, name)).ids, wanted, name);
          assert.deepEqual(await changes(w, await exported(w)), []);
        } catch (error) {
          assert.ok(isRomanaError(error) && error.code !== 'internal', String(error));
          assert.throws(() => demandTopology(document), { code: error.code });
        } finally {
          w.dispose();
        }
      },
    ),
    {
      numRuns: 25,
      // The last host takes from a reservation that waits for the switches.
      examples: [
        [
          [
            { growth: undefined, hosts: [undefined] },
            { growth: 16, hosts: Array<undefined>(4).fill(undefined) },
            { growth: undefined, hosts: [] },
          ],
          ['v4'],
          [],
        ],
      ],
    },
  );
});

test('in a network that no topology carves, reservations go back to a host of any group', async () => {
  const w = fresh();
  await apply(w, {
    networks: [{ ...networks[0]!, layout: '3/13/4/4' }, networks[1]!],
    topologies: [{ networks: ['v6'], map: [{ name: 'a' }, { name: 'b' }] }],
  });
  for (const name of ['h1', 'h2', 'h3']) await host(w.services, name, { group: 'a', growth: 4 });
  // 1 + 2 + 4 ids of eight: all reserved.
  await host(w.services, 'h4', { group: 'b' });
  assert.equal((await shown(w, 'h4')).ids.size, 2);
});
