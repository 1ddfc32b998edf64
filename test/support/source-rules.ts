/**
 * Rules that the sources keep, as functions from files (path → text) to violations, so that the test can plant violations of its own
 * and see that they are found.
 */
export type Files = ReadonlyMap<string, string>;
export interface Violation {
  readonly path: string;
  readonly rule: string;
  readonly found: string;
}

/** Layer → what it may import besides itself. Down only. */
const below: Readonly<Record<string, readonly string[]>> = {
  core: [],
  contract: ['core'],
  runtime: ['core'],
  net: ['contract', 'core'],
  store: ['contract', 'core'],
  server: ['store', 'net', 'contract', 'core'],
  agent: ['net', 'contract', 'core'],
  integrations: ['server', 'store', 'net', 'contract', 'core'],
  lab: ['server', 'agent', 'store', 'net', 'contract', 'core', 'runtime'],
  cli: ['lab', 'integrations', 'server', 'agent', 'store', 'net', 'contract', 'core', 'runtime'],
};
/** Only entry points put the real clock, timers and randomness in; configuration knows the names of log levels. */
const entryPoint = /^src\/(server|agent)\/(main|config)\.ts$/;
/** npm packages that a low layer may load. Layers that are not listed may load what package.json has. */
const packages: Readonly<Record<string, readonly string[]>> = {
  core: [],
  contract: ['zod'],
  runtime: [],
  net: [],
  store: [],
};
/**
 * Places at the very edge, where a wait is not a decision of a loop but a limit on the world outside: a socket, a child process, a
 * commit that takes what came in meanwhile, the identity of a new database.
 */
export const edges: readonly string[] = [
  'src/net/https.ts',
  'src/server/http/app.ts',
  'src/agent/exec.ts',
  'src/agent/drivers/exabgp/api.ts',
  'src/store/sqlite/index.ts',
];
const worldly =
  /\b(Date\.now|Math\.random|setTimeout|setInterval|setImmediate|performance\.now|randomUUID)\b|\bnew Date\(\)/g;
