import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatCidr, parseCidr } from '../../address/index.ts';
import { l2Default } from '../fabric.ts';
import type { RoutingGroup, RoutingInput } from '../model.ts';
import { planVpc, vpcSites } from './index.ts';
import { makeHost, makeInput, makeState, network4, vpcFabric, zoneCidr } from './testing.ts';

function groupOf(path: string, zone: number, more: Partial<RoutingGroup> = {}): RoutingGroup {
  const aggregates = [{ network: 'v4', cidr: zoneCidr(network4, zone) }];
  return { path, fabric: null, devices: [], aggregates, groups: [], ...more };
}

function inputOf(root: Partial<RoutingGroup>, hosts: RoutingInput['hosts'] = []): RoutingInput {
  const whole = groupOf('', 0, { aggregates: [{ network: 'v4', cidr: network4 }], ...root });
  return {
    networks: [{ name: 'v4', cidr: network4, topology: 'default' }],
    topologies: [{ name: 'default', root: whole }],
    hosts,
  };
}

function standing(zone: number, slot: number, path: string) {
  return { ...makeHost(zone, slot), places: [{ topology: 'default', path }] };
}

test('each leaf group is a link; with a subnet the stating group is, without groups that state another fabric', () => {
  const rack = (name: string): RoutingGroup => groupOf(`zone-a/${name}`, 0);
  const hosts = [standing(0, 1, 'zone-a/r1'), standing(0, 2, 'zone-a/r2'), standing(0, 3, 'zone-a/r3')];
  const fabric = vpcFabric;
  const links = (zone: Partial<RoutingGroup>): string[] => {
    const groups = [rack('r1'), rack('r2'), { ...rack('r3'), fabric: l2Default }];
    const input = inputOf({ fabric, groups: [groupOf('zone-a', 0, { groups, ...zone })] }, hosts);
    return (vpcSites(input)[0]?.links ?? []).map(({ path, hosts: found }) => `${path} ${found.length}`);
  };
  assert.deepEqual(links({}), ['zone-a/r1 1', 'zone-a/r2 1']);
  assert.deepEqual(links({ fabric: { ...fabric, subnet: 'subnet-1' } }), ['zone-a 2']);
});

test('a VPC that two groups state is one; two VPCs are two', () => {
  const zones = (second: string): string[] => {
    const groups = [
      groupOf('a', 0, { fabric: { ...vpcFabric, routeTables: ['rtb-1'], budget: 40 } }),
      groupOf('b', 1, { fabric: { ...vpcFabric, vpc: second, routeTables: ['rtb-2'], budget: 30 } }),
    ];
    const input = inputOf({ groups }, [standing(0, 1, 'a'), standing(1, 1, 'b')]);
    return vpcSites(input).map(({ vpc, routeTables, budget }) => `${vpc} ${routeTables.join()} ${budget}`);
  };
  assert.deepEqual(zones('vpc-1'), ['vpc-1 rtb-1,rtb-2 30']);
  assert.deepEqual(zones('vpc-2'), ['vpc-1 rtb-1 40', 'vpc-2 rtb-2 30']);
});

test('other regions and data centres are one route for each aggregate, over the connection; an unknown group is a problem', () => {
  const peerings = [
    { group: 'b', connection: 'tgw-1' },
    { group: 'nowhere', connection: 'vgw-1' },
  ];
  const groups = [
    groupOf('a', 0, { fabric: { ...vpcFabric, peerings } }),
    groupOf('b', 1, { fabric: { ...vpcFabric, region: 'eu-test-2', vpc: 'vpc-2' } }),
  ];
  const input = inputOf({ groups }, [standing(0, 1, 'a'), standing(1, 1, 'b')]);
  const [site] = vpcSites(input);
  assert.ok(site !== undefined);
  const plan = planVpc(site, makeState(input));
  assert.deepEqual(
    plan.tables[0]?.routes.map(({ cidr, target }) => `${formatCidr(cidr)} ${target}`),
    [
      `${formatCidr(site.links[0]?.hosts[0]?.ranges[0]?.cidr ?? network4)} eni-z0-h01`,
      `${formatCidr(zoneCidr(network4, 1))} tgw-1`,
    ],
  );
  assert.deepEqual(
    plan.problems.map(({ code }) => code),
    ['connection_unknown_group'],
  );
});

test('networks that no topology carves: a route for each host', () => {
  const input = makeInput({ zones: 1, slots: [[1, 2]], budget: 3 });
  const flat = parseCidr('192.168.0.0/16');
  const hosts = input.hosts.map((host, index) => ({
    ...host,
    ranges: [...host.ranges, { network: 'flat', cidr: parseCidr(`192.168.${index}.0/24`) }],
  }));
  const wider = {
    ...input,
    networks: [...input.networks, { name: 'flat', cidr: flat, topology: null }],
    hosts,
  };
  const [site] = vpcSites(wider);
  assert.ok(site !== undefined);
  const { tables, problems } = planVpc(site, makeState(wider));
  assert.deepEqual(problems, []);
  assert.deepEqual(
    tables[0]?.routes.map(({ cidr }) => formatCidr(cidr)),
    [formatCidr(zoneCidr(network4, 0)), '192.168.0.0/24', '192.168.1.0/24'],
  );
});

test('fabrics of other kinds are no VPC', () => {
  assert.deepEqual(vpcSites(inputOf({ fabric: l2Default })), []);
  assert.deepEqual(vpcSites(inputOf({})), []);
});
