/** What BIRD and FRR on devices are told, read back by readers that know only their languages. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { type Cidr, formatAddress, formatCidr, widthOf } from '../../address/index.ts';
import { isRomanaError } from '../../errors.ts';
import type { BgpNeighbour, DeviceRouting } from '../model.ts';
import { exportDevice } from './index.ts';
import { cases, showRoute } from './samples.ts';

interface Session {
  readonly asn: number;
  /** Condition by family: `10.0.0.0/8`, `10.0.0.0/8+`. */
  readonly in: string[];
  readonly out: string[];
  readonly text: string;
}
interface Read {
  readonly routes: string[];
  readonly sessions: Map<string, Session>;
  /** Announced with or without a route behind it. */
  readonly networks: string[];
}

const block = (text: string, start: RegExp): string[] =>
  [...text.matchAll(new RegExp(`^${start.source} \\{\\n([^]*?)^\\}$`, 'gm'))].map(
    (found) => found.at(-1) ?? '',
  );

function readBird(text: string): Read {
  const statics = (name: string): string[] =>
    block(text, new RegExp(`protocol static romana_${name}[46]`)).flatMap((lines) =>
      [...lines.matchAll(/^ {2}route (\S+) (.*);$/gm)].map(([, cidr, way = '']) =>
        way === 'blackhole' ? `${cidr} drop` : `${cidr} via ${way.replaceAll('via ', '')}`,
      ),
    );
  const conditions = (lines: string, way: string): string[] =>
    [...lines.matchAll(new RegExp(`${way} where ([^;]*);`, 'g'))].flatMap(([, condition = '']) =>
      condition === 'false' ? [] : [...condition.matchAll(/[0-9a-f.:]+\/\d+\+?/g)].map(([cidr]) => cidr),
    );
  const sessions = block(text, /protocol bgp \S+/).map((lines): [string, Session] => {
    const [, address = '', asn] = /neighbor (\S+) as (\d+);/.exec(lines) ?? [];
    return [
      address,
      { asn: Number(asn), in: conditions(lines, 'import'), out: conditions(lines, 'export'), text: lines },
    ];
  });
  const routes = statics('static');
  return {
    routes,
    sessions: new Map(sessions),
    networks: [...routes, ...statics('advertise')].map((line) => line.split(' ')[0] ?? ''),
  };
}

function readFrr(text: string): Read {
  const hops = new Map<string, string[]>();
  for (const [, cidr = '', way = ''] of text.matchAll(/^ip(?:v6)? route (\S+) (\S+)$/gm))
    hops.set(cidr, [...(hops.get(cidr) ?? []), way]);
  const routes = [...hops].map(([cidr, ways]) =>
    ways[0] === 'blackhole' ? `${cidr} drop` : `${cidr} via ${ways.sort().join(' ')}`,
  );
  const list = (name: string | undefined): string[] => {
    const entries = [...text.matchAll(/^ip(?:v6)? prefix-list (\S+) seq \d+ (permit|deny) (.*)$/gm)].filter(
      ([, of]) => of === name,
    );
    assert.match(entries.at(-1)?.[0] ?? '', /seq 4294967295 deny any$/);
    return entries.slice(0, -1).map(([, , , what = '']) => what.replace(/ le (32|128)$/, '+'));
  };
  const sessions = [...text.matchAll(/^ neighbor (\S+) remote-as (\d+)$/gm)].map(
    ([, address = '', asn]): [string, Session] => {
      const lines = text.split('\n').filter((line) => line.trim().startsWith(`neighbor ${address} `));
      const of = (way: string): string[] =>
        list(
          lines
            .map((line) => new RegExp(`prefix-list (\\S+) ${way}$`).exec(line)?.[1])
            .find((name) => name !== undefined),
        );
      assert.ok(
        lines.some((line) => line.endsWith(' activate')),
        address,
      );
      return [address, { asn: Number(asn), in: of('in'), out: of('out'), text: lines.join('\n') }];
    },
  );
  const networks = [...text.matchAll(/^ {2}network (\S+)$/gm)].map(([, cidr = '']) => cidr);
  const told = text.includes('  redistribute static') ? routes.map((line) => line.split(' ')[0] ?? '') : [];
  return { routes, sessions: new Map(sessions), networks: [...new Set([...networks, ...told])] };
}

const shown = (exact: readonly Cidr[], within: readonly Cidr[]): string[] =>
  [
    ...exact.map(formatCidr),
    ...within.map((cidr) =>
      cidr.length === widthOf(cidr.address.family) ? formatCidr(cidr) : `${formatCidr(cidr)}+`,
    ),
  ].sort();

