/** The ExaBGP driver with an ExaBGP in memory: what it does when things are refused, lost or in the wrong order. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseAddress, parseCidr } from '#core/address/index.ts';
import { isRomanaError, RomanaError } from '#core/errors.ts';
import type { BgpIntent, BgpPeer } from '#core/routing/model.ts';
import type { Runner } from '../../exec.ts';
import type { SpeakerFiles } from '../speaker-files.ts';
import type { Ask } from './api.ts';
import { createExabgpSpeaker } from './driver.ts';

const place = { dir: '/bgp', control: '/bgp/exabgp.sock' };
const config = '/bgp/exabgp.conf';
const peer = (name: string, address: string): BgpPeer => ({
  name,
  address: parseAddress(address),
  local: parseAddress('172.17.11.2'),
  link: null,
  asn: 65001,
  families: [4],
  passwordFile: null,
  ttlSecurity: false,
  bfd: null,
  maxPrefixes: null,
});
const intent: BgpIntent = {
  daemon: 'exabgp',
  asn: 65011,
  routerId: '192.0.2.11',
  peers: [peer('leaf1', '172.17.11.1'), peer('leaf2', '172.18.11.1')],
  announce: ['10.11.0.0/16', '10.12.0.0/16'].map(parseCidr),
  accept: [],
  acceptDefault: false,
  communities: ['65001:1'],
  ecmp: 8,
  gracefulRestartSeconds: 120,
  holdSeconds: 9,
  connectRetrySeconds: 5,
};

/** Reads the file of the driver when told to, as far as the driver can tell. */
class World {
  readonly files = new Map<string, string>();
  readonly commands: string[] = [];
  readonly runs: string[] = [];
  /** Address → description; what it has read. */
  #read = new Map<string, string>();
  #routes = new Map<string, Map<string, string>>();
  up = true;
  deaf = false;
  refuses = false;
  /** Changes of routes that it lets fall, until it reads its file. */
  loses = 0;

