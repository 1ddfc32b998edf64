/** A device's configuration for FRR: static routes, or its side of the BGP sessions. One file for all daemons of FRR. */
import { compareCidr, type Family, formatAddress, formatCidr } from '../../address/index.ts';
import { RomanaError } from '../../errors.ts';
import { bgpDefaults } from '../fabric.ts';
import type { BgpNeighbour, DeviceBgpIntent, DeviceRouting, PlannedRoute } from '../model.ts';
import { birdRecoverySeconds, ofFamily } from './bird-text.ts';
import { announcedAlone, type DeviceSecrets, passwordLine, staticRoutes } from './device-routes.ts';
import {
  frrBfdProfiles,
  frrNeighbour,
  frrPrefixList,
  frrSession,
  frrStalePaths,
  frrWord,
  isLinkLocal,
  needsExtendedNextHop,
} from './frr-text.ts';

const families: readonly Family[] = [4, 6];

/** FRR judges by a new list what comes from then on, not what it was told before. */
const RELOAD =
  '! After frr-reload.py on a running device: clear bgp ipv4 unicast * soft in, clear bgp ipv6 unicast * soft in';

export function frrDevice(routing: DeviceRouting, secrets: DeviceSecrets = {}): string {
  const { bgp, device } = routing;
  const lines = [
    `! ${device.name}: written by Romana for FRR.`,
    ...(bgp === null ? [] : [RELOAD]),
    'frr defaults traditional',
    `hostname ${frrWord(device.name)}`,
    'log stdout',
    '!',
    ...staticRoutes(routing).flatMap(routeLines),
    ...(bgp === null ? [] : bgpLines(device.name, bgp, secrets)),
    '',
  ];
  return lines.join('\n');
}

function routeLines({ cidr, nextHops }: PlannedRoute): string[] {
  const start = `${cidr.address.family === 4 ? 'ip' : 'ipv6'} route ${formatCidr(cidr)}`;
  if (nextHops.length === 0) return [`${start} blackhole`];
  return nextHops.map(
    ({ address, link }) =>
      `${start} ${formatAddress(address)}${link !== null && isLinkLocal(address) ? ` ${link}` : ''}`,
  );
}

function bgpLines(device: string, bgp: DeviceBgpIntent, secrets: DeviceSecrets): string[] {
  const unlinked = bgp.neighbours.find(({ address, link }) => address === null && link === null);
  if (unlinked !== undefined) {
    throw new RomanaError(
      'input_invalid',
      `The unnumbered session of ${device} with ${unlinked.name} needs a link; name it in the device's links.`,
    );
  }
  const recovery = birdRecoverySeconds(bgpDefaults.connectRetrySeconds);
  const restart = bgp.gracefulRestartSeconds;
  return [
    ...families.flatMap((family) => bgp.neighbours.flatMap((neighbour) => listLines(family, neighbour))),
    ...frrBfdProfiles(bgp.neighbours),
    ...(bgp.neighbours.some((neighbour) => isNumbered(6, neighbour))
      ? [`route-map ${GLOBAL} permit 10`, ' set ipv6 next-hop prefer-global']
      : []),
    '!',
    `router bgp ${bgp.asn}`,
    ` bgp router-id ${bgp.routerId}`,
    ' no bgp default ipv4-unicast',
    ...(restart === 0
      ? []
      : [
          ' bgp graceful-restart',
          ...frrStalePaths(restart, hasOtherWays(bgp)).map((line) => ` ${line}`),
          ...(restart === 120 ? [] : [` bgp graceful-restart restart-time ${restart}`]),
          ` bgp graceful-restart select-defer-time ${recovery}`,
          ' bgp graceful-restart preserve-fw-state',
        ]),
    ' bgp bestpath as-path multipath-relax',
    ' no bgp network import-check',
    ...bgp.neighbours.flatMap((neighbour) => sessionLines(bgp, neighbour, secrets)).map((line) => ` ${line}`),
    ...families.flatMap((family) => familyLines(family, bgp)),
  ];
}

/**
 * A neighbour with an address of its own is routed to by that one. FRR prefers its link-local one, and guesses the link by the session's
 * local address, which a switch may have on all of its ports.
 */
const GLOBAL = 'GLOBAL-NEXT-HOP';

function isNumbered(family: Family, { address, families }: BgpNeighbour): boolean {
  return family === 6 && families.includes(6) && address?.family === 6 && !isLinkLocal(address);
}

/** Above hosts nothing can stand in for a neighbour; among devices another may bring the same. */
function hasOtherWays({ neighbours }: DeviceBgpIntent): boolean {
  if (neighbours.length === 0 || neighbours.some(({ role }) => role === 'host')) return false;
  const bringers = Map.groupBy(
    neighbours.flatMap(({ accept, acceptWithin }) => [...accept, ...acceptWithin].map(formatCidr)),
    (text) => text,
  );
  return [...bringers.values()].every(({ length }) => length > 1);
}

function listName(neighbour: BgpNeighbour, family: Family, direction: 'IN' | 'OUT'): string {
  const who = neighbour.address === null ? frrNeighbour(neighbour) : formatAddress(neighbour.address);
  return `${frrWord(neighbour.name)}-${who}-${direction}${family}`;
}

function listLines(family: Family, neighbour: BgpNeighbour): string[] {
  if (!neighbour.families.includes(family)) return [];
  return [
    ...frrPrefixList(family, listName(neighbour, family, 'IN'), neighbour.accept, neighbour.acceptWithin),
    ...frrPrefixList(
      family,
      listName(neighbour, family, 'OUT'),
      neighbour.announce,
      neighbour.announceWithin,
    ),
  ];
}

function sessionLines(bgp: DeviceBgpIntent, neighbour: BgpNeighbour, secrets: DeviceSecrets): string[] {
  const who = `neighbor ${frrNeighbour(neighbour)}`;
  const password = passwordLine(neighbour, secrets, (text) => `${who} password ${frrWord(text)}`, '!');
  return [
    ...frrSession(neighbour, password, bgp.holdSeconds, bgpDefaults.connectRetrySeconds),
    ...(needsExtendedNextHop(neighbour.address, neighbour.families)
      ? [`${who} capability extended-nexthop`]
      : []),
  ];
}

function familyLines(family: Family, bgp: DeviceBgpIntent): string[] {
  return [
    ' !',
    ` address-family ipv${family} unicast`,
    ...ofFamily(family, [...bgp.originate, ...announcedAlone(bgp)])
      .sort(compareCidr)
      .map((cidr) => `  network ${formatCidr(cidr)}`),
    ...(bgp.statics.some(({ cidr }) => cidr.address.family === family) ? ['  redistribute static'] : []),
    ...bgp.neighbours
      .filter((neighbour) => neighbour.families.includes(family))
      .flatMap((neighbour) => {
        const who = `  neighbor ${frrNeighbour(neighbour)}`;
        return [
          ...(neighbour.routeReflectorClient ? [`${who} route-reflector-client`] : []),
          `${who} next-hop-self force`,
          `${who} prefix-list ${listName(neighbour, family, 'IN')} in`,
          `${who} prefix-list ${listName(neighbour, family, 'OUT')} out`,
          ...(isNumbered(family, neighbour) ? [`${who} route-map ${GLOBAL} in`] : []),
          ...(neighbour.maxPrefixes === null ? [] : [`${who} maximum-prefix ${neighbour.maxPrefixes}`]),
          `${who} activate`,
        ];
      }),
    `  maximum-paths ${bgp.ecmp}`,
    `  maximum-paths ibgp ${bgp.ecmp}`,
    ' exit-address-family',
  ];
}
