/**
 * Many clients, crashes and lost answers: is the history right, and how long does it take? `node bench/linearizability.ts [operations]
 * [seed]`; 100,000 operations by default. Exit status 1 when a violation is found.
 */
import { performance } from 'node:perf_hooks';
import { runLoad } from '../test/ipam/cluster.ts';

const operations = Number(process.argv[2] ?? 100_000);
const seed = Number(process.argv[3] ?? 1);
const began = performance.now();
const { violations, ...counts } = await runLoad({ seed, operations, clients: 64, agents: 8 });
const seconds = (performance.now() - began) / 1000;
console.log({
  seed,
  ...counts,
  seconds: Number(seconds.toFixed(1)),
  perSecond: Math.round(operations / seconds),
});
for (const violation of violations.slice(0, 20)) console.log(violation);
console.log(violations.length === 0 ? 'no violation' : `${violations.length} violations`);
process.exitCode = violations.length === 0 ? 0 : 1;
