/** FRR as the host’s speaker, between a BIRD switch and an FRR switch that run what Romana exports for them. */
import { createFrrSpeaker } from '#agent/drivers/frr/driver.ts';
import { frrProcesses } from '#agent/drivers/frr/processes.ts';
import { speakerFiles } from '#agent/drivers/speaker-files.ts';
import { inPrivateNamespaces } from '../support/namespace.ts';
import { run } from './support/fabric.ts';
import { speakerSuite } from './support/suite.ts';

if (inPrivateNamespaces(import.meta.url)) {
  speakerSuite({
    daemon: 'frr',
    configFile: 'frr.conf',
    control: (dir) => dir,
    create: (place) => createFrrSpeaker({ run, files: speakerFiles, place, dialect: 'frr' }),
    reopen: ({ place }, neighbour) =>
      run(['vtysh', '--vty_socket', place.control, '-c', `clear bgp ${neighbour}`]),
    bfd: true,
    processes: frrProcesses,
  });
}
