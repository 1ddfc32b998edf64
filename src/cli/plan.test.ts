import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { GATEWAY4, GATEWAY6 } from '#agent/owned.ts';
import { buildRuleset } from '#agent/rules/build.ts';
import {
  type Address,
  type AddressPlan,
  addressPlan,
  encode,
  hostCidr,
  parseCidr,
} from '#core/address/index.ts';
import { type PlanAnswer, propose, type WhatIfAnswer } from '#core/plan/planner/index.ts';
import type { PolicyTenant } from '#core/policy/index.ts';
import { ruleCounter } from './commands/plan.ts';
import { invoke } from './testing.ts';

const folder = mkdtempSync(join(tmpdir(), 'romana-plan-'));
after(() => rmSync(folder, { recursive: true }));
const plan = (...argv: string[]) => invoke(['plan', ...argv]);
const sizes = ['--hosts', '40', '--racks', '4', '--tenants', '9', '--endpoints-per-host', '20'];
const net = ['--network', '10.0.0.0/8'];

describe('the guide', () => {
  const guide = readFileSync(new URL('../../docs/planning.md', import.meta.url), 'utf8');
  /** Indented blocks: a line `$ romana …`, continued by `\`, then what it prints. */
  const examples = guide.split(/\n\n(?=\S)/).flatMap((block) => {
    const lines = block.split('\n').filter((line) => line.startsWith('    ') || line === '');
    const text = lines.map((line) => line.slice(4)).join('\n');
    return text.split(/^(?=\$ )/m).flatMap((example) => {
      const match = /^\$ ((?:.*\\\n)*.*)\n?([^]*)$/.exec(example);
      return match ? [{ command: match[1]!.replaceAll(/\\\n\s*/g, ''), printed: match[2]!.trim() }] : [];
    });
  });

  /** How many rules a host has is up to the agent, and no matter of this guide. */
  const settled = (text: string): string => text.replaceAll(/\d+ rules/g, 'some rules');

  it('has examples', () => assert.ok(examples.length >= 4, `${examples.length}`));

  for (const { command, printed } of examples) {
    it(`prints what \`${command}\` prints`, async () => {
      const [words, file] = command.split(' > ');
      const argv = words!.split(/\s+/).map((word) => (word.endsWith('.json') ? join(folder, word) : word));
      assert.equal(argv[0], 'romana');
      const { out: all, err } = await invoke(argv.slice(1));
      assert.equal(err, '');
      const out = settled(all);
      if (file !== undefined) return writeFileSync(join(folder, file), all);
      const expected = settled(printed).split(/\n *…(?:\n|$)/);
      // `…` stands for lines that are left out.
      let from = 0;
      for (const part of expected) {
        const at = out.indexOf(part, from);
        assert.ok(at >= 0, `not printed:\n${part}\nbut:\n${out}`);
        from = at + part.length;
      }
    });
  }
});