function toBeRouted({ bgp, routes }: DeviceRouting): string[] {
  if (bgp === null) return routes.map(showRoute);
  return [...bgp.originate.map((cidr) => `${formatCidr(cidr)} drop`), ...bgp.statics.map(showRoute)];
}

function checkSession(format: 'bird' | 'frr', neighbour: BgpNeighbour, session: Session | undefined): void {
  assert.ok(session !== undefined, neighbour.name);
  const says = (pattern: RegExp, wanted: boolean): void =>
    assert.equal(pattern.test(session.text), wanted, `${pattern} of ${neighbour.name}`);
  assert.equal(session.asn, neighbour.asn);
  assert.deepEqual(session.in.toSorted(), shown(neighbour.accept, neighbour.acceptWithin));
  assert.deepEqual(session.out.toSorted(), shown(neighbour.announce, neighbour.announceWithin));
  says(/s3cret/, neighbour.password);
  says(/ttl[ -]security/, neighbour.ttlSecurity);
  says(/\bbfd\b/, neighbour.bfd !== null);
  says(/import limit|maximum-prefix/, neighbour.maxPrefixes !== null);
  says(/rr client|route-reflector-client/, neighbour.routeReflectorClient);
  says(format === 'bird' ? /next hop self;/ : /next-hop-self force$/m, true);
}

for (const [format, read, end] of [
  ['bird', readBird, 'conf'],
  ['frr', readFrr, 'conf'],
] as const) {
  describe(format, () => {
    for (const [name, routing] of cases) {
      it(`is told its routes, sessions and filters, and nothing else: ${routing.device.name}, ${name}`, () => {
        const found = read(exportDevice(routing, format, { password: 's3cret' }));
        assert.deepEqual(found.routes.toSorted(), toBeRouted(routing).sort());
        const neighbours = routing.bgp?.neighbours ?? [];
        assert.deepEqual(
          [...found.sessions.keys()].sort(),
          neighbours.flatMap(({ address }) => (address === null ? [] : [formatAddress(address)])).sort(),
        );
        for (const neighbour of neighbours)
          checkSession(
            format,
            neighbour,
            found.sessions.get(neighbour.address === null ? '' : formatAddress(neighbour.address)),
          );
        if (routing.bgp !== null) {
          const { originate, advertise, statics } = routing.bgp;
          const told = [...originate, ...advertise, ...statics.map(({ cidr }) => cidr)].map(formatCidr);
          assert.deepEqual(found.networks.toSorted(), [...new Set(told)].sort());
        }
      });
      it(`golden: ${routing.device.name}, ${name}`, () => {
        const file = new URL(`./golden/${name}-${routing.device.name}.${format}.${end}`, import.meta.url);
        const text = exportDevice(routing, format, { revision: 42 });
        if (process.env['ROMANA_WRITE_GOLDEN'] === '1') writeFileSync(file, text);
        assert.equal(text, readFileSync(file, 'utf8'));
      });
    }

    it('keeps what is only told out of the kernel, and lets no graceful restart be promised that is not wanted', () => {
      const [, routing] = cases.find(([name, { bgp }]) => name === 'full' && bgp !== null) ?? [];
      assert.ok(routing?.bgp !== null && routing !== undefined);
      const lonely = {
        ...routing,
        bgp: {
          ...routing.bgp,
          originate: [],
          statics: [],
          advertise: routing.routes.slice(0, 1).map(({ cidr }) => cidr),
        },
      };
      const text = exportDevice(lonely, format);
      assert.deepEqual([read(text).routes, read(text).networks], [[], lonely.bgp.advertise.map(formatCidr)]);
      if (format === 'bird') assert.equal(text.match(/&& proto != "romana_advertise[46]"/g)?.length, 2);
      assert.doesNotMatch(text, /graceful restart on|bgp graceful-restart/);
    });

    it('an unnumbered session is said only where the language has it', () => {
      const [, routing] = cases.find(([, { bgp }]) => bgp !== null) ?? [];
      assert.ok(routing?.bgp !== null && routing !== undefined);
      const neighbours = routing.bgp.neighbours.slice(0, 1).map((one) => ({ ...one, address: null }));
      const at = (link: string | null): string =>
        exportDevice(
          { ...routing, bgp: { ...routing.bgp!, neighbours: neighbours.map((one) => ({ ...one, link })) } },
          format,
        );
      const refused = (error: unknown): boolean => isRomanaError(error) && error.code === 'input_invalid';
      assert.throws(() => at(null), refused);
      if (format === 'bird') assert.throws(() => at('swp1'), refused);
      else assert.match(at('swp1'), /neighbor swp1 interface remote-as/);
    });
  });
}
