/**
 * Runs all tests and ends with the line `N passed, N failed`. Tests of the pure layers share one process; every other file has its
 * own, two at a time, and beside them one of those that mostly wait for a protocol's timers. Fails when a test fails, is skipped, when
 * a file holds no test or does not end.
 *
 *     scripts/test.ts [--full] [PATH…]     only files whose path contains one of PATH
 *
 * ROMANA_SEED=N repeats a run's random choices; without it a seed is drawn and printed.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { TestLine } from '../test/support/reporter.ts';
import { missingPrograms, packageOf } from './programs.ts';

interface Job {
  readonly title: string;
  readonly files: readonly string[];
}
interface Result {
  readonly job: Job;
  readonly lines: readonly TestLine[];
  readonly seconds: number;
}

const root = fileURLToPath(new URL('..', import.meta.url));
const words = process.argv.slice(2);
const full = words.includes('--full') || process.env['ROMANA_TEST_SIZE'] === 'full';
const filters = words.filter((word) => !word.startsWith('--')).map((word) => word.replace(/^\.\//, ''));
const seed = process.env['ROMANA_SEED'] ?? String(randomInt(2 ** 31));
const limitMs = (full ? 60 : 8) * 60_000;
const results = mkdtempSync(join(tmpdir(), 'romana-test-'));
const running = new Set<ChildProcess>();

function jobs(): Job[] {
  const files = globSync(['src/**/*.test.ts', 'test/**/*.test.ts'], { cwd: root })
    .filter((file) => filters.length === 0 || filters.some((filter) => file.includes(filter)))
    .sort();
  const pure = files.filter((file) => /^src\/(core|contract|runtime)\//.test(file));
  const others = files.filter((file) => !pure.includes(file));
  // The long ones first, so that the last minute is not one file alone.
  const kernel = others.filter((file) => file.startsWith('test/'));
  const beside = others.filter((file) => !file.startsWith('test/'));
  return [
    ...[...kernel, ...beside].map((file) => ({ title: file, files: [file] })),
    ...(pure.length === 0
      ? []
      : [{ title: `${pure.length} files of src/{core,contract,runtime}`, files: pure }]),
  ];
}

function runJob(job: Job, index: number): Promise<Result> {
  const report = join(results, `${index}.jsonl`);
  const began = performance.now();
  const argv = [
    '--import',
    join(root, 'test/support/seed.ts'),
    '--test',
    '--test-isolation=none',
    `--test-reporter=${join(root, 'test/support/reporter.ts')}`,
    `--test-reporter-destination=${report}`,
    ...job.files,
  ];
  const env: NodeJS.ProcessEnv = {
    ...process.env,
    ROMANA_SEED: seed,
    ROMANA_TEST_SIZE: full ? 'full' : 'slice',
    PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`,
    NODE_NO_WARNINGS: '1',
  };
  return new Promise((resolve) => {
    // A group of its own, so that a file that does not end goes with all that it started.
    const child = spawn(process.execPath, argv, {
      cwd: root,
      env,
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    running.add(child);
    let output = '';
    const keep = (chunk: Buffer): void => {
      output = (output + chunk.toString()).slice(-20_000);
    };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      end(child);
    }, limitMs);
    child.once('exit', (code, signal) => {
      clearTimeout(timer);
      running.delete(child);
      const lines = readLines(report);
      const problem = late
        ? `did not end within ${limitMs / 60_000} minutes`
        : lines.length === 0
          ? `no test ran (exit ${code ?? signal})`
          : code !== 0 && !lines.some((line) => line.outcome === 'fail')
            ? `ended with ${code ?? signal} after its tests`
            : '';
      if (problem !== '') {
        const text = `${problem}\n${output}`;
        lines.push({ name: job.title, file: job.files[0] ?? '', outcome: 'fail', ms: 0, problem: text });
      }
      resolve({ job, lines, seconds: (performance.now() - began) / 1000 });
    });
  });
}

function readLines(path: string): TestLine[] {
  try {
    return readFileSync(path, 'utf8')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as TestLine);
  } catch {
    return [];
  }
}

function end(child: ChildProcess): void {
  try {
    if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
  } catch {
    // it is gone already
  }
}

function show({ job, lines, seconds }: Result): void {
  const bad = lines.filter((line) => line.outcome !== 'pass');
  console.log(
    `${bad.length === 0 ? 'ok  ' : 'FAIL'} ${seconds.toFixed(1).padStart(6)} s  ${lines.length} tests  ${job.title}`,
  );
  for (const line of bad) {
    console.log(
      `  ${line.outcome === 'skip' ? 'SKIPPED (a test must run or fail)' : 'FAILED'}: ${line.name}`,
    );
    if (line.problem !== '') console.log(line.problem.replaceAll(/^/gm, '    '));
  }
}

async function main(): Promise<void> {
  const missing = missingPrograms();
  const all = jobs();
  console.log(
    `seed ${seed} (repeat with ROMANA_SEED=${seed}), size ${full ? 'full' : 'slice'}, ${all.length} jobs`,
  );
  const done: Result[] = [];
  const [waiting, working] = [true, false].map((waits) =>
    [...all.entries()].filter(([, { title }]) => title.startsWith('test/bgp/') === waits),
  ) as [[number, Job][], [number, Job][]];
  const worker = async (first: [number, Job][], then: [number, Job][]): Promise<void> => {
    for (let next = first.shift() ?? then.shift(); next !== undefined; next = first.shift() ?? then.shift()) {
      const result = await runJob(next[1], next[0]);
      show(result);
      done.push(result);
    }
  };
  const lanes = Math.min(3, Math.max(2, availableParallelism()));
  await Promise.all([
    worker(waiting, working),
    ...Array.from({ length: lanes }, () => worker(working, waiting)),
  ]);
  const lines = done.flatMap((result) => result.lines);
  const passed = lines.filter((line) => line.outcome === 'pass').length;
  const failed = lines.length - passed + missing.length;
  for (const program of missing) {
    console.log(
      `FAILED: the program ${program} is missing; install the Debian package ${packageOf[program]}`,
    );
  }
  if (lines.length === 0) console.log('FAILED: there is no test to run');
  console.log(`seed ${seed}`);
  console.log(`${passed} passed, ${failed} failed`);
  process.exitCode = failed > 0 || lines.length === 0 ? 1 : 0;
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => {
    console.log(`FAILED: stopped by ${signal} before all tests ran`);
    for (const child of running) end(child);
    rmSync(results, { recursive: true, force: true });
    process.exit(130);
  });
}
try {
  await main();
} finally {
  rmSync(results, { recursive: true, force: true });
}