describe('romana plan propose', () => {
  it('as JSON and YAML is the answer of the planner, which a file holds for whatif', async () => {
    const json = await plan('propose', ...sizes, ...net, '-o', 'json');
    const answer = JSON.parse(json.out) as PlanAnswer;
    assert.deepEqual(
      answer,
      JSON.parse(JSON.stringify(propose(answer.input, { countRules: await ruleCounter() }))),
    );
    for (const format of ['json', 'yaml']) {
      const { out } = await plan('propose', ...sizes, ...net, '-o', format);
      const file = join(folder, `plan.${format}`);
      writeFileSync(file, out);
      const fromFile = await plan('whatif', '--file', file, '--add-rack', '1');
      const fromSizes = await plan('whatif', ...sizes, ...net, '--add-rack', '1');
      assert.equal(fromFile.code, 0, fromFile.err);
      assert.equal(fromFile.out, fromSizes.out);
      const stdin = await invoke(['plan', 'whatif', '--file', '-', '--add-rack', '1'], { stdin: out });
      assert.equal(stdin.out, fromSizes.out);
    }
  });

  it('with -q prints networks and layouts alone, and nothing when nothing fits', async () => {
    const { out } = await plan('propose', ...sizes, ...net, '--network', 'fd00::/40', '-q');
    assert.match(out, /^10\.0\.0\.0\/8 \d+\/\d+\/\d+\/\d+\nfd00::\/40 \d+\/\d+\/\d+\/\d+\n$/);
    const no = await plan('propose', ...sizes, '--network', '10.0.0.0/24', '-q');
    assert.deepEqual([no.out, no.code], ['', 1]);
  });

  it('ends with status 1 when nothing fits, with the reason and advice on standard output', async () => {
    const { code, out, err } = await plan('propose', ...sizes, '--network', '10.0.0.0/20');
    assert.deepEqual([code, err], [1, '']);
    assert.match(out, /Answer: {3}no: nothing fits/);
    assert.match(
      out,
      /10\.0\.0\.0\/20 has 12 bits below its prefix, 16 are needed: 2 for 4 racks, 4 for 10 hosts/,
    );
    assert.match(out, /A shorter prefix: \/16 instead of 10\.0\.0\.0\/20\./);
    assert.doesNotMatch(out, /To use it/);
  });

  it('the proposals of --top and --proposal are those asked for', async () => {
    const count = async (...more: string[]): Promise<number> => {
      const { out } = await plan('propose', ...sizes, ...net, '-o', 'json', ...more);
      return (JSON.parse(out) as PlanAnswer).proposals.length;
    };
    assert.deepEqual([await count(), await count('--top', '1'), await count('--top', '99')], [3, 1, 5]);
    const fourth = await plan('propose', ...sizes, ...net, '--proposal', '4');
    assert.match(fourth.out, /^Proposal 4: /m);
    assert.doesNotMatch(fourth.out, /^Proposal [1-35-9]: /m);
    const q = await plan('propose', ...sizes, ...net, '--proposal', '4', '-q');
    assert.ok(fourth.out.includes(`Proposal 4: ${q.out.trim()}`));
  });

  it('--as-topology is a file that `topology check` and `show` take, with the aggregates of the plan', async () => {
    const levels = ['--zones', '2', '--network', 'fd00::/40', '--as-topology'];
    for (const [format, name] of [
      ['yaml', 'dc.yaml'],
      ['json', 'dc.json'],
    ] as const) {
      const { out, code } = await plan('propose', ...sizes, ...net, ...levels, '-o', format);
      assert.equal(code, 0);
      const file = join(folder, name);
      writeFileSync(file, out);
      const checked = await invoke(['topology', 'check', file]);
      assert.deepEqual([checked.code, checked.err], [0, ''], checked.err);
      const shown = await invoke(['topology', 'show', file]);
      assert.match(shown.out, /zone2\/rack1 +v4 +10\.\d+\.0\.0\/\d+/);
    }
    const no = await plan('propose', ...sizes, '--network', '10.0.0.0/24', '--as-topology');
    assert.deepEqual([no.code, no.out], [1, '']);
    assert.match(no.err, /nothing fits/);
    const many = ['--hosts', '90000', '--racks', '20000', '--network', 'fd00::/40', '--as-topology'];
    const refused = await plan('propose', ...sizes, ...many);
    assert.deepEqual([refused.code, refused.out], [2, '']);
    assert.match(refused.err, /at most 16384 groups/);
  });

  it('--no-headers leaves out the titles of all tables and nothing else', async () => {
    for (const argv of [
      ['propose', ...sizes, ...net],
      ['whatif', ...sizes, ...net, '--add-rack', '1'],
    ]) {
      const titled = await plan(...argv);
      const { out } = await plan(...argv, '--no-headers');
      const words = (text: string): string[] =>
        text.split('\n').map((line) => line.trim().replaceAll(/ +/g, ' '));
      const titles = words(titled.out).filter((line) => /^[A-Z]{2}[A-Z ]+$/.test(line));
      assert.ok(titles.length >= 2);
      assert.deepEqual(
        words(out),
        words(titled.out).filter((line) => !titles.includes(line)),
      );
    }
  });

  it('lines do not end in blanks and hold no control characters', async () => {
    const shared = ['--tenants', '3000', '--segments', '9', '--zones', '2', '--growth', '3'];
    for (const argv of [
      ['propose', ...sizes, ...net],
      ['propose', ...sizes, ...shared, ...net],
      ['propose', ...sizes, ...shared, ...net, '--network', 'fd00::/40'],
      ['whatif', ...sizes, ...net, '--add-rack', '3', '--add-tenants', '900000'],
    ]) {
      const { out } = await plan(...argv);
      assert.doesNotMatch(out, / $|[^\P{Cc}\n]/mu);
      assert.doesNotMatch(out, /undefined|NaN|Infinity/);
      assert.ok(out.endsWith('\n') && !out.endsWith('\n\n') && !out.includes('\n\n\n'));
    }
  });

  it('refuses nonsense by the name of the option, with status 2 and nothing on standard output', async () => {
    const cases: [string[], RegExp][] = [
      [[], /--hosts is missing/],
      [[...sizes], /--network is missing/],
      [[...sizes, ...net, '--hosts', '0'], /--hosts must be a whole number of 1 to 4294967295, not 0/],
      [[...sizes, ...net, '--hosts=-3'], /--hosts: "-3" is not a whole number/],
      [[...sizes, ...net, '--tenants', '1e3'], /--tenants: "1e3" is not a whole number/],
      [[...sizes, ...net, '--tenants', '9007199254740993'], /--tenants/],
      [[...sizes, ...net, '--segments', '4294967296'], /--segments must be/],
      [[...sizes, ...net, '--endpoints-per-segment', '0'], /--endpoints-per-segment must be/],
      [[...sizes, ...net, '--growth', '0.5'], /[Gg]rowth/],
      [[...sizes, ...net, '--growth', 'lots'], /--growth: "lots" is no factor/],
      [[...sizes, ...net, '--growth', '1001'], /factor of 1 to 1000/],
      [[...sizes, ...net, '--max-vpc-routes', '0'], /--max-vpc-routes must be/],
      [[...sizes, ...net, '--max-routes-per-host', '0'], /--max-routes-per-host must be/],
      [[...sizes, ...net, '--fabric', 'token-ring'], /--fabric is one of l2, l3-static, vpc/],
      [[...sizes, ...net, '--top', '0'], /--top/],
      [[...sizes, ...net, '--proposal', '0'], /--proposal/],
      [[...sizes, ...net, '--proposal', '31'], /--proposal 31: there are 5 proposals/],
      [[...sizes, ...net, '--network', '10.9.0.0/16'], /10\.9\.0\.0\/16 overlaps 10\.0\.0\.0\/8/],
      [[...sizes, '--network', '10.0.0.0/30'], /10\.0\.0\.0\/30 is too small/],
      [[...sizes, '--network', '10.0.0.0'], /prefix length is missing/],
      [[...sizes, ...net, '-o', 'xml'], /xml/],
    ];
    for (const [argv, message] of cases) {
      const { code, out, err } = await plan('propose', ...argv);
      assert.deepEqual([code, out], [2, ''], argv.join(' '));
      assert.match(err, message, argv.join(' '));
    }
  });
});

