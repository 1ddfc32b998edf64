/** From the name of a daemon to its driver and its processes: the one place that knows all of them. */
import { join } from 'node:path';
import { RomanaError } from '#core/errors.ts';
import type { Clock, Timers } from '#core/ports.ts';
import type { Daemon } from '#core/routing/fabric.ts';
import type { Runner } from '../exec.ts';
import type { Speaker, SpeakerPlace, SpeakerProcess } from '../speaker.ts';
import { createBirdSpeaker } from './bird/driver.ts';
import { birdProcesses } from './bird/processes.ts';
import { createExabgpSpeaker } from './exabgp/driver.ts';
import { exabgpProcesses } from './exabgp/processes.ts';
import { createFrrSpeaker } from './frr/driver.ts';
import { frrProcesses } from './frr/processes.ts';
import { createGobgpSpeaker } from './gobgp/driver.ts';
import { gobgpProcesses } from './gobgp/processes.ts';
import { type SpeakerFiles, speakerFiles } from './speaker-files.ts';

export interface SpeakerOptions {
  readonly run: Runner;
  readonly timers: Timers;
  readonly clock: Clock;
  readonly place: SpeakerPlace;
  /** `include`: the site has a configuration of its own, which includes what the agent writes. BIRD alone knows it. */
  readonly mode?: 'own' | 'include';
  readonly files?: SpeakerFiles;
}
type Options = Required<SpeakerOptions>;

interface Kind {
  readonly create: (options: Options) => Speaker;
  readonly processes: (place: SpeakerPlace) => readonly SpeakerProcess[];
  /** In the folder that the agent owns; '' the folder itself. */
  readonly control: string;
}

const frr = (dialect: 'frr' | 'quagga'): Kind => ({
  create: (options) => createFrrSpeaker({ ...options, dialect }),
  processes: frrProcesses,
  control: '',
});

const kinds: Readonly<Record<Daemon, Kind>> = {
  bird: {
    create: ({ mode, ...options }) =>
      createBirdSpeaker({ ...options, mode: mode === 'own' ? 'complete' : 'include' }),
    processes: birdProcesses,
    control: 'bird.ctl',
  },
  frr: frr('frr'),
  quagga: frr('quagga'),
  exabgp: { create: createExabgpSpeaker, processes: exabgpProcesses, control: 'exabgp.sock' },
  gobgp: { create: createGobgpSpeaker, processes: gobgpProcesses, control: 'gobgp.sock' },
};

/** Throws speaker_unfit where the daemon cannot include what Romana writes. */
export function createSpeaker(daemon: Daemon, options: SpeakerOptions): Speaker {
  if (options.mode === 'include' && daemon !== 'bird') {
    throw new RomanaError(
      'speaker_unfit',
      `Only BIRD includes what Romana writes into a configuration of the site's own; ${daemon} needs one that is Romana's alone.`,
    );
  }
  return kinds[daemon].create({ mode: 'own', files: speakerFiles, ...options });
}

/** How a supervisor starts it, in this order. */
export function speakerProcesses(daemon: Daemon, place: SpeakerPlace): readonly SpeakerProcess[] {
  return kinds[daemon].processes(place);
}

/** Where its control lies when nobody says otherwise. */
export function speakerPlace(daemon: Daemon, dir: string): SpeakerPlace {
  return { dir, control: join(dir, kinds[daemon].control) };
}
