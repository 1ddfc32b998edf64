/**
 * The real clock, timers, randomness and log behind the ports of `src/core/ports.ts`. Only entry points (`main.ts`, the command
 * line, the lab) import this folder and hand the parts on; services and loops never do, so that a simulator can run the same loops
 * from a seed. May import: `core`, `node:`.
 *
 * R1  `monotonic` never goes back, whatever happens to the wall clock.
 * R2  A timer never fires before `after` has returned, and never after it was cancelled.
 * R3  A log line is one line of JSON, whatever its fields hold; writing a log line never throws.
 */
export { systemClock } from './clock.ts';
export { createLog, type LogLevel, logLevels } from './log.ts';
export { systemRandom } from './random.ts';
export { systemTimers } from './timers.ts';