describe('romana plan whatif', () => {
  it('answers in JSON with the status of its answer', async () => {
    const { code, out } = await plan('whatif', ...sizes, ...net, '--add-rack', '100000', '-o', 'json');
    const answer = JSON.parse(out) as WhatIfAnswer;
    assert.deepEqual([code, answer.fits, answer.after.racks], [1, false, 100_004]);
    const quiet = await plan('whatif', ...sizes, ...net, '--add-rack', '100000', '-q');
    assert.deepEqual([quiet.code, quiet.out], [1, '']);
  });

  it('of sizes that do not fit at all shows why', async () => {
    const { code, out } = await plan('whatif', ...sizes, '--network', '10.0.0.0/20', '--add-rack', '1');
    assert.equal(code, 1);
    assert.match(out, /nothing fits/);
  });

  it('refuses what contradicts itself', async () => {
    const file = join(folder, 'some.json');
    writeFileSync(file, (await plan('propose', ...sizes, ...net, '-o', 'json')).out);
    const broken = join(folder, 'broken.json');
    writeFileSync(broken, '{"input": {}');
    const cases: [string[], RegExp][] = [
      [['--file', file, '--hosts', '3'], /either the file or sizes/],
      [['--file', file, '--proposal', '7'], /none with number 7/],
      [['--file', file, '--add-rack', 'x'], /--add-rack: "x" is not a whole number/],
      [['--file', file, '--add-zone', '1'], /has no zones/],
      [['--file', broken], /broken\.json/],
      [['--file', join(folder, 'none.json')], /there is no such file/],
      [['--add-rack', '1'], /--hosts is missing/],
    ];
    for (const [argv, message] of cases) {
      const { code, out, err } = await plan('whatif', ...argv);
      assert.deepEqual([code, out], [2, ''], argv.join(' '));
      assert.match(err, message, argv.join(' '));
    }
  });
});

