import type { Timers } from '#core/ports.ts';

/** What setTimeout can hold; it fires at once for anything greater. */
const longest = 2 ** 31 - 1;

/** Timers keep the process alive: a loop that waits is work to do. The owner cancels them when it stops. */
export const systemTimers: Timers = {
  after(ms, fn) {
    let timer: NodeJS.Timeout;
    let left = Math.max(0, Number.isNaN(ms) ? 0 : ms);
    const arm = (): void => {
      const part = Math.min(left, longest);
      left -= part;
      timer = setTimeout(left > 0 ? arm : fn, part);
    };
    arm();
    return () => clearTimeout(timer);
  },
};
