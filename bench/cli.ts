/**
 * Cold start of the command line: `romana --help` from the bundle next to a bare `node -e 0`, alternating in one run, so that the ratio
 * holds on a busy machine. Build first: npm run build.
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const bundle = fileURLToPath(new URL('../dist/romana.js', import.meta.url));
const rounds = 30;
const cases: Readonly<Record<string, readonly string[]>> = {
  'node -e 0': ['-e', '0'],
  'romana --help': [bundle, '--help'],
  'romana address decode': [
    bundle,
    'address',
    'decode',
    '10.1.1.27',
    '--network',
    '10.0.0.0/8',
    '--layout',
    '8/8/4/4',
  ],
};

const times = new Map(Object.keys(cases).map((name) => [name, [] as number[]]));
for (let round = 0; round < rounds; round++) {
  for (const [name, argv] of Object.entries(cases)) {
    const began = performance.now();
    const { status } = spawnSync(process.execPath, argv, { stdio: 'ignore' });
    if (status !== 0) throw new Error(`${name} failed`);
    times.get(name)?.push(performance.now() - began);
  }
}

/** Peak resident memory in MB, told by the process itself as it ends. */
function peakMemory(argv: readonly string[]): number {
  const tell = "process.on('exit', () => process.stderr.write(String(process.resourceUsage().maxRSS)))";
  const preload = `data:text/javascript,${encodeURIComponent(tell)}`;
  const { stderr } = spawnSync(process.execPath, ['--import', preload, ...argv], {
    encoding: 'utf8',
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  return Number(stderr) / 1024;
}

const minimum = (name: string): number => Math.min(...(times.get(name) ?? []));
const median = (name: string): number => times.get(name)?.sort((a, b) => a - b)[rounds / 2] ?? Number.NaN;
console.log('case                      min ms  median ms  ratio  peak RSS MB');
for (const [name, argv] of Object.entries(cases)) {
  const ratio = median(name) / median('node -e 0');
  console.log(
    `${name.padEnd(24)} ${minimum(name).toFixed(1).padStart(7)} ${median(name).toFixed(1).padStart(10)} ${ratio.toFixed(2).padStart(6)} ${peakMemory(argv).toFixed(0).padStart(12)}`,
  );
}