describe('what a plan says of a host is what its table has (6)', () => {
  /** The table of a host on which every tenant is present, as the agent would build it. */
  function tableOf(answer: PlanAnswer) {
    const { input, proposals } = answer;
    const { hosts, tenants, segments, endpointsPerHost } = input;
    const networks = proposals[0]!.networks.map(({ name, cidr, layout }) => ({
      name,
      plan: addressPlan(parseCidr(cidr), layout),
      infrastructure: 'deny' as const,
    }));
    const each = Math.ceil((hosts * endpointsPerHost) / tenants);
    const address = (of: AddressPlan, n: number): Address =>
      encode(of, { host: 1, tenant: 1, segment: 1, endpoint: 1 + (n % (2 ** of.layout.endpoint - 1)) });
    const all: PolicyTenant[] = Array.from({ length: tenants }, (_, t) => {
      const own = networks.filter(({ plan: of }) => t + 1 < 2 ** of.layout.tenant);
      const without = networks.filter((network) => !own.includes(network));
      return {
        name: `t${t}`,
        isolation: 'segment',
        ids: own.map(({ name }) => ({ network: name, id: t + 1 })),
        segments: Array.from({ length: segments }, (_unused, s) => ({
          name: `s${s}`,
          ids: own.map(({ name }) => ({ network: name, id: s + 1 })),
          // All of the tenant's endpoints are dealt out over its segments; numbers make them distinct.
          shared: without.flatMap(({ plan: of }) =>
            Array.from({ length: Math.floor((each + segments - 1 - s) / segments) }, (_one, i) => ({
              ...address(of, 0),
              ...(of.family === 4
                ? { w0: (of.cidr.address.w0 + 1 + (t * each + i * segments + s)) >>> 0 }
                : { w3: 1 + (t * each + i * segments + s) }),
            })),
          ),
        })),
      };
    });
    const rules = buildRuleset({
      model: { networks, tenants: all },
      endpoints: Array.from({ length: endpointsPerHost }, (_, i) => ({
        tenant: `t${i % tenants}`,
        link: `rom${i}`,
        addresses: networks.map(({ plan: of }) => address(of, i)),
        sourcePrefixes: [],
      })),
      peers: Array.from({ length: hosts - 1 }, (_, i) =>
        networks.map(({ plan: of }) => hostCidr(of, i + 2)),
      ).flat(),
      uplinks: ['eth0'],
      endpointLinks: ['rom*'],
      gateways: { 4: GATEWAY4, 6: GATEWAY6 },
      guardOthers: { 4: false, 6: false },
    });
    return {
      rules: [...rules.chains.values()].reduce((sum, chain) => sum + chain.rules.length, 0),
      elements: [...rules.sets.values()].reduce((sum, set) => sum + (set.elements?.size ?? 0), 0),
    };
  }

  const base = {
    hosts: 9,
    racks: null,
    zones: null,
    tenants: 6,
    segments: 3,
    endpointsPerHost: 24,
    endpointsPerSegment: null,
    growth: { hosts: 1, tenants: 1, endpoints: 1 },
    budgets: { fabric: null, routesPerHost: null, routesPerSwitch: null, vpcRoutes: 50 },
  };
  const four = { name: 'a', cidr: '10.0.0.0/8' };
  const tight = { name: 'b', cidr: '172.16.0.0/19' };
  const six = { name: 'c', cidr: 'fd00::/40' };
  for (const networks of [
    [four],
    [six],
    [four, six],
    [four, { ...tight, cidr: '172.16.0.0/12' }],
    [tight],
    [six, tight],
    [four, tight],
  ]) {
    it(`with ${networks.map(({ cidr }) => cidr).join(' and ')}: rules and elements, one by one`, async () => {
      const answer = propose({ ...base, networks }, { countRules: await ruleCounter() });
      const { cost, networks: proposed } = answer.proposals[0]!;
      assert.equal(
        networks.includes(tight),
        proposed.some(({ sharedTenants }) => sharedTenants > 0),
      );
      const { rules, elements } = tableOf(answer);
      assert.deepEqual({ rules: cost.rules, elements: cost.elements.today.total }, { rules, elements });
    });
  }
});
