/** What is exported is read back by readers that know only the devices' languages, and has to say what was planned. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { type Cidr, equalCidr, formatAddress, formatCidr, widthOf } from '../../address/index.ts';
import { isRomanaError } from '../../errors.ts';
import { type Platform, platforms } from '../fabric.ts';
import { planRouting } from '../index.ts';
import type { DeviceRouting } from '../model.ts';
import { bgp, device, group, host, input, uplink } from '../testing.ts';
import { build, shapes } from '../testing-sites.ts';
import { exportDevice } from './index.ts';
import { cases, networks, plans, showRoute } from './samples.ts';
import { type ReadDevice, readCisco, readIproute2, readJunos } from './testing.ts';

const readers: Partial<Record<Platform, (text: string) => ReadDevice>> = {
  iproute2: readIproute2,
  'arista-eos': readCisco,
  'cisco-ios': readCisco,
  'juniper-junos': readJunos,
};
const permits = (exact: readonly Cidr[], within: readonly Cidr[]): string[] => [
  ...exact.map(formatCidr),
  ...within.map((cidr) => `${formatCidr(cidr)} le ${widthOf(cidr.address.family)}`),
];

/** What a device has to be told, from the plan alone. */
function toBeTold({ bgp: own, routes, gateways }: DeviceRouting): string[] {
  if (own === null) return routes.map(showRoute);
  const statics = [
    ...own.originate.map((cidr) => `${formatCidr(cidr)} drop`),
    ...own.statics.map(showRoute),
    ...own.advertise.flatMap((cidr) => {
      const nextHops = gateways.filter(({ address }) => address.family === cidr.address.family);
      const there = own.statics.some((route) => equalCidr(route.cidr, cidr));
      return there || nextHops.length === 0 ? [] : [showRoute({ cidr, nextHops, why: { kind: 'own' } })];
    }),
  ];
  return statics;
}

