/** Every file of examples/topology against a server of its own: checked, shown, applied, exported, applied again, compared. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type * as m from '#contract/model.ts';
import type { ShownTopology } from '#core/plan/topology/index.ts';
import { createLog } from '#runtime/index.ts';
import { checkConfig } from '#server/config.ts';
import { runServer } from '#server/main.ts';
import { processWorld } from './process-world.ts';
import { run } from './run.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const folder = join(root, 'examples/topology');

interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}
type Romana = (argv: readonly string[], stdin?: string) => Promise<Ended>;

const zone = (name: string, second: number): string[] => [
  `${name} 100.${second}.0.0/12`,
  ...Array.from({ length: 8 }, (_, i) => `${name}/r${i + 1} 100.${second + 2 * i}.0.0/15`),
];
const quarters = [
  'rack-1 10.111.0.0/18',
  'rack-2 10.111.64.0/18',
  'rack-3 10.111.128.0/18',
  'rack-4 10.111.192.0/18',
];
/** Groups with their aggregates; hosts with the groups that they stand in. */
const expected: Record<string, { readonly groups: readonly string[]; readonly hosts: readonly string[] }> = {
  'a-four-racks.yaml': { groups: quarters, hosts: ['h1 rack-1', 'h2 rack-2', 'h3 rack-3', 'h4 rack-4'] },
  'b-padding.yaml': { groups: quarters.slice(0, 3), hosts: ['h1 rack-1', 'h2 rack-2', 'h3 rack-3'] },
  'c-zones.yaml': {
    groups: [
      'zone-A 10.111.0.0/17',
      'zone-A/rack-1 10.111.0.0/19',
      'zone-A/rack-2 10.111.32.0/19',
      'zone-A/rack-3 10.111.64.0/19',
      'zone-A/rack-4 10.111.96.0/19',
      'zone-B 10.111.128.0/17',
      'zone-B/rack-1 10.111.128.0/18',
      'zone-B/rack-2 10.111.192.0/18',
    ],
    hosts: [],
  },
  'd-one-group.yaml': { groups: ['all 10.111.0.0/16'], hosts: ['h1 all', 'h2 all'] },
  'e-eight-groups.json': {
    groups: Array.from({ length: 8 }, (_, i) => `group${i + 1} 10.${112 + 2 * i}.0.0/15`),
    hosts: [],
  },
  'f-leaf-beside-groups.yaml': {
    groups: [
      'group1 10.0.0.0/17',
      'group2 10.0.128.0/17',
      'group2/2a 10.0.128.0/18',
      'group2/2b 10.0.192.0/18',
    ],
    hosts: ['h1 group1', 'h2 group2/2a', 'h3 group2/2b'],
  },
  'g-two-zones.yaml': {
    groups: [...zone('us-east-1a', 96), ...zone('us-east-1b', 112)],
    hosts: ['h1 us-east-1a/r1', 'h2 us-east-1b/r1', 'h3 us-east-1b/r2'],
  },
  'h-labels.yaml': {
    groups: ['group1 10.0.0.0/18', 'group2 10.0.64.0/18', 'group3 10.0.128.0/18', 'group4 10.0.192.0/18'],
    hosts: [
      ...Array.from({ length: 8 }, (_, i) => `backend-${i + 1} group${i % 2 === 0 ? 1 : 3}`),
      ...Array.from({ length: 4 }, (_, i) => `frontend-${i + 1} group${i % 2 === 0 ? 2 : 4}`),
    ],
  },
  'i-two-topologies.yaml': {
    groups: ['rack-1 10.0.0.0/17', 'rack-2 10.0.128.0/17', 'fast 10.1.0.0/17', 'slow 10.1.128.0/17'],
    hosts: ['h1 fast', 'h1 rack-1', 'h2 rack-1', 'h3 rack-2', 'h3 slow', 'h4 slow'],
  },
  'j-one-link.yaml': {
    groups: ['rack-1 10.0.0.0/9', 'rack-2 10.128.0.0/9'],
    hosts: ['h1 rack-1', 'h2 rack-1', 'h3 rack-2'],
  },
  'k-split-link.yaml': {
    groups: ['subnet-1 10.0.0.0/9', 'subnet-2 10.128.0.0/9'],
    hosts: ['h1 subnet-1', 'h2 subnet-1', 'h3 subnet-2'],
  },
  'l-static-leaf-spine.yaml': {
    groups: ['rack-1 10.0.0.0/11', 'rack-1 fd10::/19', 'rack-2 10.32.0.0/11', 'rack-2 fd10:2000::/19'],
    hosts: ['h1 rack-1', 'h2 rack-1', 'h3 rack-2'],
  },
  'm-bgp-dual-homed.yaml': {
    groups: ['rack-1 10.0.0.0/11', 'rack-1 fd10::/19'],
    hosts: ['h1 rack-1', 'h2 rack-1'],
  },
  'n-hybrid.yaml': {
    groups: [
      'dc 10.0.0.0/10',
      'dc/row-1 10.0.0.0/11',
      'dc/row-2 10.32.0.0/11',
      'cloud 10.64.0.0/10',
      'cloud/zone-a 10.64.0.0/11',
      'cloud/zone-b 10.96.0.0/11',
    ],
    hosts: ['c1 cloud/zone-a', 'c2 cloud/zone-b', 'h1 dc/row-1', 'h2 dc/row-2', 'h3 dc/row-2'],
  },
  'dual-stack.yaml': {
    groups: [
      'zone-a 10.0.0.0/10',
      'zone-a fd10::/18',
      'zone-a/rack1 10.0.0.0/12',
      'zone-a/rack1 fd10::/20',
      'zone-a/rack2 10.16.0.0/12',
      'zone-a/rack2 fd10:1000::/20',
      'zone-b 10.64.0.0/10',
      'zone-b fd10:4000::/18',
    ],
    hosts: ['h1 zone-a/rack1', 'h2 zone-a/rack1', 'h9 zone-b'],
  },
};

