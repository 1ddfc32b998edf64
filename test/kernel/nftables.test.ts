/** The nftables driver against the real kernel: round trip, idempotence, drift, foreign objects, atomicity (nftables/README.md). */
import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { NftablesDriver } from '#agent/drivers/nftables/driver.ts';
import { createRunner, type Runner } from '#agent/exec.ts';
import { buildRuleset, type RulesInput } from '#agent/rules/build.ts';
import type { Flow } from '#agent/rules/ruleset.ts';
import { addressPlan, parseAddress, parseCidr } from '#core/address/index.ts';
import type { PolicyModel, PolicyNetwork } from '#core/policy/index.ts';
import { inPrivateNamespaces } from '../support/namespace.ts';

function network(
  name: string,
  cidr: string,
  host: number,
  tenant: number,
  segment: number,
  endpoint: number,
): PolicyNetwork {
  return {
    name,
    plan: addressPlan(parseCidr(cidr), { host, tenant, segment, endpoint }),
    infrastructure: name === 'v6' ? 'allow' : 'deny',
  };
}

const networks = [
  network('v4', '10.0.0.0/8', 8, 8, 4, 4),
  network('9.odd-name_x', '172.16.0.0/12', 8, 6, 2, 4),
  network('v6', 'fd10::/16', 16, 16, 16, 64),
];
const everywhere = (id: number) => networks.map(({ name }) => ({ network: name, id }));

function model(isolation: 'segment' | 'tenant' | 'open'): PolicyModel {
  return {
    networks,
    tenants: [
      {
        name: 'acme',
        isolation,
        ids: everywhere(1),
        segments: [
          { name: 'web', ids: everywhere(1) },
          { name: 'db', ids: everywhere(2) },
        ],
      },
      {
        name: 'globex',
        isolation: 'segment',
        ids: everywhere(2),
        segments: [{ name: 'web', ids: everywhere(1) }],
      },
    ],
  };
}

/** acme's segments with endpoints under the shared identity. */
function sharing(isolation: 'segment' | 'tenant' | 'open', web: string[], db: string[]): PolicyModel {
  const { tenants } = model(isolation);
  const shared = [web, db].map((texts) => texts.map(parseAddress));
  const segments = tenants[0]!.segments.map((segment, index) => ({ ...segment, shared: shared[index]! }));
  return { networks, tenants: [{ ...tenants[0]!, segments }, ...tenants.slice(1)] };
}

function input(change: Partial<RulesInput> = {}): RulesInput {
  return {
    model: model('segment'),
    endpoints: [
      {
        tenant: 'acme',
        link: 'rom0000000001',
        addresses: [parseAddress('10.1.1.27'), parseAddress('fd10:1:1:1::b')],
        sourcePrefixes: ['192.168.8.0/24', '192.168.9.0/24', '203.0.113.7/32', '2001:db8::/64'].map(
          parseCidr,
        ),
      },
    ],
    peers: ['10.2.0.0/16', '10.3.0.0/16', 'fd10:2::/32', 'fd10:3::/32'].map(parseCidr),
    uplinks: ['eth0'],
    endpointLinks: ['rom*', 'tap*'],
    gateways: { 4: parseAddress('169.254.1.1'), 6: parseAddress('fe80::1') },
    guardOthers: { 4: true, 6: true },
    ...change,
  };
}

