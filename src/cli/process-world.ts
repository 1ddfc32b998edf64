/** The real process behind `World`. */
import { homedir } from 'node:os';
import type { World } from './world.ts';

export const processWorld: World = {
  env: process.env,
  home: homedir(),
  columns: process.stdout.columns || 100,
  out: (text) => void process.stdout.write(text),
  err: (text) => void process.stderr.write(text),
  stdin: async () => {
    const chunks: Buffer[] = [];
    for await (const chunk of process.stdin) chunks.push(Buffer.from(chunk as Uint8Array));
    return Buffer.concat(chunks).toString('utf8');
  },
  connect: async (access) => (await import('#net/https.ts')).connect(access),
  connectAgent: async (socketPath) => (await import('#net/https.ts')).connectUnix({ socketPath }),
};