/** The real process for one of them; the same code in this process for the others. */
const asProcess =
  (clientFile: string): Romana =>
  (argv, stdin = '') =>
    new Promise((resolve) => {
      const child = spawn(process.execPath, [join(root, 'src/cli/main.ts'), ...argv], {
        env: { PATH: process.env['PATH'] ?? '', ROMANA_CONFIG: clientFile },
      });
      let out = '';
      let err = '';
      child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()));
      child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()));
      child.stdin.end(stdin);
      child.once('close', (code) => resolve({ code, out, err }));
    });

const inProcess =
  (clientFile: string): Romana =>
  async (argv, stdin = '') => {
    let out = '';
    let err = '';
    const code = await run(argv, {
      ...processWorld,
      env: { ROMANA_CONFIG: clientFile },
      out: (text) => void (out += text),
      err: (text) => void (err += text),
      stdin: () => Promise.resolve(stdin),
    });
    return { code, out, err };
  };

async function withServer(work: (clientFile: string) => Promise<void>): Promise<void> {
  const data = mkdtempSync(join(tmpdir(), 'romana-examples-'));
  try {
    const config = checkConfig({ dataDir: join(data, 'server'), listen: ['127.0.0.1:0'] });
    const server = await runServer(config, { log: createLog({ level: 'silent' }) });
    try {
      await work(server.clientFile);
    } finally {
      await server.stop();
    }
  } finally {
    rmSync(data, { recursive: true });
  }
}

const files = readdirSync(folder).filter((name) => name !== 'README.md');

test('every example is in the table and in this test', () => {
  assert.deepEqual(files, Object.keys(expected).sort());
  const readme = readFileSync(join(folder, 'README.md'), 'utf8');
  for (const name of files) assert.ok(readme.includes(`| [${name}](${name}) `), name);
});

for (const name of files) {
  const own = name === 'dual-stack.yaml';
  test(`${name}: what is shown is what applying makes; applied again, or exported and applied, it changes nothing`, async () => {
    await withServer(async (clientFile) => {
      const romana = (own ? asProcess : inProcess)(clientFile);
      const ask = async (argv: readonly string[], stdin = ''): Promise<string> => {
        const { code, out, err } = await romana(argv, stdin);
        assert.equal(code, 0, `romana ${argv.join(' ')}: ${err}`);
        return out;
      };
      const json = async <T>(...argv: string[]): Promise<T> =>
        JSON.parse(await ask([...argv, '-o', 'json'])) as T;
      const file = join(folder, name);
      const { groups, hosts } = expected[name]!;

      assert.match(await ask(['topology', 'check', file]), /is valid: /);
      const shown = await json<ShownTopology>('topology', 'show', file);
      const carved = shown.groups.filter(({ path }) => path !== '');
      assert.deepEqual(
        carved.flatMap(({ path, networks }) => networks.map(({ cidr }) => `${path} ${cidr}`)),
        groups,
      );
      assert.deepEqual(
        carved.flatMap(({ path, hosts: here }) => here.map((host) => `${host} ${path}`)).sort(),
        hosts,
      );

      const made = await json<m.Topology>('topology', 'apply', file);
      const aggregates = made.aggregates.filter(({ path }) => path !== '');
      assert.deepEqual(new Set(aggregates.map(({ path, cidr }) => `${path} ${cidr}`)), new Set(groups));
      const standing = await json<{ items: m.Host[] } | m.Host[]>('host', 'list');
      const all = Array.isArray(standing) ? standing : standing.items;
      const groupsOf = ({ group, groups }: m.Host) => groups?.map(({ path }) => path) ?? [group];
      assert.deepEqual(
        all.flatMap((host) => groupsOf(host).map((group) => `${host.name} ${group}`)).sort(),
        hosts,
      );
      assert.deepEqual(
        all.flatMap((host) => host.ids.map(({ network, id }) => `${network} ${host.name} ${id}`)).sort(),
        shown.groups
          .flatMap(({ hostIds }) =>
            hostIds.map(({ network, host, ids }) => `${network} ${host} ${ids.join()}`),
          )
          .sort(),
      );

      const revision = async () => (await json<m.Status>('status')).revision;
      const before = await revision();
      const exported = await ask(['topology', 'export']);
      await ask(['topology', 'check', '-'], exported);
      for (const [argument, stdin] of [
        [file, ''],
        ['-', exported],
      ] as const) {
        const diff = await romana(['topology', 'diff', argument], stdin);
        assert.deepEqual([diff.code, diff.out], [0, '']);
        assert.match(diff.err, /Nothing changes\.\n$/);
        await ask(['topology', 'apply', argument], stdin);
      }
      assert.equal(await revision(), before);
      assert.equal(await ask(['topology', 'export']), exported);
    });
  });
}
