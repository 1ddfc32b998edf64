/** Per-link sysctls of endpoint links, and forwarding. Compared on each apply: reading them costs microseconds. */
import { RomanaError } from '#core/errors.ts';
import type { KernelFiles } from '../../files.ts';
import type { Change } from '../../ports.ts';

export interface Sysctl {
  readonly path: string;
  readonly value: string;
  /** The kernel may be built or booted without it. */
  readonly optional: boolean;
}

/** What the host end of an endpoint's link needs. `six`: the endpoint has an IPv6 address, so that IPv6 must work on the link. */
export function linkSysctls(link: string, six: boolean): Sysctl[] {
  const v4 = `/proc/sys/net/ipv4/conf/${link}`;
  const v6 = `/proc/sys/net/ipv6/conf/${link}`;
  return [
    // Routes to endpoints are per link: an endpoint must not be told of better ones.
    { path: `${v4}/send_redirects`, value: '0', optional: false },
    // The set of link and source is the check; the kernel's own would break further source prefixes.
    { path: `${v4}/rp_filter`, value: '0', optional: false },
    ...(six ? [{ path: `${v6}/disable_ipv6`, value: '0', optional: false }] : []),
    // An endpoint must not configure its host by router advertisements.
    { path: `${v6}/accept_ra`, value: '0', optional: !six },
    { path: `${v6}/accept_dad`, value: '0', optional: !six },
    // No address made from the link's MAC: fe80::1 is to be the only one.
    { path: `${v6}/addr_gen_mode`, value: '1', optional: !six },
  ];
}

export function forwardingSysctls(families: readonly (4 | 6)[]): Sysctl[] {
  return families.map((family) => ({
    path: family === 4 ? '/proc/sys/net/ipv4/ip_forward' : '/proc/sys/net/ipv6/conf/all/forwarding',
    value: '1',
    optional: false,
  }));
}

/** Writes what differs. Throws on the first that cannot be set. */
export function applySysctls(files: KernelFiles, sysctls: readonly Sysctl[]): Change[] {
  const changes: Change[] = [];
  for (const { path, value, optional } of sysctls) {
    const found = files.read(path);
    if (found === value) continue;
    if (found === undefined) {
      if (optional) continue;
      throw new RomanaError(
        'kernel_refused',
        `There is no ${path}: the link is gone, or the kernel runs without that family.`,
      );
    }
    files.write(path, value);
    changes.push({ action: 'update', kind: 'sysctl', object: sysctlName(path) });
  }
  return changes;
}

export function sysctlName(path: string): string {
  return path.slice('/proc/sys/'.length);
}
