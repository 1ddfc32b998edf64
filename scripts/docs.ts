/** Writes docs/errors.md from the catalogue of errors; with `--check` fails when the file says something else. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { exitCodeOfCode } from '#cli/exit.ts';
import { catalogue, type ErrorCode } from '#core/errors.ts';

const path = fileURLToPath(new URL('../docs/errors.md', import.meta.url));
const codes = Object.keys(catalogue) as ErrorCode[];
const rows = codes.map((code) => {
  const { status, summary } = catalogue[code];
  return `| \`${code}\` | ${status} | ${exitCodeOfCode(code, status)} | ${summary} |`;
});
const text = `# Errors

Every refusal has one of these codes: in the body of an answer (\`{"code", "message", "details"}\`), in the last word of the line
\`error: … (code)\` of the command line, and in \`phase\` and \`problems\` of objects. Codes are never renamed; new ones are only added.
The message says what is wrong in this case and what to do. Made from \`src/core/errors.ts\`; also: \`romana errors [CODE]\`.

| code | HTTP | exit status | meaning |
| --- | --- | --- | --- |
${rows.join('\n')}
`;

function current(): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

if (current() !== text) {
  if (process.argv.includes('--check')) {
    console.error('docs/errors.md is not what src/core/errors.ts says. Run: npm run generate');
    process.exitCode = 1;
  } else {
    mkdirSync(fileURLToPath(new URL('../docs', import.meta.url)), { recursive: true });
    writeFileSync(path, text);
    console.log('wrote docs/errors.md');
  }
}
