/**
 * Configurations for Cisco IOS, given to software that is not ours: FRR, whose language has grown out of that of IOS. Its parser takes
 * every line, and its daemons do with them what was planned.
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { createBirdSpeaker } from '#agent/drivers/bird/driver.ts';
import { birdProcesses } from '#agent/drivers/bird/processes.ts';
import { frrConfigPath, frrProcesses } from '#agent/drivers/frr/processes.ts';
import { speakerFiles } from '#agent/drivers/speaker-files.ts';
import { formatCidr, parseAddress, parseCidr } from '#core/address/index.ts';
import { exportDevice } from '#core/routing/export/index.ts';
import { cases } from '#core/routing/export/samples.ts';
import type { PlannedRoute } from '#core/routing/model.ts';
import type { Daemon } from '#lab/supervisor.ts';
import { inPrivateNamespaces } from '../support/namespace.ts';
import {
  applyUntilUp,
  folder,
  intentOf,
  learnedBy,
  makeUnderlay,
  networks,
  own,
  run,
  start,
  stopAll,
  torRouting,
  until,
} from './support/fabric.ts';

/** What IOS has and FRR says otherwise. */
const others = /^(ipv6 unicast-routing| neighbor \S+ fall-over bfd)$/;

if (inPrivateNamespaces(import.meta.url)) {
  const daemons: Daemon[] = [];
  after(() => stopAll(daemons));

  for (const [name, routing] of cases) {
    test(`${routing.device.name}, ${name}: every line is one of the language`, async () => {
      const file = join(folder(), 'ios.cfg');
      const lines = exportDevice(routing, 'cisco-ios', { password: 'secret', revision: 7 }).split('\n');
      const known = lines.filter((line) => !others.test(line));
      assert.ok(known.length > 5);
      writeFileSync(file, known.join('\n'));
      const { stdout, stderr, code } = await run(['vtysh', '-C', '-f', file], { okCodes: 'any' });
      assert.deepEqual([code, stdout, stderr], [0, '', '']);
      // It does tell a line that is none.
      writeFileSync(file, [...known, 'router bgp 1', ' neighbour 192.0.2.1 remote-as 2', ''].join('\n'));
      const wrong = await run(['vtysh', '-C', '-f', file], { okCodes: 'any' });
      assert.match(wrong.stdout + wrong.stderr, /Unknown command/);
    });
  }

  test('a switch with it announces the networks, believes the host what it may say, and drops what nobody has', async () => {
    const { host, tors } = await makeUnderlay();
    const [, tor] = tors;
    const routing = torRouting(2, { password: 'secret' });
    const static4: PlannedRoute = {
      cidr: parseCidr('10.99.0.0/16'),
      nextHops: [{ address: parseAddress('172.18.11.2'), to: 'h1', link: null }],
      why: { kind: 'host', host: 'h1' },
    };
    const whole = { ...routing, bgp: { ...routing.bgp!, statics: [static4] } };
    const place = { dir: folder(), control: '' };
    const at = { ...place, control: place.dir };
    const text = exportDevice(whole, 'cisco-ios', { password: 'secret' });
    writeFileSync(
      frrConfigPath(at),
      text
        .split('\n')
        .filter((line) => !others.test(line))
        .join('\n'),
    );
    daemons.push(...start(tor, frrProcesses(at), join(at.dir, 'log')));

    const home = folder();
    const mine = { dir: home, control: join(home, 'bird.ctl') };
    const password = join(folder(), 'password');
    writeFileSync(password, 'secret\n', { mode: 0o600 });
    const speaker = createBirdSpeaker({ run, files: speakerFiles, clock: Date, place: mine });
    const intent = intentOf('bird', {}, { passwordFile: password });
    // More than the switch may believe.
    const greedy = [...own, parseCidr('10.12.0.0/16'), parseCidr('fd10:12::/32')];
    const first = { ...intent, announce: greedy, peers: intent.peers.filter(({ name }) => name === 'tor2') };
    await speaker.apply(first).catch(() => undefined);
    daemons.push(...start(host, birdProcesses(mine), join(home, 'log')));
    await applyUntilUp(speaker, first);

    const wanted = own.map(formatCidr).sort();
    await until('the switch has the ranges of the host', async () => (await learnedBy(tor)).length >= 2);
    assert.deepEqual(await learnedBy(tor), wanted);
    await until('the host has the networks', async () => (await learnedBy(host)).length >= 2);
    assert.deepEqual(await learnedBy(host), networks.map(formatCidr).sort());

    // As FRR marks what is static.
    const kernel = async (family: string): Promise<string[]> =>
      (await tor.run(['ip', family, 'route', 'show', 'proto', '196'])).stdout
        .split('\n')
        .map((line) =>
          line
            .trim()
            .split(/ dev | metric /)[0]!
            .replace(/ nhid \d+/, ''),
        )
        .filter((line) => line !== '')
        .sort();
    assert.deepEqual(await kernel('-4'), ['10.99.0.0/16 via 172.18.11.2', 'blackhole 10.0.0.0/8']);
    assert.deepEqual(await kernel('-6'), ['blackhole fd10::/16']);
  });
}