function tellsAll(routing: DeviceRouting, format: 'arista-eos' | 'cisco-ios' | 'juniper-junos'): void {
  const text = exportDevice(routing, format, { password: 'secret' });
  const read = readers[format]!(text);
  assert.deepEqual(read.routes.toSorted(), toBeTold(routing).toSorted());
  const neighbours = routing.bgp?.neighbours ?? [];
  assert.deepEqual(
    Object.keys(read.sessions).toSorted(),
    neighbours.map(({ address }) => formatAddress(address!)).toSorted(),
  );
  for (const neighbour of neighbours) {
    const session = read.sessions[formatAddress(neighbour.address!)]!;
    assert.equal(session.asn, neighbour.asn);
    const { accept, acceptWithin, announce, announceWithin } = neighbour;
    assert.deepEqual(session.in.toSorted(), permits(accept, acceptWithin).toSorted());
    assert.deepEqual(session.out.toSorted(), permits(announce, announceWithin).toSorted());
    const said = JSON.stringify(session.more);
    assert.equal(said.includes('secret'), neighbour.password);
    assert.equal(/"ttl|ttl-security/.test(said), neighbour.ttlSecurity);
    assert.equal(said.includes('bfd'), neighbour.bfd !== null);
    assert.equal(/maximum-(routes|prefix)|prefix-limit/.test(said), neighbour.maxPrefixes !== null);
  }
  if (routing.bgp !== null && format !== 'juniper-junos')
    assert.deepEqual(
      read.networks.toSorted(),
      [
        ...new Set([
          ...toBeTold(routing).map((line) => line.split(' ')[0]!),
          ...(routing.bgp?.advertise ?? []).map(formatCidr),
        ]),
      ].toSorted(),
    );
}

describe('what is exported', () => {
  for (const [name, routing] of cases) {
    for (const format of ['arista-eos', 'cisco-ios', 'juniper-junos'] as const) {
      it(`tells a device its routes and filters, and nothing else: ${routing.device.name}, ${name}, ${format}`, () => {
        tellsAll(routing, format);
      });
    }
    it(`is the whole table for a Linux box: ${routing.device.name}, ${name}`, () => {
      assert.deepEqual(readIproute2(exportDevice(routing, 'iproute2')).routes, routing.routes.map(showRoute));
    });
  }

  it('holds for the devices of any site', () => {
    const kinds = ['l2', 'l3-static', 'bgp', 'direct'] as const;
    let compared = 0;
    fc.assert(
      fc.property(shapes(kinds, true, 1), (shape) => {
        const plan = planRouting(build(shape));
        for (const name of plan.devices) {
          const routing = plan.device(name)!;
          if (routing.bgp?.neighbours.some(({ address }) => address === null)) continue;
          const text = exportDevice(routing, 'iproute2');
          assert.deepEqual(readIproute2(text).routes, routing.routes.map(showRoute));
          for (const format of ['arista-eos', 'cisco-ios', 'juniper-junos'] as const)
            tellsAll(routing, format);
          compared++;
        }
      }),
      { numRuns: 60 },
    );
    assert.ok(compared > 100);
  });

  it('names device, group, revision and what of its room is used, in every format', () => {
    const spine = plans.static.device('spine')!;
    for (const format of platforms.filter((one) => one !== 'json')) {
      const text = exportDevice(spine, format, { revision: 12 });
      const [first, second] = text.split('\n');
      assert.match(first!, /^[!#] spine: written by Romana for /);
      assert.match(
        second!,
        /^[!#] topology default; \d+ routes of 3: more than it has room for; revision 12$/,
      );
    }
    const other = exportDevice(plans.static.device('leaf1a')!, 'arista-eos');
    assert.match(other.split('\n')[1]!, /^! group r1 of topology default; \d+ routes$/);
  });

  it('has no secret that was not given, in any format', () => {
    for (const format of platforms) {
      const text = exportDevice(plans.full.device('leaf1a')!, format);
      assert.doesNotMatch(text, /bgp-password/);
      if (format !== 'json' && format !== 'iproute2') assert.match(text, /PASSWORD/);
    }
  });

  it('refuses what a language cannot say, and says which can', () => {
    const unnumbered = bgp({ daemon: 'frr', unnumbered: true });
    const tor = device('tor', [], { asn: 65_001, routerId: '192.0.2.1', links: { h1: 'swp1' } });
    const root = group('', { v4: '10.0.0.0/8' }, { fabric: unnumbered, devices: [tor] });
    const h1 = host(
      'h1',
      '',
      ['192.168.0.1'],
      { v4: '10.1.0.0/16' },
      { uplinks: [uplink('tor', [], 'eth0')] },
    );
    const routing = planRouting(input([networks[0]!], root, [h1])).device('tor')!;
    assert.equal(routing.bgp?.neighbours.length, 1);
    for (const format of ['arista-eos', 'cisco-ios', 'juniper-junos', 'bird', 'iproute2'] as const)
      assert.throws(
        () => exportDevice(routing, format),
        (error) => isRomanaError(error) && error.code === 'input_invalid' && /frr/.test(error.message),
      );
    assert.match(exportDevice(routing, 'frr'), /neighbor swp1 interface/);
  });

  it('says where a route has to be added that only the site knows', () => {
    const tor = device('tor', ['192.168.1.1'], { asn: 65_001 });
    const r1 = group('r1', { v4: '10.0.0.0/9' }, { devices: [tor] });
    const root = group(
      '',
      { v4: '10.0.0.0/8' },
      { fabric: bgp(), groups: [r1, group('r2', { v4: '10.128.0.0/9' })] },
    );
    const routing = planRouting(
      input([networks[0]!], root, [host('h1', 'r1', ['192.168.1.9'], { v4: '10.1.0.0/16' })]),
    );
    const tors = routing.device('tor')!;
    assert.deepEqual(tors.bgp?.advertise.map(formatCidr), ['10.0.0.0/8']);
    for (const format of ['arista-eos', 'cisco-ios', 'juniper-junos'] as const)
      assert.match(
        exportDevice(tors, format),
        /10\.0\.0\.0\/8 is announced only while .* has a route for it/,
      );
  });
});

describe('golden files', () => {
  const suffix = {
    iproute2: 'txt',
    'arista-eos': 'cfg',
    'cisco-ios': 'cfg',
    'juniper-junos': 'set',
    json: 'txt',
  };
  for (const [name, routing] of cases) {
    if (routing.device.name === 'leaf2') continue;
    for (const [format, end] of Object.entries(suffix)) {
      const file = new URL(`./golden/${name}-${routing.device.name}.${format}.${end}`, import.meta.url);
      it(`${name}, ${routing.device.name}: ${format}`, () => {
        const text = exportDevice(routing, format as Platform, { revision: 42 });
        if (process.env['ROMANA_WRITE_GOLDEN'] === '1') writeFileSync(file, text);
        assert.equal(text, readFileSync(file, 'utf8'));
      });
    }
  }
});
