/** A device's configuration for BIRD 2: static routes, or its side of the BGP sessions. Complete: the daemon needs nothing else. */
import { type Address, type Family, formatAddress, formatCidr } from '../../address/index.ts';
import { RomanaError } from '../../errors.ts';
import { bgpDefaults } from '../fabric.ts';
import type { BgpNeighbour, DeviceBgpIntent, DeviceRouting, PlannedRoute } from '../model.ts';
import {
  birdBfd,
  birdGracefulRestart,
  birdMatch,
  birdQuote,
  birdRecoverySeconds,
  birdSymbol,
  birdTimers,
  indent,
  ofFamily,
} from './bird-text.ts';
import { announcedAlone, type DeviceSecrets, passwordLine, staticRoutes } from './device-routes.ts';
import { isLinkLocal } from './frr-text.ts';

const families: readonly Family[] = [4, 6];

export function birdDevice(routing: DeviceRouting, secrets: DeviceSecrets = {}): string {
  const { bgp, device } = routing;
  const recovery = birdRecoverySeconds(bgpDefaults.connectRetrySeconds);
  const routes = staticRoutes(routing);
  const lines = [
    `# ${device.name}: written by Romana for BIRD 2.`,
    'log stderr { info, remote, warning, error, auth, fatal, bug };',
    `router id ${bgp?.routerId ?? routerIdOf(routing)};`,
    'timeformat protocol "%s";',
    ...(bgp === null ? [] : [`graceful restart wait ${recovery};`]),
    'protocol device romana_device {',
    '}',
    ...families.flatMap((family) => [
      ...kernelLines(family, bgp?.ecmp ?? bgpDefaults.ecmp, bgp),
      `protocol static romana_static${family} {`,
      `  ipv${family};`,
      ...routes.filter(({ cidr }) => cidr.address.family === family).map(routeLine),
      '}',
      ...(bgp === null ? [] : advertiseLines(family, bgp)),
    ]),
    ...(bgp === null ? [] : bgpLines(device.name, bgp, secrets)),
    '',
  ];
  return lines.join('\n');
}

function routerIdOf({ device }: DeviceRouting): string {
  const address = device.addresses.find(({ family }) => family === 4);
  return device.routerId ?? (address === undefined ? '192.0.2.1' : formatAddress(address));
}

function kernelLines(family: Family, ecmp: number, bgp: DeviceBgpIntent | null): string[] {
  return [
    `protocol kernel romana_kernel${family} {`,
    `  merge paths on limit ${ecmp};`,
    '  persist;',
    ...(bgp === null || bgp.gracefulRestartSeconds === 0 ? [] : ['  graceful restart;']),
    `  ipv${family} { import none; export where source ~ [ RTS_STATIC, RTS_BGP ] && proto != "romana_advertise${family}"; };`,
    '}',
  ];
}

/** Told to neighbours and kept out of the kernel. */
function advertiseLines(family: Family, bgp: DeviceBgpIntent): string[] {
  const advertised = ofFamily(family, announcedAlone(bgp));
  if (advertised.length === 0) return [];
  return [
    `protocol static romana_advertise${family} {`,
    `  ipv${family};`,
    ...advertised.map((cidr) => `  route ${formatCidr(cidr)} blackhole;`),
    '}',
  ];
}

function routeLine({ cidr, nextHops }: PlannedRoute): string {
  const ways = nextHops.map(
    ({ address, link }) =>
      `via ${formatAddress(address)}${link !== null && isLinkLocal(address) ? ` dev ${birdQuote(link)}` : ''}`,
  );
  return `  route ${formatCidr(cidr)} ${ways.length === 0 ? 'blackhole' : ways.join(' ')};`;
}

function bgpLines(name: string, bgp: DeviceBgpIntent, secrets: DeviceSecrets): string[] {
  return [
    ...(bgp.neighbours.some(({ bfd }) => bfd !== null) ? ['protocol bfd romana_bfd {', '}'] : []),
    ...bgp.neighbours.flatMap((neighbour) => neighbourLines(name, bgp, neighbour, secrets)),
  ];
}

function neighbourLines(
  device: string,
  bgp: DeviceBgpIntent,
  neighbour: BgpNeighbour,
  secrets: DeviceSecrets,
): string[] {
  const { address, name } = neighbour;
  if (address === null) {
    throw new RomanaError(
      'input_invalid',
      `BIRD cannot hold the unnumbered session of ${device} with ${name}; give that link addresses, or state platform frr.`,
    );
  }
  const where = bgp.neighbours.filter((other) => sameName(other, neighbour)).length > 1;
  const symbol = where ? `${name}.${formatAddress(address)}` : name;
  return [
    `protocol bgp ${birdSymbol('romana_', symbol, `_${neighbour.families.join('')}`)} {`,
    ...indent([
      `description ${birdQuote(name)};`,
      `local ${neighbour.local === null ? '' : `${formatAddress(neighbour.local)} `}as ${bgp.asn};`,
      `neighbor ${formatAddress(address)} as ${neighbour.asn};`,
      ...(neighbour.link === null ? [] : [`interface ${birdQuote(neighbour.link)};`]),
      'direct;',
      ...(neighbour.routeReflectorClient ? ['rr client;'] : []),
      ...(neighbour.ttlSecurity ? ['ttl security on;'] : []),
      ...passwordLine(neighbour, secrets, (password) => `password ${birdQuote(password)};`, '#'),
      ...birdBfd(neighbour.bfd),
      ...birdTimers(bgp.holdSeconds, bgpDefaults.connectRetrySeconds),
      ...birdGracefulRestart(bgp.gracefulRestartSeconds),
      ...neighbour.families.flatMap((family) => channelLines(family, neighbour, address)),
    ]),
    '}',
  ];
}

function sameName(a: BgpNeighbour, b: BgpNeighbour): boolean {
  return a.name === b.name && a.families.join('') === b.families.join('');
}

function channelLines(family: Family, neighbour: BgpNeighbour, address: Address): string[] {
  const accepted = birdMatch(
    family,
    ofFamily(family, neighbour.accept),
    ofFamily(family, neighbour.acceptWithin),
  );
  const announced = birdMatch(
    family,
    ofFamily(family, neighbour.announce),
    ofFamily(family, neighbour.announceWithin),
  );
  return [
    `ipv${family} {`,
    `  import where ${accepted};`,
    `  export where ${announced};`,
    '  next hop self;',
    ...(family === address.family ? [] : ['  extended next hop on;']),
    ...(neighbour.maxPrefixes === null ? [] : [`  import limit ${neighbour.maxPrefixes} action disable;`]),
    '};',
  ];
}
