/** GoBGP as a supervisor starts it, and where it runs. */
import { readdirSync, readFileSync } from 'node:fs';
import type { SpeakerPlace, SpeakerProcess } from '../../speaker.ts';
import { configFile, startFile } from './config.ts';

/** It never removes a socket that a killed daemon left, and does not start with one there. */
export function gobgpProcesses(place: SpeakerPlace): readonly SpeakerProcess[] {
  return [
    {
      name: 'gobgpd',
      argv: [startFile(place)],
      env: {},
      stale: [place.control],
      needs: [configFile(place), startFile(place)],
    },
  ];
}

/** How the driver finds and signals the daemon. */
export interface DaemonProcess {
  /** Null: none runs with this file. */
  find(config: string): number | null;
  hangUp(pid: number): void;
}

/** By the program's name and its configuration file, read just before the signal: a number in a file may be another's by now. */
export const daemonProcess: DaemonProcess = {
  find(config) {
    for (const entry of readdirSync('/proc')) {
      if (!/^\d+$/.test(entry)) continue;
      const [program = '', ...words] = commandLine(entry);
      if (/(^|\/)gobgpd$/.test(program) && words.includes(config)) return Number(entry);
    }
    return null;
  },
  hangUp(pid) {
    process.kill(pid, 'SIGHUP');
  },
};

function commandLine(pid: string): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
  } catch {
    return [];
  }
}
