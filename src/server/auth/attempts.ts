/** Failed attempts by address: a bucket each, in bounded memory. Guards the log and the processor; secrets are too long to guess. */
import type { Clock } from '#core/ports.ts';

export interface Attempts {
  /** False: this address failed too often lately. */
  allowed(address: string): boolean;
  failed(address: string): void;
}

interface Bucket {
  left: number;
  at: number;
}

export function createAttempts(
  clock: Pick<Clock, 'monotonic'>,
  limits: { burst: number; perSecond: number; addresses: number } = {
    burst: 50,
    perSecond: 1,
    addresses: 10_000,
  },
): Attempts {
  const buckets = new Map<string, Bucket>();
  const level = (bucket: Bucket): number =>
    Math.min(limits.burst, bucket.left + ((clock.monotonic() - bucket.at) / 1000) * limits.perSecond);
  return {
    allowed(address) {
      const bucket = buckets.get(address);
      return bucket === undefined || level(bucket) >= 1;
    },
    failed(address) {
      const bucket = buckets.get(address);
      const left = (bucket === undefined ? limits.burst : level(bucket)) - 1;
      buckets.delete(address);
      buckets.set(address, { left: Math.max(0, left), at: clock.monotonic() });
      const [oldest] = buckets.keys();
      if (buckets.size > limits.addresses && oldest !== undefined) buckets.delete(oldest);
    },
  };
}
