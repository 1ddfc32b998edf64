/** BIRD as a supervisor starts it. */
import { join } from 'node:path';
import type { SpeakerPlace, SpeakerProcess } from '../../speaker.ts';

export function birdConfigPath(place: SpeakerPlace): string {
  return join(place.dir, 'bird.conf');
}

/** -R: what the kernel holds stays while the sessions come back; without anything to come back it means nothing. */
export function birdProcesses(place: SpeakerPlace): readonly SpeakerProcess[] {
  const config = birdConfigPath(place);
  const pid = join(place.dir, 'bird.pid');
  return [
    {
      name: 'bird',
      argv: ['/usr/sbin/bird', '-f', '-R', '-c', config, '-s', place.control, '-P', pid],
      env: {},
      stale: [place.control, pid],
      needs: [config],
    },
  ];
}
