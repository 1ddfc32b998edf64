/** A site to export the devices of, for tests. */
import { formatAddress, formatCidr } from '../../address/index.ts';
import { planRouting } from '../index.ts';
import type { PlannedRoute } from '../model.ts';
import { bgp, device, deviceUplink, group, host, input, l3Static, network, uplink } from '../testing.ts';

export const networks = [network('v4', '10.0.0.0/8'), network('v6', 'fd10::/16')];

/** A spine over a rack with two ToRs and one with a single ToR; hosts with one range, with two, with a granted route, and fenced. */
function site(fabric: Parameters<typeof group>[2]): ReturnType<typeof planRouting> {
  const leaf = (name: string, n: number, more = {}) =>
    device(name, [`192.168.${n}.1`, `fd00:${n}::1`], {
      asn: 65_000 + n,
      uplinks: [deviceUplink('spine', [`172.16.${n}.2`, `fd01:${n}::2`], [`172.16.${n}.1`, `fd01:${n}::1`])],
      ...more,
    });
  const both = ['leaf1a', 'leaf1b'];
  const dual = (n: number) => ({
    uplinks: both.map((name, i) => uplink(name, [`192.168.${i + 1}.${n}`, `fd00:${i + 1}::${n}`])),
  });
  const root = group(
    '',
    { v4: '10.0.0.0/8', v6: 'fd10::/16' },
    {
      ...fabric,
      devices: [
        device('spine', ['192.168.0.1', 'fd00::1'], { asn: 65_000, budget: 3, routeReflector: true }),
      ],
      groups: [
        group(
          'r1',
          { v4: '10.0.0.0/9', v6: 'fd10::/17' },
          { devices: [leaf('leaf1a', 1), leaf('leaf1b', 2)] },
        ),
        group(
          'r2',
          { v4: '10.128.0.0/9', v6: 'fd10:8000::/17' },
          { devices: [leaf('leaf2', 3, { asn: 65_000 })] },
        ),
      ],
    },
  );
  const ranges = (...n: number[]) => ({
    v4: n.map((id) => `10.${id}.0.0/16`),
    v6: n.map((id) => `fd10:${(id < 128 ? id : id - 128 + 0x8000).toString(16)}::/32`),
  });
  return planRouting(
    input(networks, root, [
      host('h1', 'r1', ['192.168.9.1', 'fd00:9::1'], ranges(1), dual(11)),
      host('h2', 'r1', ['192.168.9.2', 'fd00:9::2'], ranges(2, 3, 9), dual(12)),
      host('h3', 'r1', ['192.168.9.3'], ranges(4), { ...dual(13), state: 'fenced' }),
      host('h4', 'r2', ['192.168.3.11', 'fd00:3::11'], ranges(129), { asn: 65_000 }),
    ]),
  );
}
const full = bgp({
  passwordFile: '/etc/romana/bgp-password',
  ttlSecurity: true,
  bfd: { intervalMs: 300, multiplier: 3 },
  gracefulRestartSeconds: 0,
});
export const plans = {
  static: site({ fabric: l3Static }),
  bgp: site({ fabric: bgp() }),
  full: site({ fabric: full }),
} as const;
export const cases = (['static', 'bgp', 'full'] as const).flatMap((name) =>
  ['spine', 'leaf1a', 'leaf2'].map((of) => [name, plans[name].device(of)!] as const),
);

export const showRoute = ({ cidr, nextHops }: PlannedRoute): string =>
  nextHops.length === 0
    ? `${formatCidr(cidr)} drop`
    : `${formatCidr(cidr)} via ${nextHops
        .map(({ address }) => formatAddress(address))
        .toSorted()
        .join(' ')}`;
