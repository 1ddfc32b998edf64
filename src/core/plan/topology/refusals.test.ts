/** Nothing wrong in a topology file passes, and each refusal has the path of its cause. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { issuesOf, one, refused } from './testing.ts';

describe('what is refused, and where', () => {
  const layout = '8/8/4/4';
  const net = { name: 'v4', cidr: '10.0.0.0/8', layout };

  it('overlaps of any kind', () => {
    for (const cidr of ['10.0.0.0/8', '10.1.0.0/16', '0.0.0.0/0']) {
      const bits = 32 - Number(cidr.split('/')[1]);
      const other = { name: 'b', cidr, layout: `${bits - 6}/2/2/2` };
      refused({ networks: [net, other] }, 'networks.1.cidr', /overlaps network v4/);
    }
    refused({ networks: [net, { ...net, cidr: '11.0.0.0/8' }] }, 'networks.1.name', /v4 is there twice/);
    const host = { name: 'h', ip: '10.0.0.1' };
    refused({ networks: [net], hosts: [host] }, 'hosts.0', /lies in network v4/);
  });

  it('layouts that do not fit, networks blacked out whole', () => {
    refused({ networks: [{ ...net, layout: '8/8/4/3' }] }, 'networks.0.layout', /1 unused/);
    refused({ networks: [{ ...net, layout: '8/8/0/8' }] }, 'networks.0.layout', /segment field needs/);
    refused({ networks: [{ ...net, layout: 'wide' }] }, 'networks.0.layout', /is not a layout/);
    refused(
      { networks: [{ ...net, layout: { host: 8, tenant: 8, segment: 4 } }] },
      'networks.0.layout.endpoint',
      /missing/,
    );
    refused({ networks: [{ ...net, block_mask: 29 }] }, 'networks.0', /exclude each other/);
    refused(
      { networks: [{ ...net, reserved: ['10.0.0.0/9', '10.128.0.0/9'] }] },
      'networks.0.reserved',
      /leave nothing/,
    );
    refused(
      { networks: [{ ...net, reserved: ['11.0.0.0/16'] }] },
      'networks.0.reserved.0',
      /does not lie in/,
    );
    refused({ networks: [{ ...net, cidr: '10.0.0.1/8' }] }, 'networks.0.cidr', /host bits/);
  });

  it('names: unknown networks, twice the same, a network in two topologies', () => {
    const two = (a: unknown, b: unknown) => ({ networks: [net], topologies: [a, b] });
    refused(
      two({ networks: ['v4'] }, { networks: ['v4'] }),
      'topologies.1.networks.0',
      /in topology topology1 already/,
    );
    refused(
      { networks: [net], topologies: [{ networks: ['v5'] }] },
      'topologies.0.networks.0',
      /no network v5/,
    );
    refused(
      { networks: [net], topologies: [{ networks: ['v4', 'v4'] }] },
      'topologies.0.networks.1',
      /there twice/,
    );
    refused(
      two({ name: 'dc', networks: [] }, { name: 'dc', networks: [] }),
      'topologies.1',
      /dc is there twice/,
    );
    refused(two({ map: [] }, { map: [] }), 'topologies.1', /Only one topology/);
    const twins = [{ name: 'z', groups: [{ name: 'a' }, { name: 'a' }] }];
    refused(one('10.0.0.0/8', twins, { layout }), 'topologies.0.map.0.groups.1', /"z\/a" is there twice/);
    const flat = { name: 'vips', cidr: '203.0.113.0/24', kind: 'flat' };
    assert.deepEqual(issuesOf({ networks: [flat], topologies: [] }), []);
    refused({ networks: [flat], topologies: [{ networks: ['vips'] }] }, 'topologies.0.networks.0', /is flat/);
  });

  it('hosts: twice, without address, with two of a family, beside groups, outside groups', () => {
    const h = { name: 'h', ip: '192.168.0.1' };
    const inGroups = (a: unknown[], b: unknown[]) =>
      one(
        '10.0.0.0/8',
        [
          { name: 'a', hosts: a },
          { name: 'b', hosts: b },
        ],
        { layout },
      );
    refused(inGroups([h], [h]), 'topologies.0.map.1.hosts.0', /h is there twice/);
    refused(inGroups([h], [{ ...h, name: 'i' }]), 'topologies.0.map.1.hosts.0', /belongs to host h/);
    refused(inGroups([{ name: 'h' }], []), 'topologies.0.map.0.hosts.0', /needs an underlay address/);
    refused(
      inGroups([{ name: 'h', addresses: ['192.168.0.1', '192.168.0.2'] }], []),
      'topologies.0.map.0.hosts.0.addresses',
      /one underlay address of each family/,
    );
    refused(inGroups([{ ...h, ip: 'x' }], []), 'topologies.0.map.0.hosts.0.ip', /./);
    refused(one('10.0.0.0/8', [h], { layout }), 'topologies.0.map.0', /stands in a group/);
    const mixed = [{ name: 'a', hosts: [h], groups: [{ name: 'b' }] }];
    refused(one('10.0.0.0/8', mixed, { layout }), 'topologies.0.map.0.hosts.0', /either groups or hosts/);
  });

  it('a group that asks for other values than those above it can never hold a host', () => {
    const map = [
      { name: 'a', assignment: { zone: 'a' }, groups: [{ name: 'r', assignment: { zone: 'b' } }] },
    ];
    refused(
      one('10.0.0.0/8', map, { layout }),
      'topologies.0.map.0.groups.0.assignment',
      /no host can match/,
    );
  });

  it('types and keys: every one is looked at', () => {
    refused([], '', /Expected an object/);
    refused({ network: [] }, 'network', /Unknown key "network"/);
    refused({ networks: {} }, 'networks', /Expected a list/);
    refused({ networks: ['x'] }, 'networks.0', /Expected an object/);
    refused({ networks: [{ ...net, name: 5 }] }, 'networks.0.name', /is a text, not a number/);
    refused({ networks: [{ ...net, name: 'A' }] }, 'networks.0.name', /is no name/);
    refused({ networks: [{ ...net, tenants: ['a', 'a'] }] }, 'networks.0.tenants.1', /twice/);
    refused(
      { networks: [{ ...net, quarantineSeconds: 1e300 }] },
      'networks.0.quarantineSeconds',
      /0 to 86400/,
    );
    refused({ networks: [{ ...net, infrastructure: true }] }, 'networks.0.infrastructure', /allow or deny/);
    const labelled = (assignment: unknown) => one('10.0.0.0/8', [{ name: 'a', assignment }], { layout });
    refused(labelled({ rack: 1 }), 'topologies.0.map.0.assignment.rack', /put it in quotes/);
    refused(labelled([]), 'topologies.0.map.0.assignment', /pairs such as/);
    refused(
      one('10.0.0.0/8', [{ name: 'a', cidr: '10.0.0.0/9' }], { layout }),
      'topologies.0.map.0.cidr',
      /Unknown key/,
    );
    refused(
      one('10.0.0.0/8', [{ name: 'a/b' }], { layout }),
      'topologies.0.map.0.name',
      /no name of a group/,
    );
  });

  it('any value at any place is an issue or fine, never a crash', () => {
    const odd = fc.oneof(
      fc.anything({ maxDepth: 2 }),
      fc.constantFrom(null, [], {}, '', 'x', -1, 1e9, 2 ** 53, true),
    );
    const keys = [
      'networks',
      'topologies',
      'hosts',
      'name',
      'cidr',
      'layout',
      'map',
      'groups',
      'slots',
      'size',
      'ip',
      'assignment',
    ];
    const value = fc.letrec((tie) => ({
      value: fc.oneof(
        { maxDepth: 5 },
        odd,
        fc.array(tie('value'), { maxLength: 3 }),
        fc.dictionary(fc.constantFrom(...keys), tie('value'), { maxKeys: 5 }),
      ),
    })).value;
    fc.assert(
      fc.property(value, (document) => {
        issuesOf(document);
      }),
      { numRuns: 400 },
    );
  });

  it('a hundred thousand groups, a cycle and a deep nest are refused without walking them', () => {
    const wide = Array.from({ length: 100_000 }, (_, i) => ({ name: `g${i}` }));
    refused(one('10.0.0.0/8', wide, { layout }), 'topologies.0.map', /at most 16384/);
    const split = Array.from({ length: 10 }, (_, i) => ({ name: `z${i}`, groups: wide.slice(0, 10_000) }));
    assert.match(JSON.stringify(issuesOf(one('10.0.0.0/8', split, { layout }))), /More than 16384 groups/);
    const cycle: { name: string; groups: unknown[] } = { name: 'c', groups: [] };
    cycle.groups.push(cycle, cycle);
    const issues = issuesOf(one('10.0.0.0/8', [cycle], { layout }));
    assert.match(JSON.stringify(issues), /nested more than 16 deep/);
    assert.ok(issues.length <= 100);
  });
});
