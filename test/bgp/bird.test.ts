/** BIRD as the host's speaker, between a BIRD switch and an FRR switch that run what Romana exports for them. */
import { join } from 'node:path';
import { createBirdSpeaker } from '#agent/drivers/bird/driver.ts';
import { birdProcesses } from '#agent/drivers/bird/processes.ts';
import { speakerFiles } from '#agent/drivers/speaker-files.ts';
import { inPrivateNamespaces } from '../support/namespace.ts';
import { run } from './support/fabric.ts';
import { speakerSuite } from './support/suite.ts';

if (inPrivateNamespaces(import.meta.url)) {
  speakerSuite({
    daemon: 'bird',
    configFile: 'bird.conf',
    control: (dir) => join(dir, 'bird.ctl'),
    create: (place) => createBirdSpeaker({ run, files: speakerFiles, clock: Date, place }),
    socket: ({ control }) => control,
    reopen: ({ place }) => run(['birdc', '-s', place.control, 'enable', 'romana_tor1_4']),
    bfd: true,
    processes: birdProcesses,
  });
}
