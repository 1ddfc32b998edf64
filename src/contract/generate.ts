/**
 * Derives documents from the contract: the OpenAPI document, JSON Schemas of the documents that machines read, and the route table
 * of client and command line. Run `npm run generate` after changing the contract; `--check` fails when a file on disk is not
 * what the contract says. The output depends on the contract alone.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { generateFiles } from './generate/files.ts';

const root = join(dirname(fileURLToPath(import.meta.url)), '../..');

function read(path: string): string | null {
  try {
    return readFileSync(join(root, path), 'utf8');
  } catch {
    return null;
  }
}

/** Paths below the root whose content is not what the contract says, and files that should no longer be there. */
export function drift(): { changed: string[]; stale: string[] } {
  const files = generateFiles();
  const changed = [...files].filter(([path, text]) => read(path) !== text).map(([path]) => path);
  let present: string[] = [];
  try {
    present = readdirSync(join(root, 'docs/schemas')).map((file) => `docs/schemas/${file}`);
  } catch {
    // nothing generated yet
  }
  return { changed, stale: present.filter((path) => !files.has(path)) };
}

function main(): void {
  const { changed, stale } = drift();
  if (process.argv.includes('--check')) {
    for (const path of [...changed, ...stale]) console.error(`${path} is not what the contract says`);
    if (changed.length + stale.length > 0) {
      console.error('Run: npm run generate');
      process.exitCode = 1;
    }
    return;
  }
  const files = generateFiles();
  for (const path of changed) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), files.get(path) ?? '');
    console.log(`wrote ${path}`);
  }
  for (const path of stale) {
    rmSync(join(root, path));
    console.log(`removed ${path}`);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) main();
