/** What the agent must know of its host, read afresh from the kernel. */
import type { Runner } from '../../exec.ts';
import type { KernelFiles } from '../../files.ts';
import type { KernelFacts } from '../../ports.ts';
import { dumpDefaultRoutes, dumpLinks } from './dump.ts';

export function createKernelFacts(runner: Runner, files: KernelFiles): KernelFacts {
  return {
    async read() {
      const [links, defaults] = await Promise.all([dumpLinks(runner), dumpDefaultRoutes(runner)]);
      return {
        links: links.map(({ name, mtu, up, addresses }) => ({
          name,
          mtu,
          up,
          addresses: addresses.map(({ address, length }) => ({ address, length })),
        })),
        defaultRoutes: defaults
          .filter(({ type }) => type === 'unicast')
          .flatMap((route) =>
            (route.link === null ? route.links : [route.link]).map((link) => ({
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
  };
}
