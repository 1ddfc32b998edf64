/**
 * Builds dist/romana.js: one ESM bundle, split so that server, agent and lab are loaded only by the commands that need them.
 * Chunks have names by content, and the entry is moved into place last, so that a `romana` that starts during a build works.
 */
import { chmodSync, readdirSync, renameSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));
const dist = join(root, 'dist');

const started = new Date();
const result = await build({
  absWorkingDir: root,
  entryPoints: { 'romana.new': 'src/cli/main.ts' },
  outdir: dist,
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node24.15',
  chunkNames: '[name]-[hash]',
  legalComments: 'none',
  // of packages that come both ways the ES modules: of a large SDK only what is used is taken along
  mainFields: ['module', 'main'],
  metafile: true,
  // CommonJS packages inside the bundle call require for node's own modules.
  banner: {
    js: "import { createRequire as romanaRequire } from 'node:module'; const require = romanaRequire(import.meta.url);",
  },
  logLevel: 'warning',
});

writeFileSync(join(dist, 'metafile.json'), JSON.stringify(result.metafile));
writeFileSync(join(dist, 'package.json'), '{ "type": "module" }\n');
const entry = join(dist, 'romana.new.js');
chmodSync(entry, 0o755);
// As old as the sources that were read: a source that changed meanwhile is newer, and the next build takes it.
utimesSync(entry, started, started);
renameSync(entry, join(dist, 'romana.js'));

const kept = new Set([
  'romana.js',
  'metafile.json',
  'package.json',
  ...Object.keys(result.metafile.outputs).map((path) => basename(path)),
]);
for (const file of readdirSync(dist)) {
  if (!kept.has(file)) rmSync(join(dist, file), { recursive: true });
}
