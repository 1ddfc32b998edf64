/**
 * Kernel events by `ip monitor` and `nft monitor`. A monitor that dies is started again, later each time; what happened meanwhile
 * is unknown, so that a restart counts as a change. Events are hints to look, never the only way to learn of drift.
 */
import type { Cancel, Timers } from '#core/ports.ts';
import { type LineSpawner, spawnLines } from '../../exec.ts';
import { NFT_FAMILY, NFT_TABLE } from '../../owned.ts';
import type { KernelEvents } from '../../ports.ts';

const FIRST_DELAY_MS = 200;
const LONGEST_DELAY_MS = 30_000;

type What = 'network' | 'rules';

const monitors: readonly { what: What; argv: readonly string[]; concerns: (line: string) => boolean }[] = [
  {
    what: 'network',
    argv: ['ip', '-o', 'monitor', 'link', 'address', 'route'],
    concerns: (line) => line.trim() !== '',
  },
  { what: 'rules', argv: ['nft', 'monitor'], concerns: isOurTable },
];

/** `add element inet romana s { … }`, `delete table inet romana`: the table is the fourth word, whatever the kind. */
export function isOurTable(line: string): boolean {
  const [, , family, table] = line.trim().split(/\s+/);
  return family === NFT_FAMILY && table === NFT_TABLE;
}

export interface KernelEventsOptions {
  readonly timers: Timers;
  readonly spawn?: LineSpawner;
}

export function createKernelEvents({ timers, spawn = spawnLines }: KernelEventsOptions): KernelEvents {
  return {
    start(onChange) {
      const stops = monitors.map((monitor) =>
        watch(timers, spawn, monitor.argv, (line) => {
          if (line === null || monitor.concerns(line)) onChange(monitor.what);
        }),
      );
      return () => {
        for (const stop of stops) stop();
      };
    },
  };
}

/** `onLine(null)`: the monitor was started again. */
function watch(
  timers: Timers,
  spawn: LineSpawner,
  argv: readonly string[],
  onLine: (line: string | null) => void,
): Cancel {
  let delay = FIRST_DELAY_MS;
  let over = false;
  let stopChild: Cancel = () => {};
  let stopTimer: Cancel = () => {};
  const begin = (): void => {
    stopChild = spawn(argv, {
      onLine(line) {
        // It lives and speaks: the next failure is a new one.
        delay = FIRST_DELAY_MS;
        if (!over) onLine(line);
      },
      onEnd() {
        if (over) return;
        stopTimer = timers.after(delay, () => {
          if (over) return;
          begin();
          onLine(null);
        });
        delay = Math.min(delay * 2, LONGEST_DELAY_MS);
      },
    });
  };
  begin();
  return () => {
    if (over) return;
    over = true;
    stopTimer();
    stopChild();
  };
}
