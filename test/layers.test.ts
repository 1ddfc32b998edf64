/** The rules of the sources hold, and each rule finds a violation that is planted for it. */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { catalogue } from '#core/errors.ts';
import { version } from '#core/version.ts';
import {
  edges,
  errorCodes,
  type Files,
  foreignWords,
  importsOf,
  layerViolations,
  longFiles,
  maxLines,
  unexplainedFolders,
  withoutComments,
} from './support/source-rules.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const paths = globSync(
  [
    'src/**/*',
    'test/**/*',
    'bench/**/*',
    'scripts/*',
    'docs/**/*',
    'deploy/**/*',
    '*.md',
    '*.json',
    'romana',
    '.ci/*',
  ],
  { cwd: root, withFileTypes: true, exclude: ['node_modules'] },
)
  .filter((entry) => entry.isFile() && entry.name !== 'package-lock.json')
  .map((entry) => `${entry.parentPath}/${entry.name}`.slice(root.length));
const files: Files = new Map(paths.map((path) => [path, readFileSync(root + path, 'utf8')]));

test('the sources were found', () => {
  for (const path of ['src/core/errors.ts', 'test/layers.test.ts', 'package.json', 'romana'])
    assert.ok(files.has(path), path);
});

test('imports go down only; core is pure; clock, timers and randomness are parameters', () => {
  assert.deepEqual(layerViolations(files), []);
});

test('every folder of src says what it is for', () => {
  assert.deepEqual(unexplainedFolders(files), []);
});

test('no file is too long', () => {
  assert.deepEqual(longFiles(files), []);
});

test('the project speaks of itself alone', () => {
  assert.deepEqual(foreignWords(files), []);
});

test('every error code that is thrown is in the catalogue, and every code of the catalogue is used', () => {
  assert.deepEqual(errorCodes(files, Object.keys(catalogue)), []);
});

test('the version is the one of package.json', () => {
  assert.equal((JSON.parse(files.get('package.json') ?? '') as { version: string }).version, version);
});

test('each exception at the edge is still needed', () => {
  for (const edge of edges) {
    const text = files.get(edge);
    assert.ok(text !== undefined, `${edge} is gone: take it out of the list`);
    const moved = new Map([[edge.replace('.ts', '-planted.ts'), text]]);
    const found = layerViolations(moved).filter(({ rule }) => rule.startsWith('clock'));
    assert.notEqual(found.length, 0, `${edge} needs no exception any more`);
  }
});

/** What is planted → the rule that must find it. */
const planted: readonly (readonly [path: string, text: string, rule: RegExp])[] = [
  ['src/core/a.ts', "import { x } from '#contract/model.ts';", /core does not import contract/],
  ['src/core/a.ts', "import type { x } from '#server/caller.ts';", /core does not import server/],
  ['src/core/plan/a.ts', "export * from '../../contract/model.ts';", /core does not import contract/],
  ['src/core/a.ts', "import {\n  x,\n  y,\n} from '#agent/ports.ts';", /core does not import agent/],
  ['src/core/a.ts', "const x = await import('#net/https.ts');", /core does not import net/],
  ['src/core/a.test.ts', "import { x } from '#server/main.ts';", /core does not import server/],
  ['src/core/a.ts', "import { readFileSync } from 'node:fs';", /nothing of node/],
  ['src/core/a.ts', "import fc from 'fast-check';", /does not load packages/],
  ['src/core/a.ts', 'const t = Date.now();', /are parameters/],
  ['src/core/a.ts', 'const t = new Date();', /are parameters/],
  ['src/core/a.ts', 'process.exit(1);', /core is pure/],
  ['src/core/a.ts', 'globalThis.crypto;', /core is pure/],
  ['src/contract/a.ts', "import { connect } from '#net/https.ts';", /contract does not import net/],
  ['src/contract/a.ts', "import yaml from 'yaml';", /does not load packages/],
  ['src/net/a.ts', "import { z } from 'zod';", /does not load packages/],
  ['src/store/a.ts', "import { x } from '#server/caller.ts';", /store does not import server/],
  ['src/server/a.ts', "import { x } from '#agent/ports.ts';", /server does not import agent/],
  ['src/server/a.ts', "import { systemClock } from '#runtime/index.ts';", /server does not import runtime/],
  ['src/server/a.ts', "import { x } from '#cli/run.ts';", /server does not import cli/],
  ['src/agent/a.ts', "import { x } from '#store/port.ts';", /agent does not import store/],
  ['src/agent/a.ts', 'setTimeout(() => retry(), 5);', /are parameters/],
  ['src/agent/a.ts', 'const n = Math.random();', /are parameters/],
  ['src/server/a.ts', 'const t = performance.now();', /are parameters/],
  ['src/server/a.ts', "import { randomUUID } from 'node:crypto';", /are parameters/],
  ['src/lab/a.ts', "import { x } from '#cli/run.ts';", /lab does not import cli/],
  [
    'src/server/a.ts',
    "import { x } from '#integrations/aws/index.ts';",
    /server does not import integrations/,
  ],
  ['src/integrations/aws/a.ts', 'const t = Date.now();', /are parameters/],
  ['src/misc/a.ts', 'export const x = 1;', /known layer/],
];
for (const [path, text, rule] of planted) {
  test(`a planted violation is found: ${path}: ${text.replaceAll(/\s+/g, ' ')}`, () => {
    const found = layerViolations(new Map([[path, text]]));
    assert.equal(found.length, 1, JSON.stringify(found));
    assert.match(found[0]?.rule ?? '', rule);
  });
}