  readonly ask: Ask = (command) => {
    if (!this.up) return Promise.reject(new RomanaError('speaker_unavailable', 'It is away.'));
    if (!command.startsWith('show') && command !== 'version') this.commands.push(command);
    if (command === 'reload' && !this.deaf) {
      this.loses = 0;
      this.readFile();
    }
    const change = /^neighbor (\S+) (announce|withdraw) route (\S+) next-hop self ?(.*)$/.exec(command);
    if (change !== null && this.loses > 0) this.loses--;
    else if (change !== null) {
      const [, address = '', what, prefix = '', attributes = ''] = change;
      const routes = this.#routes.get(address) ?? new Map<string, string>();
      if (what === 'announce') routes.set(prefix, attributes);
      else routes.delete(prefix);
      this.#routes.set(address, routes);
    }
    return Promise.resolve(this.#answer(command));
  };

  #answer(command: string): string[] {
    if (command === 'show neighbor configuration')
      return [...this.#read].flatMap(([address, text]) => [
        `neighbor ${address} {`,
        `  description "${text}";`,
      ]);
    if (command === 'show adj-rib out extensive')
      return [...this.#routes].flatMap(([address, routes]) =>
        [...routes].map(
          ([prefix, rest]) => `neighbor ${address} ipv4 unicast ${prefix} next-hop self ${rest}`,
        ),
      );
    return [];
  }

  /** At its start, or when it heard a reload. */
  readFile(): void {
    const text = this.files.get(config) ?? '';
    this.#read = new Map(
      [...text.matchAll(/neighbor (\S+) \{\n {2}description "(.*)";/g)].map(([, a = '', d = '']) => [a, d]),
    );
    const parts = text.split(/^neighbor /m).slice(1);
    this.#routes = new Map(
      parts.map((part) => [
        part.split(' ')[0] ?? '',
        new Map(
          [...part.matchAll(/route (\S+) next-hop self ?(.*);/g)].map(([, p = '', rest = '']) => [p, rest]),
        ),
      ]),
    );
  }

  routesOf(address: string): string[] {
    return [...(this.#routes.get(address)?.keys() ?? [])].sort();
  }

  readonly port: SpeakerFiles = {
    read: (path) => Promise.resolve(this.files.get(path) ?? null),
    write: (path, text) => Promise.resolve(void this.files.set(path, text)),
    rename: (from, to) => {
      this.files.set(to, this.files.get(from) ?? '');
      this.files.delete(from);
      return Promise.resolve();
    },
    remove: (path) => Promise.resolve(void this.files.delete(path)),
  };

  readonly run: Runner = (argv) => {
    this.runs.push(argv.join(' '));
    const stdout = this.refuses ? '18:08:33 | 22 | configuration   | line 4: md5-password "horse"' : '';
    return Promise.resolve({ code: this.refuses ? 1 : 0, stdout, stderr: '' });
  };

  speaker() {
    const timers = {
      after: (_ms: number, fn: () => void) => {
        queueMicrotask(fn);
        return () => {};
      },
    };
    return createExabgpSpeaker({ run: this.run, files: this.port, timers, place, ask: this.ask });
  }
}

const fails = (code: string) => (error: unknown) => isRomanaError(error) && error.code === code;

test('the first apply reads the file, the second does nothing; a new agent does nothing', async () => {
  const world = new World();
  await world.speaker().apply(intent);
  assert.deepEqual(world.commands, ['reload']);
  assert.deepEqual(world.routesOf('172.17.11.1'), ['10.11.0.0/16', '10.12.0.0/16']);
  const speaker = world.speaker();
  assert.deepEqual((await speaker.apply(intent)).changes, []);
  assert.deepEqual(world.commands, ['reload']);
});

test('other routes go through the API alone, to every peer; the file has them too', async () => {
  const world = new World();
  const speaker = world.speaker();
  await speaker.apply(intent);
  world.commands.length = 0;
  await speaker.apply({ ...intent, announce: ['10.12.0.0/16', '10.13.0.0/16'].map(parseCidr) });
  assert.deepEqual(
    world.commands,
    ['172.17.11.1', '172.18.11.1'].flatMap((address) => [
      `neighbor ${address} announce route 10.13.0.0/16 next-hop self community [ 65001:1 ]`,
      `neighbor ${address} withdraw route 10.11.0.0/16 next-hop self`,
    ]),
  );
  world.readFile();
  assert.deepEqual(world.routesOf('172.18.11.1'), ['10.12.0.0/16', '10.13.0.0/16']);
  world.commands.length = 0;
  await speaker.apply({ ...intent, announce: [parseCidr('10.12.0.0/16')], communities: ['65001:2'] });
  assert.ok(
    world.commands.includes(
      'neighbor 172.17.11.1 announce route 10.12.0.0/16 next-hop self community [ 65001:2 ]',
    ),
  );
});

test('commands that ExaBGP lets fall are said again; when it lets all fall it reads its file again', async () => {
  for (const loses of [1, 3, 1000]) {
    const world = new World();
    const speaker = world.speaker();
    await speaker.apply(intent);
    world.loses = loses;
    world.commands.length = 0;
    const other = { ...intent, announce: ['10.12.0.0/16', '10.13.0.0/16'].map(parseCidr) };
    await speaker.apply(other);
    for (const address of ['172.17.11.1', '172.18.11.1'])
      assert.deepEqual(world.routesOf(address), ['10.12.0.0/16', '10.13.0.0/16']);
    assert.equal(world.commands.includes('reload'), loses === 1000);
    world.loses = loses;
    await speaker.withdraw();
    for (const address of ['172.17.11.1', '172.18.11.1']) assert.deepEqual(world.routesOf(address), []);
  }
});

test('when neither command nor file is taken it is an error that says what to do', async () => {
  const world = new World();
  const speaker = world.speaker();
  await speaker.apply(intent);
  world.loses = 1000;
  world.deaf = true;
  await assert.rejects(speaker.withdraw(), fails('speaker_refused'));
});

test('a peer that goes is told so before its session ends: it would keep the routes as after a crash', async () => {
  const world = new World();
  const speaker = world.speaker();
  await speaker.apply(intent);
  world.commands.length = 0;
  await speaker.apply({ ...intent, peers: intent.peers.slice(0, 1) });
  assert.deepEqual(world.commands, [
    'neighbor 172.18.11.1 withdraw route 10.11.0.0/16 next-hop self',
    'neighbor 172.18.11.1 withdraw route 10.12.0.0/16 next-hop self',
    'reload',
  ]);
});

test('a reload that ExaBGP lets fall is an error that says what to do, and the next apply tries again', async () => {
  const world = new World();
  const speaker = world.speaker();
  world.deaf = true;
  await assert.rejects(speaker.apply(intent), fails('speaker_refused'));
  assert.ok(world.files.has(config));
  world.deaf = false;
  await speaker.apply(intent);
  assert.deepEqual(world.routesOf('172.17.11.1').length, 2);
});

test('a refused file leaves the one before, nothing beside it, and no word of what it holds', async () => {
  const world = new World();
  const speaker = world.speaker();
  await speaker.apply(intent);
  const before = world.files.get(config);
  world.refuses = true;
  await assert.rejects(
    speaker.apply({ ...intent, holdSeconds: 30 }),
    (error: Error) => fails('speaker_refused')(error) && !error.message.includes('horse'),
  );
  assert.equal(world.files.get(config), before);
  assert.deepEqual([...world.files.keys()].sort(), ['/bgp/exabgp-api', config]);
});

test('while it is away the files are right; after its start there is nothing to do', async () => {
  const world = new World();
  world.up = false;
  await assert.rejects(world.speaker().apply(intent), fails('speaker_unavailable'));
  world.up = true;
  world.readFile();
  assert.deepEqual((await world.speaker().apply(intent)).changes, []);
  assert.deepEqual(world.commands, []);
});

test('withdraw without memory: every route of every peer, the file too, and no reload', async () => {
  const world = new World();
  await world.speaker().apply(intent);
  world.commands.length = 0;
  await world.speaker().withdraw();
  assert.equal(world.commands.length, 4);
  assert.ok(world.commands.every((command) => command.includes(' withdraw route ')));
  for (const address of ['172.17.11.1', '172.18.11.1']) assert.deepEqual(world.routesOf(address), []);
  world.readFile();
  for (const address of ['172.17.11.1', '172.18.11.1']) assert.deepEqual(world.routesOf(address), []);
});

test('withdraw of a daemon that is away is an error, and its file is silent all the same', async () => {
  const world = new World();
  await world.speaker().apply(intent);
  world.up = false;
  await assert.rejects(world.speaker().withdraw(), fails('speaker_unavailable'));
  world.up = true;
  world.readFile();
  assert.deepEqual(world.routesOf('172.17.11.1'), []);
});
