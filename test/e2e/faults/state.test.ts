/** What happens to the files of an agent: half-written, lost, damaged, no room left. The kernel goes on, nothing is given out twice. */
import assert from 'node:assert/strict';
import { appendFileSync, cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { Endpoint } from '#contract/model.ts';
import type { RomanaError } from '#core/errors.ts';
import type { Lab } from '#lab/harness.ts';
import { inPrivateNamespaces } from '../../support/namespace.ts';
import {
  agentStatus,
  createLocally,
  drift,
  endBackground,
  eventually,
  localEndpoints,
  ownLinks,
  place,
  reaches,
  removeLocally,
  routesOf,
  settled,
  startLab,
  stateDirOf,
  steady,
  tableWithHandles,
} from './support.ts';

if (inPrivateNamespaces(import.meta.url)) {
  let lab: Lab;
  let a: Endpoint; // on h1, whose agent allocates
  let b: Endpoint; // on h2
  before(async () => {
    lab = await startLab({ hosts: 2 });
    [a, b] = await Promise.all([
      lab.endpoint(place('acme', 'web', 'a', 'h1')),
      lab.endpoint(place('acme', 'web', 'b', 'h2')),
      lab.endpoint(place('acme', 'db', 'c', 'h1')),
    ]);
    await settled(lab);
  });
  after(() => {
    endBackground();
    return lab.stop();
  });

  const journal = (): string => join(stateDirOf(lab, 'h1'), 'journal', 'allocations.journal');
  const view = (): string => join(stateDirOf(lab, 'h1'), 'view.json');
  const kernel = async (): Promise<unknown> => ({
    table: await tableWithHandles(lab, 'h1'),
    links: await ownLinks(lab, 'h1'),
    routes: await routesOf(lab, 'h1'),
  });
  const held = async (): Promise<string[]> =>
    (await localEndpoints(lab, 'h1'))
      .map(({ name, uid, addresses }) => [name, uid, ...addresses.map(({ address }) => address)].join(' '))
      .sort();
  /** The server and the agent tell the same, no address is there twice. */
  async function agreed(): Promise<void> {
    await settled(lab);
    await eventually('server and agent agree', async () => {
      const { items } = await lab.client.endpointList({});
      const ours = items.filter(({ host }) => host === 'h1').map(({ uid }) => uid);
      assert.deepEqual((await localEndpoints(lab, 'h1')).map(({ uid }) => uid).sort(), ours.sort());
      const addresses = items.flatMap((item) => item.addresses.map(({ address }) => address));
      assert.equal(new Set(addresses).size, addresses.length);
      assert.deepEqual(await drift(lab, 'h1'), []);
    });
  }

  const harms: Readonly<Record<string, () => void>> = {
    'the journal ends with a half-written line': () => {
      const lines = readFileSync(journal(), 'utf8').trimEnd().split('\n');
      const last = lines.at(-1) ?? '';
      appendFileSync(journal(), last.slice(0, last.length / 2));
    },
    'the journal is lost': () => rmSync(journal()),
    'the view is lost': () => rmSync(view()),
    'the view is cut off': () => {
      const text = readFileSync(view());
      writeFileSync(view(), text.subarray(0, text.length / 2));
    },
    'journal and view are lost': () => {
      rmSync(journal());
      rmSync(view());
    },
  };
  for (const [what, harm] of Object.entries(harms)) {
    test(`${what}: the agent starts with what it had, writes nothing, no packet is lost; what it gives out then is free`, async () => {
      const packets = await steady([
        ['a', b],
        ['b', a],
      ]);
      const [before, had] = [await kernel(), await held()];
      await eventually('all is saved', async () => assert.ok(existsSync(journal()) && existsSync(view())));
      await lab.killAgent('h1');
      harm();
      lab.startAgent('h1');
      await lab.agentReady('h1');
      assert.deepEqual(await held(), had);
      assert.equal((await agentStatus(lab, 'h1')).writes, 0);
      assert.deepEqual(await kernel(), before);
      await packets.stopWhole(100);
      await lab.namespaces(['fresh']);
      const fresh = place('acme', 'web', 'fresh', 'h1');
      const made = await createLocally(lab, fresh);
      await agreed();
      await reaches(lab, 'b', made);
      await removeLocally(lab, fresh);
      await agreed();
    });
  }

  test('no room on the disk: an endpoint is refused with store_full and nothing of it stays; with room again it works', async () => {
    const dir = stateDirOf(lab, 'h1');
    await lab.killAgent('h1');
    const saved = `${dir}.saved`;
    cpSync(dir, saved, { recursive: true });
    mkdirSync(dir, { recursive: true });
    await lab.run(['mount', '-t', 'tmpfs', '-o', 'size=256k,mode=700', 'tmpfs', dir]);
    cpSync(saved, dir, { recursive: true });
    lab.startAgent('h1');
    await lab.agentReady('h1');
    await agreed();
    const had = await held();
    const filler = join(dir, 'filler');
    const fill = (): void => {
      for (const size of [4096, 1]) {
        try {
          for (;;) appendFileSync(filler, Buffer.alloc(size));
        } catch (error) {
          assert.match(String(error), /ENOSPC/);
        }
      }
    };
    await lab.namespaces(Array.from({ length: 40 }, (_, i) => `late${i}`));
    fill();
    // room may be left inside the journal's last page: some succeed, whole, until one is refused, whole
    const made: string[] = [];
    const segmentOf = (i: number): string => (i % 2 === 0 ? 'web' : 'db');
    await assert.rejects(
      async () => {
        for (let i = 0; i < 30; i++)
          made.push((await createLocally(lab, place('acme', segmentOf(i), `late${i}`, 'h1'))).name);
      },
      (error: RomanaError) => error.code === 'store_full',
    );
    const names = (await localEndpoints(lab, 'h1')).map(({ name }) => name).sort();
    assert.deepEqual(names, ['a', 'c', ...made].sort());
    assert.equal((await ownLinks(lab, 'h1')).length, names.length);
    await reaches(lab, 'b', a);
    rmSync(filler);
    for (const [i, name] of made.entries()) await removeLocally(lab, place('acme', segmentOf(i), name, 'h1'));
    await agreed();
    assert.deepEqual(await held(), had);
    const next = place('acme', 'db', 'late39', 'h1');
    await reaches(lab, 'c', await createLocally(lab, next));
    await removeLocally(lab, next);
    await agreed();
    assert.deepEqual(await held(), had);
  });
}
