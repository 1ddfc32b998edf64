/** The configuration of a device as its own software reads it, or as documents. Pure; complete and minimal, in the same order each time. */
import { RomanaError } from '../../errors.ts';
import type { Platform } from '../fabric.ts';
import type { DeviceRouting } from '../model.ts';
import { birdDevice } from './bird.ts';
import type { DeviceSecrets } from './device-routes.ts';
import { frrDevice } from './frr.ts';
import { iproute2Device } from './iproute2.ts';

type Writer = (routing: DeviceRouting, secrets: DeviceSecrets) => string;
const writers: Partial<Record<Platform, Writer>> = {
  bird: birdDevice,
  frr: frrDevice,
  iproute2: iproute2Device,
};

export function exportDevice(routing: DeviceRouting, format: Platform, secrets: DeviceSecrets = {}): string {
  const writer = writers[format];
  if (writer !== undefined) return writer(routing, secrets);
  throw new RomanaError('input_invalid', `No configuration for ${format} can be written.`);
}
