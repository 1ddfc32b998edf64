/**
 * The configuration of a device as its own software reads it, or as a document. Pure; may import core/address, core/errors and the shapes
 * of core/routing.
 *
 * 1. Complete: with nothing but this (and its links) the device forwards as planned. Minimal: nothing else is in it.
 * 2. The same plan gives the same text, and a change of one route changes the lines of that route.
 * 3. Each neighbour is told, and believed, exactly what the plan says; where a list is empty everything is refused.
 * 4. No secret is in it unless the caller gives one.
 */
import type { Platform } from '../fabric.ts';
import type { DeviceRouting } from '../model.ts';
import { birdDevice } from './bird.ts';
import { eosDevice } from './eos.ts';
import { frrDevice } from './frr.ts';
import { type ExportOptions, header } from './header.ts';
import { iosDevice } from './ios.ts';
import { iproute2Device } from './iproute2.ts';
import { jsonDevice } from './json.ts';
import { junosDevice } from './junos.ts';

export type { ExportOptions } from './header.ts';

type Writer = (routing: DeviceRouting, options: ExportOptions) => string;
const writers: Readonly<Record<Platform, Writer>> = {
  iproute2: iproute2Device,
  frr: (routing, options) => headed(routing, frrDevice(routing, options), 'FRR', options, '!'),
  bird: (routing, options) => headed(routing, birdDevice(routing, options), 'BIRD 2', options, '#'),
  'arista-eos': eosDevice,
  'cisco-ios': iosDevice,
  'juniper-junos': junosDevice,
  json: jsonDevice,
};

/** Throws input_invalid where the format cannot say what is planned. */
export function exportDevice(routing: DeviceRouting, format: Platform, options: ExportOptions = {}): string {
  return writers[format](routing, options);
}

/** In place of the first line, which says whose it is. */
function headed(
  routing: DeviceRouting,
  text: string,
  what: string,
  options: ExportOptions,
  comment: string,
): string {
  return [...header(routing, what, options, comment), text.slice(text.indexOf('\n') + 1)].join('\n');
}
