/** What must hold of the sources besides the tests: types, lint, format, dead code, and documents that are derived from code. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const bin = (name: string): string => join(root, 'node_modules/.bin', name);
const node = process.execPath;

const steps: readonly (readonly [title: string, argv: readonly string[]])[] = [
  ['types', [bin('tsc')]],
  ['lint', [bin('oxlint'), '--type-aware', '--deny-warnings']],
  ['format', [bin('biome'), 'ci', '--colors=off', '--reporter=summary', '.']],
  ['dead code', [bin('knip')]],
  ['contract', [node, 'src/contract/generate.ts', '--check']],
  ['documents', [node, 'scripts/docs.ts', '--check']],
  ['units', [node, 'scripts/units.ts', '--check']],
];

let failed = 0;
for (const [title, [program = '', ...argv]] of steps) {
  const began = performance.now();
  // The tools are started as `#!/usr/bin/env node`: with the project's own Node first on PATH.
  const env = { ...process.env, PATH: `${join(root, 'node_modules/.bin')}:${process.env['PATH'] ?? ''}` };
  const { status, stdout, stderr, error } = spawnSync(program, argv, { cwd: root, env, encoding: 'utf8' });
  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  console.log(`${status === 0 ? 'ok  ' : 'FAIL'} ${seconds.padStart(6)} s  ${title}`);
  if (status !== 0) {
    failed += 1;
    console.log(`${stdout ?? ''}${stderr ?? ''}${error?.message ?? ''}`.trimEnd());
  }
}
process.exitCode = failed > 0 ? 1 : 0;
