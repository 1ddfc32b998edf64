/** FRR as a supervisor starts it: each daemon for itself, with one file and its sockets in the speaker's folder. */
import { join } from 'node:path';
import type { SpeakerPlace, SpeakerProcess } from '../../speaker.ts';

export function frrConfigPath(place: SpeakerPlace): string {
  return join(place.dir, 'frr.conf');
}

/**
 * A zebra that is started anew is told nothing of what its clients told the one before, and in the end takes their routes for nobody's
 * and removes them. So the others are started anew with it.
 *
 * Folder and sockets' folder must belong to user frr. zebra keeps the routes that it finds for so long (-K), so that its own restart
 * takes none away before the sessions are back. No daemon listens for terminals on TCP (-P 0).
 */
export function frrProcesses(place: SpeakerPlace): readonly SpeakerProcess[] {
  const config = frrConfigPath(place);
  const zebra = join(place.control, 'zserv.api');
  const bfd = join(place.control, 'bfdd.sock');
  const daemon = (
    name: string,
    extra: readonly string[],
    needs: readonly string[],
    stale: readonly string[] = [],
  ): SpeakerProcess => {
    const pid = join(place.dir, `${name}.pid`);
    const base = ['-f', config, '-i', pid, '-z', zebra, '--vty_socket', place.control, '-P', '0'];
    return {
      name,
      argv: [`/usr/lib/frr/${name}`, ...base, ...extra],
      env: {},
      stale: [pid, join(place.control, `${name}.vty`), ...stale],
      needs: [config, ...needs],
      ...(name === 'zebra' ? {} : { partOf: 'zebra' }),
    };
  };
  return [
    daemon('zebra', ['-r', '-K', '120'], [], [zebra]),
    daemon('staticd', [], [zebra]),
    daemon('bfdd', ['--bfdctl', bfd], [zebra], [bfd]),
    daemon('bgpd', ['-p', '179'], [zebra]),
  ];
}
