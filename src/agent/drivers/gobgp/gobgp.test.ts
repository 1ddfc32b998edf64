/** The GoBGP driver and its texts with a GoBGP in memory, which behaves as 3.10 does. What the real one makes of it: test/bgp. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatCidr, parseAddress, parseCidr } from '#core/address/index.ts';
import { isRomanaError } from '#core/errors.ts';
import type { BgpIntent, BgpPeer } from '#core/routing/model.ts';
import type { Runner, RunResult } from '../../exec.ts';
import type { SpeakerFiles } from '../speaker-files.ts';
import { configText, prefixSets, sessionsOf, silentConfig, silentStart, startText } from './config.ts';
import { createGobgpSpeaker } from './driver.ts';

const place = { dir: '/bgp', control: '/bgp/gobgp.sock' };
const config = '/bgp/gobgpd.toml';
const start = '/bgp/gobgpd-start';
const peer = (name: string, address: string, over: Partial<BgpPeer> = {}): BgpPeer => ({
  name,
  address: parseAddress(address),
  local: null,
  link: null,
  asn: 65001,
  families: [address.includes(':') ? 6 : 4],
  passwordFile: null,
  ttlSecurity: false,
  bfd: null,
  maxPrefixes: 100,
  ...over,
});
const intent: BgpIntent = {
  daemon: 'gobgp',
  asn: 65011,
  routerId: '192.0.2.11',
  peers: [peer('leaf1', '172.17.11.1'), peer('leaf2', '172.18.11.1')],
  announce: ['10.11.0.0/16', '10.12.0.0/16'].map(parseCidr),
  accept: ['10.0.0.0/8'].map(parseCidr),
  acceptDefault: false,
  communities: ['65001:1', '65001:1:2'],
  ecmp: 8,
  gracefulRestartSeconds: 120,
  holdSeconds: 9,
  connectRetrySeconds: 5,
};

/** Of a file: sessions with their whole text, sets, AS. */
function parsed(text: string) {
  const sets = [...text.matchAll(/prefix-set-name = "(.*)"\n((?: {2}\[\[.*\n(?: {4}.*\n)+)*)/g)].map(
    ([, name = '', rest = '']) => ({
      name,
      prefixes: [...rest.matchAll(/ip-prefix = "(.*)"\n.*"(\d+)\.\.(\d+)"/g)].map(([, prefix, min, max]) => ({
        ip_prefix: prefix,
        mask_length_min: Number(min),
        mask_length_max: Number(max),
      })),
    }),
  );
  const sessions = new Map(
    text
      .split('[[neighbors]]')
      .slice(1)
      .map((part) => [/neighbor-address = "(.*)"/.exec(part)?.[1] ?? '', part]),
  );
  const policies = (kind: string): string[] =>
    (new RegExp(`${kind}-policy-list = \\[(.*)\\]`).exec(text)?.[1] ?? '').replaceAll('"', '').split(',');
  return { sets, sessions, import: policies('import'), export: policies('export') };
}

class World {
  readonly files = new Map<string, string>();
  readonly log: string[] = [];
  up = true;
  refuses = false;
  asn = 65011;
  #seen = '';
  #live = parsed('');
  readonly rib = new Map<string, string[]>();
  readonly #told = new Map<string, Set<string>>();

  /** What 3.10 does at SIGHUP: it takes all that is new or gone, and of what changed the first alone. */
  readAgain(): void {
    this.log.push('HUP');
    const text = this.files.get(config) ?? '';
    const [before, after] = [parsed(this.#seen), parsed(text)];
    const sessions = new Map(this.#live.sessions);
    let changed = 0;
    for (const [address, own] of after.sessions) {
      const old = before.sessions.get(address);
      if (old === undefined || (old !== own && changed++ === 0)) sessions.set(address, own);
    }
    for (const address of before.sessions.keys()) if (!after.sessions.has(address)) sessions.delete(address);
    this.#live = { ...after, sessions };
    this.#seen = text;
  }

  boot(): void {
    this.#seen = this.files.get(config) ?? '';
    this.#live = parsed(this.#seen);
    this.rib.clear();
    for (const [, prefix = '', rest = ''] of (this.files.get(start) ?? '').matchAll(
      / global rib add (\S+)(.*) &$/gm,
    ))
      this.#add(prefix, rest.split(' '));
  }

  get sessions(): string[] {
    return [...this.#live.sessions.keys()].sort();
  }

  #add(prefix: string, words: readonly string[]): void {
    const list = words.flatMap((word, index) =>
      (words[index - 1] ?? '').endsWith('community') ? word.split(',') : [],
    );
    this.rib.set(prefix, list);
    const let_out = this.#live.sets.some(
      ({ name, prefixes }) =>
        name.includes('announce') && prefixes.some(({ ip_prefix }) => ip_prefix === prefix),
    );
    for (const address of this.#live.sessions.keys()) if (let_out) this.toldTo(address).add(prefix);
  }

  toldTo(address: string): Set<string> {
    const set = this.#told.get(address) ?? new Set();
    this.#told.set(address, set);
    return set;
  }

  readonly run: Runner = (argv) => {
    const text = argv.join(' ');
    const answer = (stdout: string, code = 0): Promise<RunResult> =>
      Promise.resolve({ code, stdout, stderr: '' });
    if (text.includes('gobgpd -d')) return answer('', this.refuses ? 1 : 0);
    if (text.includes('--version')) return answer('gobgpd version 3.10.0');
    if (!this.up) return answer('context deadline exceeded', 1);
    const words = argv.slice(argv.indexOf('unix:///bgp/gobgp.sock') + 1).filter((word) => word !== '-j');
    return answer(this.#client(words));
  };

  #client(words: readonly string[]): string {
    const [noun = '', second = '', third = '', fourth = ''] = words;
    if (words.join(' ') === 'global') return JSON.stringify({ asn: this.asn, router_id: '192.0.2.11' });
    if (words.join(' ') === 'global policy')
      return [this.#live.import, this.#live.export]
        .map((names) => JSON.stringify({ policies: names.filter(Boolean).map((name) => ({ name })) }))
        .join('\n');
    if (noun === 'policy') return JSON.stringify(this.#live.sets);
    if (words.join(' ') === 'neighbor')
      return JSON.stringify(
        [...this.#live.sessions].map(([address, text]) => ({
          conf: { description: /description = "(.*)"/.exec(text)?.[1] },
          state: { neighbor_address: address, session_state: 6 },
        })),
      );
    if (third === 'adj-out')
      return JSON.stringify(Object.fromEntries([...this.toldTo(second)].map((prefix) => [prefix, []])));
    this.log.push(words.join(' '));
    if (third === 'softresetout') for (const prefix of this.rib.keys()) this.toldTo(second).add(prefix);
    if (second === 'rib' && third === 'add') this.#add(fourth, words);
    if (second === 'rib' && third === 'del') {
      this.rib.delete(fourth);
      for (const set of this.#told.values()) set.delete(fourth);
    }
    if (second === 'rib' && third === '-a')
      return JSON.stringify(
        Object.fromEntries(
          [...this.rib]
            .filter(([prefix]) => prefix.includes(':') === (fourth === 'ipv6'))
            .map(([prefix, list]) => [prefix, [{ attrs: attributes(list) }]]),
        ),
      );
    return '';
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

  speaker() {
    return createGobgpSpeaker({
      run: this.run,
      files: this.port,
      place,
      clock: { now: () => 0, monotonic: () => 0 },
      timers: {
        after: (_ms, fn) => {
          queueMicrotask(fn);
          return () => {};
        },
      },
      daemon: { find: () => (this.up ? 1 : null), hangUp: () => this.readAgain() },
    });
  }

  writes(): string[] {
    return this.log.filter((line) => !line.startsWith('global rib -a'));
  }
}

function attributes(list: readonly string[]): unknown[] {
  const plain = list.filter((text) => text.split(':').length === 2);
  const large = list.filter((text) => text.split(':').length === 3);
  return [
    {
      type: 8,
      communities: plain.map((text) => Number(text.split(':')[0]) * 65536 + Number(text.split(':')[1])),
    },
    {
      type: 32,
      value: large.map((text) => {
        const [ASN, LocalData1, LocalData2] = text.split(':').map(Number);
        return { ASN, LocalData1, LocalData2 };
      }),
    },
  ];
}

const fails = (code: string) => (error: unknown) => isRomanaError(error) && error.code === code;

test('the program that starts it adds every route and becomes the daemon', () => {
  assert.equal(
    startText(place, intent),
    `#!/bin/sh
# Written by Romana; what is changed here is overwritten.
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH
give_routes() {
  left=300
  until gobgp --target unix:///bgp/gobgp.sock global > /dev/null 2>&1; do
    left=$((left - 1))
    [ "$left" -gt 0 ] || return 0
    sleep 0.1
  done
  gobgp --target unix:///bgp/gobgp.sock global rib add 10.11.0.0/16 -a ipv4 origin igp community 65001:1 large-community 65001:1:2 &
  gobgp --target unix:///bgp/gobgp.sock global rib add 10.12.0.0/16 -a ipv4 origin igp community 65001:1 large-community 65001:1:2 &
  wait
}
(give_routes > /dev/null 2>&1 &)
exec gobgpd -r -f /bgp/gobgpd.toml -t toml --api-hosts unix:///bgp/gobgp.sock --pprof-disable
`,
  );
  assert.equal(silentStart(startText(place, intent)), startText(place, { ...intent, announce: [] }));
});

test('accepted is what lies in the networks, announced exactly the own; an empty set is left out, it would mean any', () => {
  const both = { ...intent, announce: [...intent.announce, parseCidr('fd10:11::/32')], acceptDefault: true };
  const show = (of: BgpIntent): string[] =>
    [...prefixSets(of)].flatMap(([name, ranges]) =>
      ranges.map(({ prefix, min, max }) => `${name} ${prefix} ${min}-${max}`),
    );
  assert.deepEqual(show(both), [
    'romana-announce-4 10.11.0.0/16 16-16',
    'romana-announce-4 10.12.0.0/16 16-16',
    'romana-accept-4 10.0.0.0/8 8-32',
    'romana-accept-4 0.0.0.0/0 0-0',
    'romana-announce-6 fd10:11::/32 32-32',
    'romana-accept-6 ::/0 0-0',
  ]);
  assert.deepEqual(show({ ...intent, announce: [], accept: [] }), []);
  const nothing = configText({ ...intent, announce: [], accept: [] }, []);
  assert.ok(!nothing.includes('romana-accept') && !nothing.includes('romana-announce'));
  assert.equal(nothing.match(/default-(im|ex)port-policy = "reject-route"/g)?.length, 2);
});

test('the order of an intent does not show, and one session’s text does not depend on another', () => {
  const none = new Map<string, string>();
  const turned = { ...intent, peers: intent.peers.toReversed(), announce: intent.announce.toReversed() };
  const text = configText(intent, sessionsOf(intent, none));
  assert.equal(configText(turned, sessionsOf(turned, none)), text);
  const other = { ...intent, peers: [intent.peers[0]!, peer('leaf2', '172.18.11.1', { asn: 65009 })] };
  const [first, second] = sessionsOf(other, none);
  assert.equal(first?.text, sessionsOf(intent, none)[0]?.text);
  assert.notEqual(second?.description, sessionsOf(intent, none)[1]?.description);
  assert.match(silentConfig(text), /^ {2}export-policy-list = \[\]$/m);
});

test('the first apply does all, the second nothing, a new agent nothing', async () => {
  const world = new World();
  await world.speaker().apply(intent);
  assert.deepEqual([...world.rib.keys()], intent.announce.map(formatCidr));
  assert.deepEqual(world.sessions, ['172.17.11.1', '172.18.11.1']);
  world.log.length = 0;
  assert.deepEqual((await world.speaker().apply(intent)).changes, []);
  assert.deepEqual(world.writes(), []);
});

test('a daemon that was killed has all again before any agent speaks to it', async () => {
  const world = new World();
  await world.speaker().apply(intent);
  world.boot();
  world.log.length = 0;
  assert.deepEqual((await world.speaker().apply(intent)).changes, []);
});

test('a route goes before its policy and comes after it', async () => {
  const world = new World();
  const speaker = world.speaker();
  await speaker.apply(intent);
  world.log.length = 0;
  await speaker.apply({ ...intent, announce: ['10.12.0.0/16', '10.13.0.0/16'].map(parseCidr) });
  assert.deepEqual(world.writes(), [
    'global rib del 10.11.0.0/16 -a ipv4',
    'HUP',
    'global rib add 10.13.0.0/16 -a ipv4 origin igp community 65001:1 large-community 65001:1:2',
  ]);
  assert.deepEqual([...world.toldTo('172.18.11.1')], ['10.12.0.0/16', '10.13.0.0/16']);
});

test('what a session lacks is sent by a soft reset of that session alone', async () => {
  const world = new World();
  const speaker = world.speaker();
  await speaker.apply(intent);
  world.toldTo('172.18.11.1').delete('10.12.0.0/16');
  world.log.length = 0;
  await speaker.apply(intent);
  assert.deepEqual(world.writes(), ['neighbor 172.18.11.1 softresetout -a ipv4']);
});

test('several sessions change at once: GoBGP takes one of them, so they go first and come back', async () => {
  const world = new World();
  const speaker = world.speaker();
  await speaker.apply(intent);
  const slower = { ...intent, holdSeconds: 30 };
  await speaker.apply(slower);
  assert.deepEqual(world.sessions, ['172.17.11.1', '172.18.11.1']);
  assert.deepEqual((await world.speaker().apply(slower)).changes, []);
});

test('a crash between the two files is mended by the next apply', async () => {
  const world = new World();
  await world.speaker().apply(intent);
  const slower = { ...intent, holdSeconds: 30 };
  const none = new Map<string, string>();
  world.files.set(config, configText(slower, sessionsOf({ ...slower, peers: [] }, none)));
  world.readAgain();
  assert.deepEqual(world.sessions, []);
  await world.speaker().apply(slower);
  assert.deepEqual(world.sessions, ['172.17.11.1', '172.18.11.1']);
});

test('routes of somebody’s hand are taken away, and their own are put back', async () => {
  const world = new World();
  const speaker = world.speaker();
  await speaker.apply(intent);
  world.rib.set('10.99.0.0/16', []);
  world.rib.delete('10.11.0.0/16');
  await speaker.apply(intent);
  assert.deepEqual([...world.rib.keys()].sort(), intent.announce.map(formatCidr));
});

test('another AS number needs a restart, and says so; a refused file leaves the one before', async () => {
  const world = new World();
  const speaker = world.speaker();
  await speaker.apply(intent);
  const before = world.files.get(config);
  world.refuses = true;
  await assert.rejects(speaker.apply({ ...intent, holdSeconds: 30 }), fails('speaker_refused'));
  assert.equal(world.files.get(config), before);
  assert.ok(!world.files.has(`${config}.new`));
  world.refuses = false;
  await assert.rejects(
    speaker.apply({ ...intent, asn: 65012 }),
    (error: Error) => fails('speaker_refused')(error) && /restart it to become AS 65012/.test(error.message),
  );
  assert.match(world.files.get(config) ?? '', /as = 65012/);
});

test('where no file of ours is, nothing of ours is announced: no question, no error', async () => {
  const world = new World();
  world.up = false;
  await world.speaker().withdraw();
  assert.deepEqual(world.log, []);
});

test('withdraw without memory takes everything back, also for the next start; away it is an error', async () => {
  const world = new World();
  await world.speaker().apply(intent);
  await world.speaker().withdraw();
  assert.deepEqual([...world.rib.keys()], []);
  world.boot();
  assert.deepEqual([...world.rib.keys()], []);
  assert.deepEqual(world.sessions, ['172.17.11.1', '172.18.11.1']);
  world.up = false;
  await assert.rejects(world.speaker().withdraw(), fails('speaker_unavailable'));
  const { daemon, announced, version } = await world.speaker().status();
  assert.deepEqual([daemon, announced, version], ['down', null, '3.10.0']);
});
