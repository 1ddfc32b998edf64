/** The whole of it: from topologies, fabrics and hosts to what each host and device is to do. See README.md. */
import { deviceRoutes, gatewaysOf, kindOf, tables } from './device.ts';
import { deviceIntent } from './device-bgp.ts';
import { hostRouting } from './host.ts';
import { findLinks } from './links.ts';
import type { DeviceRouting, HostRouting, RoutingInput, RoutingPlan } from './model.ts';
import { reaches } from './reach.ts';
import { readSite } from './site.ts';

export function planRouting(input: RoutingInput): RoutingPlan {
  const site = readSite(input);
  const links = findLinks(site);
  const reach = reaches(site);
  const table = tables(site, reach);
  return {
    hosts: [...site.hosts.keys()],
    devices: [...site.devices.keys()].sort(),
    problems: site.problems,
    host: (name): HostRouting | undefined => {
      const self = site.hosts.get(name);
      return self === undefined ? undefined : hostRouting(site, self, links.get(self) ?? []);
    },
    device: (name): DeviceRouting | undefined => {
      const self = site.devices.get(name);
      if (self === undefined) return undefined;
      const { topology, path } = self.group;
      const known = table(self);
      return {
        device: self.device,
        topology,
        path,
        kind: kindOf(self),
        routes: deviceRoutes(known),
        gateways: gatewaysOf(self),
        bgp: deviceIntent(site, reach, table, self),
        problems: known.problems,
      };
    },
  };
}
