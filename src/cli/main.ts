#!/usr/bin/env node
/**
 * The process around one invocation. Nothing is imported before the version of Node is known to be new enough: an older one would
 * fail on the first module with words that help nobody.
 */
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < 24 || (major === 24 && minor < 15)) {
  process.stderr.write(
    `error: romana needs Node 24.15 or later, this is ${process.version}; see https://nodejs.org\n`,
  );
  process.exit(1);
}

// A reader that closes the pipe (`| head`) has read enough: that is no failure.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0);
    throw error;
  });
}

const [{ run }, { processWorld }] = await Promise.all([import('./run.ts'), import('./process-world.ts')]);
process.exitCode = await run(process.argv.slice(2), processWorld);
