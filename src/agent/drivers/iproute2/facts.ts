/** What the agent must know of its host, read afresh from the kernel. */
import type { Runner } from '../../exec.ts';
import type { KernelFiles } from '../../files.ts';
import type { KernelFacts } from '../../ports.ts';
import { type DumpedRoute, dumpDefaultRoutes, dumpLinks, dumpNeighbours } from './dump.ts';

export function createKernelFacts(runner: Runner, files: KernelFiles): KernelFacts {
  return {
    async read() {
      const [links, defaults] = await Promise.all([dumpLinks(runner), dumpDefaultRoutes(runner)]);
      return {
        links: links.map(({ name, mtu, up, running, addresses }) => ({
          name,
          mtu,
          up,
          running,
          addresses: addresses.map(({ address, length, duplicate }) => ({
            address,
            length,
            ...(duplicate ? { duplicate } : {}),
          })),
        })),
        defaultRoutes: defaults
          .filter(({ type }) => type === 'unicast')
          .flatMap((route) =>
            linksOf(route).map((link) => ({
              family: route.cidr.address.family,
              link,
              fromRouterAdvertisement: route.protocol === 'ra',
            })),
          ),
        forwarding: {
          4: files.read('/proc/sys/net/ipv4/ip_forward') === '1',
          6: files.read('/proc/sys/net/ipv6/conf/all/forwarding') === '1',
        },
      };
    },
    neighbours: () => dumpNeighbours(runner),
  };
}

function linksOf({ link, hops }: DumpedRoute): string[] {
  return [link, ...hops.map((hop) => hop.link)].filter((name) => name !== null);
}