test('what is allowed is not found', () => {
  const fine: Files = new Map([
    [
      'src/core/a.ts',
      "/** setTimeout( and process.exit( in words */\n// Date.now()\nconst s = 'Date.now()';\nimport { b } from './b.ts';",
    ],
    ['src/server/main.ts', "import { systemClock } from '#runtime/index.ts';\nsetTimeout(f, 1);"],
    [
      'src/server/a.ts',
      "import { parseCidr } from '#core/address/index.ts';\nimport fastify from 'fastify';\nnew Date(clock.now());",
    ],
    [
      'src/agent/a.test.ts',
      "import { systemTimers } from '#runtime/index.ts';\nimport { inPrivateNamespaces } from '../../test/support/namespace.ts';\nsetTimeout(f, 1);",
    ],
    ['src/cli/a.ts', "import { runServer } from '#server/main.ts';\nDate.now();"],
  ]);
  assert.deepEqual(layerViolations(fine), []);
});

test('imports are read in every form, comments are not', () => {
  const code = withoutComments(
    "// import { a } from 'no';\n/* import 'no'; */ import 'side';\nimport a, { b } from 'two';\nexport type { C } from 'three';\nconst x = 'http://no'; await import('four');",
  );
  assert.deepEqual(
    importsOf(code)
      .map(({ target }) => target)
      .sort(),
    ['four', 'side', 'three', 'two'],
  );
});

test('the other rules find what is planted', () => {
  const long = 'x\n'.repeat(maxLines.product + 1);
  assert.equal(longFiles(new Map([['src/core/a.ts', long]])).length, 1);
  assert.equal(longFiles(new Map([['src/core/a.test.ts', long]])).length, 0);
  assert.equal(unexplainedFolders(new Map([['src/core/x/a.ts', 'export {};']])).length, 1);
  assert.equal(
    unexplainedFolders(new Map([['src/core/x/a.ts', '/** What it is. */\nexport {};']])).length,
    0,
  );
  for (const words of [
    ['see /', 'work/x'],
    ['see iss', 'ue #12'],
    ['by Cla', 'ude'],
  ]) {
    const text = words.join('');
    assert.equal(foreignWords(new Map([['docs/a.md', text]])).length, 1, text);
  }
  const thrown = errorCodes(new Map([['src/agent/a.ts', "throw new RomanaError('made_up', 'x')"]]), [
    'in_use',
  ]);
  assert.deepEqual(
    thrown.map(({ found }) => found),
    ['made_up', 'in_use'],
  );
});