const impure = /\b(process|performance|crypto|globalThis|console|fetch|queueMicrotask)\b\s*[.(]/g;

export function isTest(path: string): boolean {
  return (
    path.endsWith('.test.ts') ||
    /(\/|-)(testing(-[a-z]+)?|conformance|contract-test|harness|child)(\.ts|\/)/.test(path)
  );
}

export function layerOf(path: string): string | undefined {
  return /^src\/([a-z-]+)\//.exec(path)?.[1];
}

/** Text without comments and without the content of strings that hold no import; positions are not kept. */
export function withoutComments(text: string): string {
  return text.replaceAll(
    /(`(?:\\[^]|[^\\`])*`|'(?:\\.|[^\\'\n])*'|"(?:\\.|[^\\"\n])*")|\/\*[^]*?\*\/|\/\/[^\n]*/g,
    (_, string: string | undefined) => string ?? ' ',
  );
}

function withoutStrings(code: string): string {
  return code.replaceAll(/'(?:\\.|[^\\'\n])*'|"(?:\\.|[^\\"\n])*"/g, "''");
}

export interface Import {
  readonly target: string;
  readonly typeOnly: boolean;
}

export function importsOf(code: string): Import[] {
  const found: Import[] = [];
  const statement = /\b(?:import|export)\s+(type\s+)?(?:[\w*{}\s,$]+?\s+from\s+)?'([^']+)'/g;
  for (const [, type, target = ''] of code.matchAll(statement))
    found.push({ target, typeOnly: type !== undefined });
  for (const [, target = ''] of code.matchAll(/\bimport\(\s*'([^']+)'/g))
    found.push({ target, typeOnly: false });
  return found;
}

/** `#core/x.ts`, or a relative path out of the folder, as a layer; undefined: no module of ours. */
function targetLayer(path: string, target: string): string | undefined {
  if (target.startsWith('#')) return /^#([a-z-]+)\//.exec(target)?.[1];
  if (!target.startsWith('.')) return undefined;
  const parts = path.split('/').slice(0, -1);
  for (const part of target.split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '.') parts.push(part);
  }
  return parts[0] === 'src' ? parts[1] : parts[0];
}

export function layerViolations(files: Files): Violation[] {
  return [...files].flatMap(([path, text]) => {
    const layer = layerOf(path);
    if (layer === undefined || !path.endsWith('.ts')) return [];
    const code = withoutComments(text);
    const bad = (rule: string, found: string): Violation => ({ path, rule, found });
    const allowed = below[layer];
    if (allowed === undefined) return [bad('a folder of src is a known layer', layer)];
    const imports = importsOf(code).flatMap(({ target }) => importViolation(path, layer, allowed, target));
    if (isTest(path)) return imports;
    const bare = withoutStrings(code);
    const atEdge =
      ['runtime', 'cli', 'lab'].includes(layer) || path.endsWith('/main.ts') || edges.includes(path);
    const world = atEdge
      ? []
      : [...bare.matchAll(worldly)].map(([found]) =>
          bad('clock, timers and randomness are parameters', found),
        );
    const pure =
      layer === 'core' ? [...bare.matchAll(impure)].map(([found]) => bad('core is pure', found)) : [];
    return imports.concat(world, pure);
  });
}

function importViolation(
  path: string,
  layer: string,
  allowed: readonly string[],
  target: string,
): Violation[] {
  const bad = (rule: string): Violation[] => [{ path, rule, found: target }];
  const to = targetLayer(path, target);
  if (to !== undefined) {
    const fine =
      to === layer ||
      allowed.includes(to) ||
      (to === 'runtime' && (entryPoint.test(path) || isTest(path))) ||
      (to === 'test' && isTest(path));
    return fine ? [] : bad(`${layer} does not import ${to}`);
  }
  if (isTest(path)) return [];
  if (target.startsWith('node:')) return layer === 'core' ? bad('core imports nothing of node') : [];
  const name = target.startsWith('@')
    ? target.split('/').slice(0, 2).join('/')
    : (target.split('/')[0] ?? '');
  const known = packages[layer];
  const generator = layer === 'contract' && /\/generate(\/|\.ts)/.test(path);
  return known === undefined || known.includes(name) || generator
    ? []
    : bad(`${layer} does not load packages`);
}

/** Folders whose files nobody explains: no README.md, and no file that begins with a comment. */
export function unexplainedFolders(files: Files): Violation[] {
  const explained = new Map<string, boolean>();
  for (const [path, text] of files) {
    const folder = path.slice(0, path.lastIndexOf('/'));
    if (!folder.startsWith('src/') || !(path.endsWith('.ts') || path.endsWith('README.md')) || isTest(path))
      continue;
    const explains = path.endsWith('/README.md') || /^(#!.*\n)?\s*\/(\*\*|\/)/.test(text);
    explained.set(folder, (explained.get(folder) ?? false) || explains);
  }
  return [...explained].flatMap(([path, known]) =>
    known
      ? []
      : [{ path, rule: 'a folder says what it is for', found: 'no README.md and no module comment' }],
  );
}

/** "About 400 lines" with a tenth of grace; tests are lists of cases and may be longer. */
export const maxLines = { product: 440, test: 600 } as const;

export function longFiles(files: Files): Violation[] {
  return [...files].flatMap(([path, text]) => {
    if (!path.endsWith('.ts') || path.includes('/generated/')) return [];
    const lines = text.split('\n').length - 1;
    const limit = isTest(path) || path.startsWith('test/') ? maxLines.test : maxLines.product;
    return lines > limit ? [{ path, rule: `at most ${limit} lines`, found: String(lines) }] : [];
  });
}

/** The project speaks of itself alone. Written with brackets, so that this file does not find itself. */
const foreign: readonly RegExp[] = [
  /[/]work[/]/,
  /\bi[s]sues?[ #/]+\d/i,
  /registry[.]npmjs|pypi[.]org/,
  /\b(A[I]|L[L]M|Cl[a]ude|Anthr[o]pic|Chat[G]PT|Cop[i]lot)\b/,
];

export function foreignWords(files: Files): Violation[] {
  return [...files].flatMap(([path, text]) =>
    foreign.flatMap((pattern) => {
      const found = pattern.exec(text)?.[0];
      return found === undefined ? [] : [{ path, rule: 'the project speaks of itself alone', found }];
    }),
  );
}

/** Codes given to RomanaError (or named as a code) in the product that the catalogue does not have, and the other way round. */
export function errorCodes(files: Files, catalogue: readonly string[]): Violation[] {
  const used = new Set<string>();
  const unknown: Violation[] = [];
  for (const [path, text] of files) {
    if (!path.startsWith('src/') || !path.endsWith('.ts') || isTest(path)) continue;
    const code = withoutComments(text);
    for (const [, thrown = ''] of code.matchAll(/new RomanaError\(\s*'([^']*)'/g)) {
      if (!catalogue.includes(thrown))
        unknown.push({ path, rule: 'a code is in the catalogue', found: thrown });
    }
    if (path === 'src/core/errors.ts' || path === 'src/cli/exit.ts') continue;
    for (const [, word = ''] of code.matchAll(/['"]([a-z_]+)['"]/g)) used.add(word);
  }
  const unused = catalogue.filter((known) => !used.has(known));
  return [
    ...unknown,
    ...unused.map((found) => ({
      path: 'src/core/errors.ts',
      rule: 'a code of the catalogue is used',
      found,
    })),
  ];
}
