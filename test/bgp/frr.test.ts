/** FRR as the host’s speaker, between a BIRD switch and an FRR switch that run what Romana exports for them. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { createFrrSpeaker } from '#agent/drivers/frr/driver.ts';
import { frrProcesses } from '#agent/drivers/frr/processes.ts';
import { speakerFiles } from '#agent/drivers/speaker-files.ts';
import type { SpeakerPlace } from '#agent/speaker.ts';
import { formatCidr } from '#core/address/index.ts';
import { frrDevice } from '#core/routing/export/frr.ts';
import type { BgpPeer } from '#core/routing/model.ts';
import { inPrivateNamespaces, makeNetns, setSysctl, veth } from '../support/namespace.ts';
import {
  allUp,
  applyUntilUp,
  cidrs,
  folder,
  intentOf,
  learnedBy,
  networks,
  nextHops,
  own,
  reloadTor,
  run,
  since,
  start,
  stopAll,
  torRouting,
  until,
} from './support/fabric.ts';
import { type Ready, speakerSuite } from './support/suite.ts';

if (inPrivateNamespaces(import.meta.url)) {
  const create = (place: SpeakerPlace) => createFrrSpeaker({ run, files: speakerFiles, place });
  let ready: () => Ready = () => assert.fail('before the suite');
  speakerSuite(
    {
      daemon: 'frr',
      configFile: 'frr.conf',
      control: (dir) => dir,
      create,
      socket: ({ control }) => join(control, 'bgpd.vty'),
      reopen: ({ place }, neighbour) =>
        run(['vtysh', '--vty_socket', place.control, '-c', `clear bgp ${neighbour}`]),
      bfd: true,
      processes: frrProcesses,
    },
    (get) => {
      ready = get;
    },
  );

  test('zebra alone killed -9: what it installed stays, and the others, started anew with it, tell the new one everything', async () => {
    const { host, tors, daemons, speaker } = ready();
    await allUp(speaker);
    const expected = networks.map(formatCidr).sort();
    await until('the networks', async () => (await learnedBy(host)).join(' ') === expected.join(' '));
    const zebra = daemons.find(({ wish }) => wish.name === 'zebra');
    await zebra?.kill();
    assert.deepEqual(await learnedBy(host), expected);
    const more = cidrs('10.98.0.0/16', 'fd10:98::/32');
    for (const tor of tors) await reloadTor(tor, { announce: [...networks, ...more] });
    await until('news are installed by the new zebra', async () => (await learnedBy(host)).length === 4);
    for (const cidr of networks) await until('both ways', async () => (await nextHops(host, cidr)) === 2);
    for (const tor of tors) await reloadTor(tor, {});
    await until('news are gone again', async () => (await learnedBy(host)).length === 2);
    await allUp(speaker);
    const ranges = own.map(formatCidr).sort().join(' ');
    for (const tor of tors) await until('the ranges', async () => (await tor.learned()).join(' ') === ranges);
  });

  test('unnumbered: one session over a link without addresses brings both families', async () => {
    const [host, tor] = await Promise.all([makeNetns('hu'), makeNetns('tu')]);
    for (const ns of [host, tor]) {
      await setSysctl(ns, 'net/ipv4/ip_forward', 1);
      await setSysctl(ns, 'net/ipv6/conf/all/forwarding', 1);
      await setSysctl(ns, 'net/ipv6/conf/default/accept_dad', 0);
    }
    await veth(host, 'up1', tor, 'swp1');
    const [place, torPlace] = [folder(), folder()].map((dir) => ({ dir, control: dir })) as [
      SpeakerPlace,
      SpeakerPlace,
    ];
    const device = torRouting(2);
    const neighbours = (device.bgp?.neighbours ?? []).slice(0, 1).map((neighbour) => ({
      ...neighbour,
      address: null,
      link: 'swp1',
      families: [4, 6] as const,
    }));
    assert.ok(device.bgp !== null);
    writeFileSync(
      join(torPlace.dir, 'frr.conf'),
      frrDevice({ ...device, bgp: { ...device.bgp, neighbours } }),
    );
    const daemons = [
      ...start(tor, frrProcesses(torPlace), join(torPlace.dir, 'log')),
      ...start(host, frrProcesses(place), join(place.dir, 'log')),
    ];
    const peer: Partial<BgpPeer> = { address: null, link: 'up1', families: [4, 6] };
    const plain = intentOf('frr', {}, peer);
    const intent = { ...plain, peers: plain.peers.slice(2, 3) };
    const speaker = create(place);
    await applyUntilUp(speaker, intent);
    await until('the session', async () =>
      (await speaker.status()).sessions.every(({ state }) => state === 'established'),
    );
    await until('both families', async () => (await learnedBy(tor)).length === 2);
    assert.deepEqual(await learnedBy(tor), own.map(formatCidr).sort());
    await until('the networks', async () => (await learnedBy(host)).length === 2);
    assert.deepEqual(await learnedBy(host), networks.map(formatCidr).sort());
    const { sessions } = await speaker.status();
    assert.deepEqual(
      sessions.map(({ peer, neighbour, prefixesIn, prefixesOut }) => [
        peer,
        neighbour,
        prefixesIn,
        prefixesOut,
      ]),
      [['tor2', 'up1', 2, 2]],
    );
    assert.deepEqual((await speaker.apply(intent)).changes, []);
    assert.ok([...since(sessions).values()].every(Number.isFinite));
    await speaker.apply({ ...intent, peers: [] });
    await until('no session', async () => (await speaker.status()).sessions.length === 0);
    await stopAll(daemons);
  });
}
