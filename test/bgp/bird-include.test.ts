/** BIRD with a site's own configuration, which includes what Romana writes and installs it by its own kernel protocols. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { createBirdSpeaker } from '#agent/drivers/bird/driver.ts';
import { birdProcesses } from '#agent/drivers/bird/processes.ts';
import { speakerFiles } from '#agent/drivers/speaker-files.ts';
import type { SpeakerPlace } from '#agent/speaker.ts';
import { isRomanaError } from '#core/errors.ts';
import { inPrivateNamespaces } from '../support/namespace.ts';
import { intentOf, run } from './support/fabric.ts';
import { type Candidate, speakerSuite } from './support/suite.ts';

if (inPrivateNamespaces(import.meta.url)) {
  const create = (place: SpeakerPlace) =>
    createBirdSpeaker({ run, files: speakerFiles, clock: Date, place, mode: 'include' });
  const candidate: Candidate = {
    daemon: 'bird',
    configFile: 'romana.conf',
    control: (dir) => join(dir, 'bird.ctl'),
    create,
    // The site's file is there before the daemon starts, Romana's part after it.
    processes: (place) => {
      writeSite(place);
      return birdProcesses(place);
    },
    socket: ({ control }) => control,
    reopen: () => Promise.resolve(),
    brief: true,
  };
  speakerSuite(candidate, (ready) => {
    test('a name that the site took already: refused, the part before stays, and the daemon could start with it', async () => {
      const { place, speaker } = ready();
      writeSite(place, 'define romana_fingerprint = 1;');
      await assert.rejects(
        speaker.apply(intentOf('bird', { holdSeconds: 30 })),
        (error) => isRomanaError(error) && error.code === 'speaker_refused',
      );
      writeSite(place);
      const { stdout } = await run(['birdc', '-s', place.control, 'configure', 'check']);
      assert.match(stdout, /Configuration OK/);
      assert.deepEqual((await speaker.apply(intentOf('bird'))).changes, []);
    });

    test('a site that does not include the part is told the line that it lacks', async () => {
      const { place, speaker } = ready();
      writeFileSync(join(place.dir, 'bird.conf'), 'router id 192.0.2.11;\nprotocol device {\n}\n');
      await run(['birdc', '-s', place.control, 'configure']);
      await assert.rejects(
        speaker.apply(intentOf('bird')),
        /put this line into it: include ".*romana\.conf";/,
      );
      writeSite(place);
      await speaker.apply(intentOf('bird'));
    });
  });
}

/** A wildcard, so that the site's configuration is whole before Romana has written its part. */
function writeSite({ dir }: SpeakerPlace, more = ''): void {
  const lines = [
    'router id 192.0.2.11;',
    'graceful restart wait 10;',
    'protocol device {',
    '}',
    ...[4, 6].flatMap((family) => [
      `protocol kernel site${family} {`,
      '  merge paths on;',
      '  persist;',
      '  graceful restart;',
      `  ipv${family} { import none; export where source = RTS_BGP; };`,
      '}',
    ]),
    more,
    `include "${dir}/romana.con[f]";`,
    '',
  ];
  writeFileSync(join(dir, 'bird.conf'), lines.join('\n'));
}
