/** ExaBGP as a supervisor starts it. */
import type { SpeakerPlace, SpeakerProcess } from '../../speaker.ts';
import { configFile, helperFile } from './config.ts';

/**
 * It does not listen: a device's connection that meets one of its own in the middle of the handshake leaves 4.2 waiting for ever. So
 * after a long outage the session is back with its own next attempt, at most a minute later. Its helper brings the API, so its own pipes
 * are off; when the helper cannot be kept alive the whole ends and is started anew, instead of losing peers.
 */
export function exabgpProcesses(place: SpeakerPlace): readonly SpeakerProcess[] {
  return [
    {
      name: 'exabgp',
      argv: ['/usr/sbin/exabgp', configFile(place)],
      env: {
        exabgp_daemon_daemonize: 'false',
        exabgp_daemon_user: 'root',
        exabgp_daemon_drop: 'false',
        exabgp_api_cli: 'false',
        exabgp_api_terminate: 'true',
        exabgp_tcp_bind: '',
        exabgp_log_destination: 'stdout',
      },
      stale: [place.control],
      needs: [configFile(place), helperFile(place)],
    },
  ];
}