if (inPrivateNamespaces(import.meta.url)) {
  const calls: string[][] = [];
  const run = createRunner();
  const recording: Runner = (argv, options) => {
    calls.push([...argv]);
    return run(argv, options);
  };
  const driver = () => new NftablesDriver(recording);
  const writes = () => calls.filter((argv) => argv[1] === '-f').length;
  const nft = async (...argv: string[]) => (await run(['nft', ...argv])).stdout;

  beforeEach(async () => {
    await nft('flush', 'ruleset');
    calls.length = 0;
  });

  test('the kernel takes the whole ruleset, and a fresh driver finds nothing to do (round trip of every rule and element)', async () => {
    const { changes } = await driver().apply(buildRuleset(input()));
    assert.ok(changes.length > 20);
    assert.equal(writes(), 1);
    assert.deepEqual((await driver().apply(buildRuleset(input()))).changes, []);
    assert.equal(writes(), 1);
    assert.ok((await driver().inspect(buildRuleset(input()))).every(({ ok }) => ok));
    const { rules, elements } = await driver().counts();
    assert.ok(rules > 30 && elements > 10, `${rules} rules, ${elements} elements`);
  });

  test('every state leads to every other, in place, and the kernel then holds exactly the wanted one', async () => {
    const states: RulesInput[] = [
      input(),
      input({ model: model('tenant'), peers: ['10.2.0.0/15', '10.4.0.0/16', 'fd10:2::/31'].map(parseCidr) }),
      input({ model: model('open'), endpoints: [], guardOthers: { 4: false, 6: true } }),
      input({ peers: [], uplinks: ['eth1', 'bond0.100'], endpointLinks: ['rom*'] }),
      input({ model: { networks: networks.slice(0, 1), tenants: [] }, endpoints: [] }),
      input({ model: sharing('segment', ['10.1.0.5', '10.2.0.7', 'fd10:1::5'], ['10.2.0.8']) }),
      // An address of one group becomes another's within one transaction.
      input({ model: sharing('segment', ['10.2.0.8', 'fd10:2::6'], ['10.1.0.5', 'fd10:1::5']) }),
      input({ model: sharing('tenant', ['10.1.0.5'], ['10.2.0.8', 'fd10:1::5']) }),
      input({ model: sharing('open', ['10.1.0.5', 'fd10:1::5'], []) }),
      input({ model: { networks: [], tenants: [] }, endpoints: [], peers: [] }),
      input({ model: { networks: [network('v4', '10.0.0.0/8', 6, 8, 6, 4)], tenants: [] }, endpoints: [] }),
    ];
    const lasting = driver();
    for (const from of states) {
      for (const to of states) {
        await lasting.apply(buildRuleset(from));
        await lasting.apply(buildRuleset(to));
        assert.deepEqual((await driver().apply(buildRuleset(to))).changes, []);
      }
    }
    assert.ok(!(await nft('list', 'table', 'inet', 'romana')).includes('segments/v4/v6'));
  });

  test('foreign changes inside our table are found and mended, at once when told to look', async () => {
    const wanted = buildRuleset(input());
    const attacks: string[][] = [
      ['flush', 'ruleset'],
      ['delete', 'table', 'inet', 'romana'],
      ['flush', 'chain', 'inet', 'romana', 'from_endpoint'],
      ['insert', 'rule', 'inet', 'romana', 'ingress', 'accept'],
      ['add', 'element', 'inet', 'romana', 'segments/v4/v4', '{', '10.0.2.16', '.', '10.0.1.16', '}'],
      ['flush', 'set', 'inet', 'romana', 'endpoints4'],
      ['flush', 'set', 'inet', 'romana', 'peers6'],
      ['add', 'element', 'inet', 'romana', 'shared4', '{', '10.9.0.9', ':', '1:2', '}'],
      ['flush', 'chain', 'inet', 'romana', 'egress_shared4'],
      [
        'add',
        'chain',
        'inet',
        'romana',
        'stranger',
        '{',
        'type',
        'filter',
        'hook',
        'forward',
        'priority',
        '-500',
        ';',
        '}',
      ],
      ['add', 'set', 'inet', 'romana', 'stranger', '{', 'type', 'ipv4_addr', ';', '}'],
    ];
    const lasting = driver();
    for (const attack of attacks) {
      await lasting.apply(wanted);
      await nft(...attack);
      assert.ok(
        !(await lasting.inspect(wanted)).every(({ ok }) => ok) || attack[1] === 'set',
        attack.join(' '),
      );
      lasting.invalidate();
      const { changes } = await lasting.apply(wanted);
      assert.ok(changes.length > 0, attack.join(' '));
      assert.deepEqual((await driver().apply(wanted)).changes, [], attack.join(' '));
    }
  });

  test('a change under our feet that makes a transaction fail is read back and tried again', async () => {
    const lasting = driver();
    await lasting.apply(buildRuleset(input()));
    await nft('flush', 'set', 'inet', 'romana', 'peers4');
    const { changes } = await lasting.apply(buildRuleset(input({ peers: ['10.2.0.0/16'].map(parseCidr) })));
    assert.ok(changes.length > 0);
    assert.deepEqual(
      (await driver().apply(buildRuleset(input({ peers: ['10.2.0.0/16'].map(parseCidr) })))).changes,
      [],
    );
  });

  test('other tables are never touched; a foreign table of our name is refused and stays as it is', async () => {
    await nft('add', 'table', 'ip', 'docker');
    await nft(
      'add',
      'chain',
      'ip',
      'docker',
      'passing',
      '{ type filter hook forward priority 0; policy drop; }',
    );
    const before = await nft('list', 'table', 'ip', 'docker');
    await driver().apply(buildRuleset(input()));
    assert.equal(await nft('list', 'table', 'ip', 'docker'), before);
    await nft('delete', 'table', 'inet', 'romana');
    await nft('add', 'table', 'inet', 'romana');
    await nft('add', 'chain', 'inet', 'romana', 'theirs');
    const theirs = await nft('list', 'table', 'inet', 'romana');
    await assert.rejects(driver().apply(buildRuleset(input())), { code: 'kernel_refused' });
    assert.equal(await nft('list', 'table', 'inet', 'romana'), theirs);
  });

  test('cut flows enter both ways in one transaction, are listed, and are mended; time-outs never count as drift', async () => {
    const flow: Flow = {
      protocol: 'tcp',
      source: '10.1.1.27',
      destination: '10.2.1.27',
      sourcePort: 4000,
      destinationPort: 80,
    };
    const flow6: Flow = {
      protocol: 'udp',
      source: 'fd10:1:1:1::b',
      destination: 'fd10:2:1:1::b',
      sourcePort: 53,
      destinationPort: 53,
    };
    const lasting = driver();
    const wanted = buildRuleset(input());
    await lasting.apply(wanted);
    const before = writes();
    await lasting.apply(wanted, [
      flow,
      flow6,
      { ...flow, protocol: 'icmp', sourcePort: null, destinationPort: null },
    ]);
    assert.equal(writes(), before + 1);
    const cuts = await lasting.cuts();
    assert.equal(cuts.length, 4);
    assert.deepEqual(
      cuts.find(({ source, protocol }) => source === flow.source && protocol === 'tcp'),
      flow,
    );
    assert.deepEqual((await driver().apply(wanted)).changes, []);
    // Cut again: an element that exists already is no error.
    await lasting.apply(wanted, [flow]);
    await lasting.apply(wanted, [], cuts);
    assert.deepEqual(await lasting.cuts(), []);
    // The cut set works on both hooks' rules.
    assert.match(await nft('list', 'chain', 'inet', 'romana', 'judge'), /@cut4 counter name "cut" drop/);
  });

  test('whether forwarding was off before is read back from the kernel by an agent without memory', async () => {
    assert.equal(await driver().guardsOthers(), null);
    await driver().apply(buildRuleset(input({ guardOthers: { 4: true, 6: false } })));
    assert.deepEqual(await driver().guardsOthers(), { 4: true, 6: false });
  });

  test('a refused transaction leaves the old rules whole', async () => {
    await driver().apply(buildRuleset(input()));
    const before = await nft('list', 'table', 'inet', 'romana');
    const broken = buildRuleset(input({ uplinks: ['a name that is far too long for a link'] }));
    await assert.rejects(driver().apply(broken), { code: 'kernel_refused' });
    assert.equal(await nft('list', 'table', 'inet', 'romana'), before);
  });

  test('rules do not grow with endpoints, hosts, tenants or segments', async () => {
    const rules = async (change: Partial<RulesInput>) => {
      await driver().apply(buildRuleset(input(change)));
      return (await driver().counts()).rules;
    };
    const many = Array.from({ length: 200 }, (_, i) => ({
      tenant: i % 2 === 0 ? 'acme' : 'globex',
      link: `rom${i}`,
      addresses: [parseAddress(`10.1.${1 + (i % 2)}.${1 + i}`)],
      sourcePrefixes: [],
    }));
    const peers = Array.from({ length: 250 }, (_, i) => parseCidr(`10.${i + 2}.0.0/16`));
    const shared = sharing('segment', ['10.1.0.5', '10.2.0.7', 'fd10:1::5'], ['10.2.0.8']);
    assert.equal(await rules({ model: shared }), await rules({ model: model('segment') }));
    assert.equal(await rules({ endpoints: many, peers }), await rules({ endpoints: [], peers: [] }));
  });
}
