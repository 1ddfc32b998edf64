import { randomBytes, randomInt, randomUUID } from 'node:crypto';
import type { Random } from '#core/ports.ts';

/** randomInt takes a range below 2^48: fine enough for jitter. */
const steps = 2 ** 47;

/** From the kernel's generator: fit for secrets and uids. */
export const systemRandom: Random = {
  bytes: (n) => new Uint8Array(randomBytes(n)),
  uuid: () => randomUUID(),
  fraction: () => randomInt(steps) / steps,
};
