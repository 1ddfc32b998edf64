/** Files that a lab writes for its processes and for people inside it. */
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';
import type { SpeakerPlace } from '#agent/speaker.ts';

/** Daemons that give up root reach their own folders below; the others are closed. */
export function makeFolders(stateDir: string, hosts: readonly string[]): void {
  mkdirSync(stateDir, { recursive: true });
  chmodSync(stateDir, 0o755);
  for (const dir of ['log', 'bin', 'server', ...hosts.map((name) => `hosts/${name}`)])
    mkdirSync(join(stateDir, dir), { recursive: true, mode: 0o700 });
}

export interface ClientFile {
  readonly server: string;
  readonly ca: string;
  readonly token: string;
}
/** What the server wrote for its first user; throws while it has not. */
export function readClientFile(stateDir: string): ClientFile {
  return parse(readFileSync(join(stateDir, 'server', 'client.yaml'), 'utf8')) as ClientFile;
}

/** `speaker`: where the BGP daemon of the host lives; null: it has none. */
export function writeAgentConfig(
  stateDir: string,
  host: string,
  joinToken: string,
  speaker: SpeakerPlace | null,
): void {
  const dir = join(stateDir, 'hosts', host);
  const { server, ca } = readClientFile(stateDir);
  const config = {
    host,
    server,
    ca,
    joinToken,
    stateDir: join(dir, 'state'),
    runDir: join(dir, 'run'),
    ...(speaker === null ? {} : { speaker }),
  };
  writeFileSync(join(dir, 'agent.yaml'), stringify(config), { mode: 0o600 });
}

/** `romana` for shells inside the lab. */
export function writeLauncher(stateDir: string, command: readonly string[]): void {
  const words = command.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(' ');
  const path = join(stateDir, 'bin', 'romana');
  writeFileSync(path, `#!/bin/sh\nexec ${words} "$@"\n`);
  chmodSync(path, 0o755);
}
