/** Writes deploy/systemd from what the speakers' drivers say of their daemons; with `--check` fails when a file says something else. */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { speakerPlace, speakerProcesses } from '#agent/drivers/speakers.ts';
import type { SpeakerProcess } from '#agent/speaker.ts';
import type { Daemon } from '#core/routing/fabric.ts';

const folder = fileURLToPath(new URL('../deploy/systemd', import.meta.url));
const dir = '/etc/romana/bgp';
const titles = { bird: 'BIRD', frr: 'FRR', exabgp: 'ExaBGP', gobgp: 'GoBGP' } as const;

const quote = (word: string): string => (/^[\w./:@=+-]+$/.test(word) ? word : `"${word}"`);
const line = (words: readonly string[]): string => words.map(quote).join(' ');

const agent = `[Unit]
Description=Romana agent
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0

[Service]
ExecStart=/usr/bin/romana agent run --config /etc/romana/agent.yaml
Restart=always
RestartSec=1

[Install]
WantedBy=multi-user.target
`;

/** A stop is for the peers what a crash is: they keep the routes while the daemon comes back, instead of being told to forget them. */
function unit(daemon: keyof typeof titles, process: SpeakerProcess, all: readonly SpeakerProcess[]): string {
  const before = all.slice(0, all.indexOf(process)).map((one) => `${unitName(daemon, one)}.service`);
  const own = process.name === daemon || process.name === `${daemon}d` ? '' : ` (${process.name})`;
  return [
    '[Unit]',
    `Description=${titles[daemon]}${own}, configured by the Romana agent`,
    line(['After=network.target', ...before]),
    // A restart of that one, by itself too, restarts this one.
    ...all
      .filter(({ name }) => name === process.partOf)
      .map((one) => `PartOf=${unitName(daemon, one)}.service`),
    'StartLimitIntervalSec=0',
    '',
    '[Service]',
    ...Object.entries(process.env).map(([key, value]) => `Environment=${quote(`${key}=${value}`)}`),
    ...process.needs.map((path) => `ExecStartPre=/usr/bin/test -e ${quote(path)}`),
    ...(process.stale.length === 0 ? [] : [`ExecStartPre=/usr/bin/rm -f ${line(process.stale)}`]),
    `ExecStart=${line(process.argv)}`,
    'KillSignal=SIGKILL',
    'Restart=always',
    'RestartSec=1',
    'NoNewPrivileges=yes',
    'PrivateTmp=yes',
    'ProtectHome=yes',
    '',
    '[Install]',
    'WantedBy=multi-user.target',
    '',
  ].join('\n');
}

function unitName(daemon: Daemon, { name }: SpeakerProcess): string {
  return name === daemon || name === `${daemon}d` ? `romana-${daemon}` : `romana-${daemon}-${name}`;
}

const files = new Map([['romana-agent.service', agent]]);
for (const daemon of Object.keys(titles) as (keyof typeof titles)[]) {
  const processes = speakerProcesses(daemon, speakerPlace(daemon, dir));
  for (const process of processes)
    files.set(`${unitName(daemon, process)}.service`, unit(daemon, process, processes));
}

function current(name: string): string {
  try {
    return readFileSync(join(folder, name), 'utf8');
  } catch {
    return '';
  }
}

mkdirSync(folder, { recursive: true });
const surplus = readdirSync(folder).filter((name) => name.endsWith('.service') && !files.has(name));
const changed = [...files].filter(([name, text]) => current(name) !== text);
if (process.argv.includes('--check')) {
  for (const name of [...surplus, ...changed.map(([name]) => name)]) {
    console.error(`deploy/systemd/${name} is not what the drivers say. Run: npm run generate`);
    process.exitCode = 1;
  }
} else {
  for (const name of surplus) rmSync(join(folder, name));
  for (const [name, text] of changed) {
    writeFileSync(join(folder, name), text);
    console.log(`wrote deploy/systemd/${name}`);
  }
}
