/** FRR runs the configuration that is written for Quagga, and does all the same with it. */
import { join } from 'node:path';
import { createFrrSpeaker } from '#agent/drivers/frr/driver.ts';
import { frrProcesses } from '#agent/drivers/frr/processes.ts';
import { speakerFiles } from '#agent/drivers/speaker-files.ts';
import { inPrivateNamespaces } from '../support/namespace.ts';
import { run } from './support/fabric.ts';
import { speakerSuite } from './support/suite.ts';

if (inPrivateNamespaces(import.meta.url)) {
  speakerSuite({
    daemon: 'quagga',
    configFile: 'frr.conf',
    control: (dir) => dir,
    create: (place) => createFrrSpeaker({ run, files: speakerFiles, place, dialect: 'quagga' }),
    socket: ({ control }) => join(control, 'bgpd.vty'),
    reopen: ({ place }, neighbour) =>
      run(['vtysh', '--vty_socket', place.control, '-c', `clear bgp ${neighbour}`]),
    brief: true,
    processes: frrProcesses,
  });
}
