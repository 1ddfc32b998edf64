/**
 * Leaves that are configured by a site of its own mind: they take whatever a host announces inside the networks. Then nobody is asked when
 * a host takes a further range; and passwords are the site's, on both sides.
 */
import assert from 'node:assert/strict';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { Endpoint } from '#contract/model.ts';
import type { TopologyInput } from '#contract/topology.ts';
import { ownTopology } from '#lab/fabric.ts';
import type { Lab } from '#lab/harness.ts';
import { inPrivateNamespaces } from '../../support/namespace.ts';
import {
  agentStatus,
  endBackground,
  eventually,
  place,
  reaches,
  settled,
  startLab,
  steady,
} from '../faults/support.ts';
import { established, romanaRoutes, sessionsOf } from './support.ts';

const secret = 'a-Secret-of-2-leaves';
const secretFile = '/run/bgp-password';

/** BIRD's import filters, without the exact prefixes that Romana writes. */
const generous = (text: string): string =>
  text
    .replaceAll(
      /import where net ~ \[ 10\.[1-9]\d*\.0\.0\/\d+ \]/g,
      'import where net ~ [ 10.0.0.0/8{10,32} ]',
    )
    .replaceAll(/import where net ~ \[ fd10:\w+::\/\d+ \]/g, 'import where net ~ [ fd10::/16{20,128} ]')
    .replaceAll('ROMANA-BGP-PASSWORD', secret);

if (inPrivateNamespaces(import.meta.url)) {
  let lab: Lab;
  let a: Endpoint;
  let b: Endpoint;
  before(async () => {
    lab = await startLab({
      hosts: 2,
      racks: 1,
      fabric: { kind: 'bgp', daemon: 'bird', tor: 'bird' },
      siteSwitches: generous,
    });
    [a, b] = await Promise.all([
      lab.endpoint(place('acme', 'web', 'a', 'h1')),
      lab.endpoint(place('acme', 'web', 'b', 'h2')),
    ]);
    await settled(lab);
  });
  after(() => {
    endBackground();
    return lab.stop();
  });
  const withPassword = (): TopologyInput =>
    JSON.parse(
      JSON.stringify(ownTopology(lab.plan)).replace(
        '"kind":"bgp"',
        `"kind":"bgp","passwordFile":"${secretFile}"`,
      ),
    ) as TopologyInput;

  test('a range beyond the reservation is used without an operator, as soon as the host announces it', async () => {
    const packets = await steady([
      ['a', b],
      ['b', a],
    ]);
    await lab.client.hostAddId({ params: { name: 'h2' }, body: { allocator: 'server' } });
    const reservations = async () =>
      (await lab.client.hostShow({ params: { name: 'h2' } })).reservations ?? [];
    // the id beside its own is free: the range doubles where it is
    await eventually('active', async () => {
      const all = await reservations();
      assert.deepEqual(
        all.map(({ size, pending }) => [size, pending]),
        [
          [2, null],
          [2, null],
        ],
      );
    });
    await settled(lab);
    const four = (await reservations()).find(({ cidr }) => !cidr.includes(':'))?.cidr ?? '';
    await eventually('on the leaf', async () => {
      const leaf = await romanaRoutes(lab, 'leaf1');
      assert.ok(
        leaf.some((line) => line.startsWith(`${four} via`)),
        four,
      );
    });
    const address = '10.3.1.17';
    const late = await lab.endpoint({
      ...place('acme', 'web', 'late', 'h2'),
      networks: ['v4'],
      addresses: [address],
    });
    assert.ok(b.addresses.some(({ address }) => address.startsWith('10.2.')));
    await reaches(lab, 'a', late);
    await packets.stopWhole(100);
  });

  test('with a password on both sides the sessions come up again, and it is told nowhere', async () => {
    writeFileSync(secretFile, `${secret}\n`, { mode: 0o600 });
    await lab.client.topologyApply({ body: withPassword() });
    await lab.exportRoutes();
    for (const host of ['h1', 'h2']) {
      await eventually(`sessions of ${host}`, async () => {
        const { control } = lab.daemons.place(host, 'bird');
        const { stdout } = await lab.exec(host, ['birdc', '-s', control, 'show', 'protocols', 'all']);
        assert.equal(stdout.match(/BGP state: +Established/g)?.length, 2);
      });
      await established(lab, host, 1);
    }
    await eventually('reached', () => reaches(lab, 'a', b));
    const told = [
      JSON.stringify(await lab.client.bgpStatus({ query: {} })),
      JSON.stringify(await lab.client.topologyShow()),
      JSON.stringify(await agentStatus(lab, 'h1')),
      readFileSync(join(lab.stateDir, 'log', 'agent-of-h1.log'), 'utf8'),
      readFileSync(join(lab.stateDir, 'log', 'server.log'), 'utf8'),
    ];
    for (const text of told) assert.ok(!text.includes(secret));
  });

  test('another password on a host: its sessions are shown down until it is the same again', async () => {
    writeFileSync(secretFile, 'another-one\n', { mode: 0o600 });
    await lab.restartAgent('h1');
    await eventually(
      'shown down',
      async () => {
        const sessions = await sessionsOf(lab, 'h1');
        assert.ok(sessions.length > 0);
        assert.ok(sessions.every(({ state }) => state !== 'established'));
      },
      60_000,
    );
    writeFileSync(secretFile, `${secret}\n`, { mode: 0o600 });
    await lab.restartAgent('h1');
    for (const host of ['h1', 'h2']) await established(lab, host, 1);
    await eventually('reached', () => reaches(lab, 'a', b));
  });

  test('no password file: said with its path, and what the speaker does stays as it is', async () => {
    rmSync(secretFile);
    await lab.killAgent('h1');
    lab.startAgent('h1');
    await lab.agentReady('h1');
    await eventually('said', async () => {
      const { items } = await lab.client.bgpStatus({ query: { host: 'h1' } });
      assert.match(items[0]?.report?.problem ?? '', /\/run\/bgp-password/);
    });
    await reaches(lab, 'a', b);
    writeFileSync(secretFile, `${secret}\n`, { mode: 0o600 });
    await eventually('all well', async () => {
      const { items } = await lab.client.bgpStatus({ query: { host: 'h1' } });
      assert.equal(items[0]?.report?.problem, null);
    });
    await established(lab, 'h1', 1);
  });
}
