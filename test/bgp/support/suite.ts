/** What every speaker must do with the real daemons, on the fabric of fabric.ts. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { Speaker, SpeakerPlace, SpeakerProcess } from '#agent/speaker.ts';
import { type Cidr, formatCidr, parseAddress } from '#core/address/index.ts';
import { isRomanaError } from '#core/errors.ts';
import type { BgpIntent, BgpPeer } from '#core/routing/model.ts';
import type { Daemon } from '#lab/supervisor.ts';
import type { Netns } from '../../support/namespace.ts';
import {
  allUp,
  applyUntilUp,
  assertNoFlap,
  cidrs,
  folder,
  intentOf,
  learnedBy,
  makeUnderlay,
  networks,
  nextHops,
  own,
  reloadTor,
  since,
  start,
  startTor,
  stopAll,
  type Tor,
  type TorOptions,
  until,
} from './fabric.ts';

export interface Candidate {
  readonly daemon: BgpIntent['daemon'];
  /** In the folder of the speaker. */
  readonly configFile: string;
  control(dir: string): string;
  create(place: SpeakerPlace): Speaker;
  processes(place: SpeakerPlace): readonly SpeakerProcess[];
  /** What the driver asks the daemon through. */
  socket(place: SpeakerPlace): string;
  /** Brings back a session that was closed for too many prefixes. */
  reopen(ready: Ready, neighbour: string): Promise<unknown>;
  /** Another way to configure a daemon that has run the whole suite: what does not depend on the way is left out. */
  readonly brief?: boolean;
  readonly bfd?: boolean;
}

export interface Ready {
  readonly host: Netns;
  readonly tors: readonly [Tor, Tor];
  readonly place: SpeakerPlace;
  readonly daemons: readonly Daemon[];
  readonly speaker: Speaker;
}

const texts = (list: readonly Cidr[]): string[] => list.map(formatCidr).sort();

/** Runs each test on a fabric that is up and has the plain intent. */
export function speakerSuite(candidate: Candidate, more: (ready: () => Ready) => void = () => {}): void {
  const { daemon } = candidate;
  let ready: Ready | undefined;
  const get = (): Ready => {
    assert.ok(ready !== undefined);
    return ready;
  };
  const intent = (over: Partial<BgpIntent> = {}, peer: Partial<BgpPeer> = {}): BgpIntent =>
    intentOf(daemon, over, peer);

  before(async () => {
    const { host, tors } = await makeUnderlay();
    const dir = folder();
    const place = { dir, control: candidate.control(dir) };
    ready = {
      host,
      tors: [startTor(tors[0], 1), startTor(tors[1], 2)],
      place,
      daemons: start(host, candidate.processes(place), join(dir, 'log')),
      speaker: candidate.create(place),
    };
  });
  after(async () => {
    const { daemons, tors } = get();
    await stopAll([...daemons, ...tors.flatMap((tor) => tor.daemons)]);
  });

  const torsHave = async (...expected: readonly Cidr[]): Promise<void> => {
    const wanted = texts(expected);
    for (const tor of get().tors) {
      await until(
        `tor${tor.number} has ${wanted.join(' ')}`,
        async () => (await tor.learned()).join(' ') === wanted.join(' '),
      );
    }
  };
  const refusedAs = async (code: string, doing: Promise<unknown>): Promise<string> => {
    let message = '';
    await assert.rejects(doing, (error) => {
      assert.ok(isRomanaError(error), String(error));
      assert.equal(error.code, code, error.message);
      message = error.message + JSON.stringify(error.details ?? {});
      return true;
    });
    return message;
  };
  const file = (): string => join(get().place.dir, candidate.configFile);
  const withTors = async (options: TorOptions, work: () => Promise<void>): Promise<void> => {
    const { tors } = get();
    for (const tor of tors) await reloadTor(tor, options);
    try {
      await work();
    } finally {
      for (const tor of tors) await reloadTor(tor, {});
      await get().speaker.apply(intent());
      await allUp(get().speaker);
      await torsHave(...own);
    }
  };

  test('both switches get exactly the announced prefixes, the host exactly the networks, over both uplinks', async () => {
    const { speaker, host } = get();
    await applyUntilUp(speaker, intent());
    await allUp(speaker);
    await torsHave(...own);
    await until('the host has the networks', async () => (await learnedBy(host)).length === 2);
    assert.deepEqual(await learnedBy(host), texts(networks));
    for (const cidr of networks) await until('both uplinks', async () => (await nextHops(host, cidr)) === 2);
    const { daemon, announced, sessions, problem } = await speaker.status();
    assert.deepEqual([daemon, texts(announced ?? []), problem], ['up', texts(own), null]);
    for (const { prefixesIn, prefixesOut, lastError } of sessions)
      assert.deepEqual([prefixesIn, prefixesOut, lastError], [1, 1, '']);
  });

  test('1 applied again, by a driver without memory too, nothing is written', async () => {
    const { speaker, place } = get();
    const { ino } = statSync(file());
    assert.deepEqual((await speaker.apply(intent())).changes, []);
    assert.deepEqual((await candidate.create(place).apply(intent())).changes, []);
    assert.equal(statSync(file()).ino, ino);
  });

  test('its file is nobody else’s to read', () => {
    assert.equal(statSync(file()).mode & 0o777, 0o600);
  });

  test('3 announcements and communities come and go without a flap', async () => {
    const { speaker } = get();
    const before = since((await speaker.status()).sessions);
    const more = cidrs('10.111.0.0/16', '10.12.3.4/32', 'fd10:111::/32');
    for (const tor of get().tors) await reloadTor(tor, { accept: [...own, ...more] });
    await speaker.apply(intent({ announce: [...own, ...more], communities: ['65001:100', '65001:1:2'] }));
    await torsHave(...own, ...more);
    const shown = await get().tors[0].show('show', 'route', 'all', '10.12.3.4/32');
    assert.match(shown, /BGP\.community: \(65001,100\)/);
    assert.match(shown, /BGP\.large_community: \(65001, 1, 2\)/);
    await speaker.apply(intent({ announce: [...own, ...more.slice(1, 2)] }));
    await torsHave(...own, ...more.slice(1, 2));
    await speaker.apply(intent());
    await torsHave(...own);
    assert.doesNotMatch(await get().tors[0].show('show', 'route', 'all', '10.11.0.0/16'), /community/);
    for (const tor of get().tors) await reloadTor(tor, {});
    assertNoFlap(before, (await speaker.status()).sessions);
  });

  test('4 withdraw takes back every announcement and keeps the sessions, without memory too', async () => {
    const { speaker, place } = get();
    const before = since((await speaker.status()).sessions);
    await candidate.create(place).withdraw();
    await torsHave();
    assert.deepEqual((await speaker.status()).announced, []);
    await speaker.withdraw();
    await speaker.apply(intent());
    await torsHave(...own);
    assertNoFlap(before, (await speaker.status()).sessions);
  });

  test('a switch takes no more than the host may announce, the host no more than the networks: no default, nothing of others', async () => {
    const { speaker, host, tors } = get();
    const foreign = cidrs('192.0.2.0/24', '0.0.0.0/0', '::/0', '2001:db8::/32', '10.0.0.0/7');
    for (const tor of tors) await reloadTor(tor, { announce: [...networks, ...foreign] });
    await until('the switch tells more', async () =>
      /192\.0\.2\.0/.test(await tors[0].show('show', 'route')),
    );
    await speaker.apply(intent({ announce: [...own, ...cidrs('10.99.0.0/16', 'fd10:99::/32')] }));
    const more = cidrs('10.98.0.0/16', 'fd10:98::/32');
    for (const tor of tors) await reloadTor(tor, { announce: [...networks, ...foreign, ...more] });
    await until('news have arrived', async () => (await learnedBy(host)).length === 4);
    assert.deepEqual(await learnedBy(host), texts([...networks, ...more]));
    await torsHave(...own);
    for (const tor of tors) await reloadTor(tor, {});
    await speaker.apply(intent());
  });

  test('a file that somebody broke is put right, others’ files are left alone, and no session notices', async () => {
    const { speaker, place } = get();
    const before = since((await speaker.status()).sessions);
    const good = readFileSync(file(), 'utf8');
    const others = join(place.dir, 'notes.txt');
    writeFileSync(others, 'mine');
    writeFileSync(file(), `${good.slice(0, 200)}\nthis is no configuration {`);
    assert.equal((await speaker.apply(intent())).changes.length, 1);
    assert.equal(readFileSync(file(), 'utf8'), good);
    assert.equal(readFileSync(others, 'utf8'), 'mine');
    assert.equal(existsSync(`${file()}.new`), false);
    assertNoFlap(before, (await speaker.status()).sessions);
  });

  if (candidate.brief !== true) sessionTests();

  test('2 what the daemon’s parser refuses is never put in place', async () => {
    const { speaker } = get();
    const good = readFileSync(file(), 'utf8');
    const before = since((await speaker.status()).sessions);
    await refusedAs('speaker_refused', speaker.apply(intent({ communities: ['65001:4294967295'] })));
    assert.equal(readFileSync(file(), 'utf8'), good);
    assert.equal(existsSync(`${file()}.new`), false);
    assertNoFlap(before, (await speaker.status()).sessions);
  });

  test('killed -9: the switches keep the routes, the agent says so, and all is back with the daemon', async () => {
    const { speaker, daemons, host, tors, place } = get();
    const wanted = intent({ announce: [...own, ...cidrs('10.50.0.0/16')] });
    for (const tor of tors) await reloadTor(tor, { accept: wanted.announce });
    await allUp(speaker);
    await torsHave(...own);
    for (const daemon of daemons) await daemon.destroy();
    for (const tor of tors) assert.deepEqual(await tor.learned(), texts(own));
    assert.deepEqual(await learnedBy(host), texts(networks));
    await refusedAs('speaker_unavailable', speaker.apply(wanted));
    const { daemon, sessions, announced, problem } = await speaker.status();
    assert.deepEqual([daemon, sessions, announced], ['down', [], null]);
    assert.match(problem ?? '', /does not answer/);
    for (const one of daemons) one.start();
    await until('the daemon is back', async () => (await speaker.status()).daemon === 'up');
    await allUp(speaker);
    await torsHave(...wanted.announce);
    assert.deepEqual(await learnedBy(host), texts(networks));
    assert.deepEqual((await candidate.create(place).apply(wanted)).changes, []);
    for (const tor of tors) await reloadTor(tor, {});
    await speaker.apply(intent());
    await torsHave(...own);
  });

  test('its socket gone: said, nothing else changes, and a restart by the supervisor brings all back', async () => {
    const { speaker, daemons, host, tors, place } = get();
    await allUp(speaker);
    await torsHave(...own);
    rmSync(candidate.socket(place));
    const wanted = intent({ holdSeconds: 12 });
    const message = await refusedAs('speaker_unavailable', speaker.apply(wanted));
    assert.match(message, /restart/);
    assert.equal((await speaker.status()).daemon, 'down');
    for (const tor of tors) assert.deepEqual(await tor.learned(), texts(own));
    assert.deepEqual(await learnedBy(host), texts(networks));
    await daemons.at(-1)?.kill();
    await until('it answers', async () => (await speaker.status()).daemon === 'up');
    await allUp(speaker);
    assert.deepEqual((await speaker.apply(wanted)).changes, []);
    await speaker.apply(intent());
    await allUp(speaker);
    await torsHave(...own);
  });

  test('one switch dead and the daemon started anew: the other one’s routes come all the same', async () => {
    const { speaker, daemons, host, tors } = get();
    for (const daemon of tors[1].daemons) await daemon.destroy();
    for (const daemon of daemons) await daemon.destroy();
    for (const daemon of daemons) daemon.start();
    await until('the switch that lives has the ranges', async () => (await tors[0].learned()).length === 2);
    await until('one way', async () => (await nextHops(host, networks[0]!)) === 1);
    for (const daemon of tors[1].daemons) daemon.start();
    await allUp(speaker);
    for (const cidr of networks) await until('two ways', async () => (await nextHops(host, cidr)) === 2);
  });

  more(get);

  function sessionTests(): void {
    test('another AS than the device has: said by that session alone, and right again once it is right', async () => {
      const { speaker } = get();
      const before = since((await speaker.status()).sessions);
      const wrong = intent();
      await speaker.apply({
        ...wrong,
        peers: wrong.peers.map((peer) => (peer.name === 'tor1' ? { ...peer, asn: 65099 } : peer)),
      });
      await until('an error that names the AS', async () => {
        const { sessions } = await speaker.status();
        const bad = sessions.filter(({ peer }) => peer === 'tor1');
        return (
          bad.length === 2 &&
          bad.every(({ state, lastError }) => state !== 'established' && /\bAS\b/.test(lastError))
        );
      });
      const others = ({ peer }: { readonly peer: string }): boolean => peer === 'tor2';
      const now = (await speaker.status()).sessions.filter(others);
      assertNoFlap(new Map([...before].filter(([at]) => now.some(({ neighbour }) => neighbour === at))), now);
      await speaker.apply(intent());
      await allUp(speaker);
    });

    test('passwords: sessions with the same one, none with another, and never a word of it', async () => {
      const { speaker, place } = get();
      const secret = 'Wr0ng-or.right';
      const passwordFile = join(place.dir, 'password');
      writeFileSync(passwordFile, `${secret}\n`);
      const wanted = intent({}, { passwordFile });
      await withTors({ password: secret }, async () => {
        await speaker.apply(wanted);
        await allUp(speaker);
        writeFileSync(passwordFile, 'An0ther\n');
        await speaker.apply(wanted);
        await until('no session', async () => {
          const { sessions } = await speaker.status();
          return sessions.every(({ state, lastError }) => state !== 'established' && lastError !== '');
        });
        assert.doesNotMatch(JSON.stringify(await speaker.status()), /An0ther|Wr0ng/);
        for (const bad of ['', 'two words', 'quo"te', 'x'.repeat(81), 'a\nb']) {
          writeFileSync(passwordFile, bad);
          const message = await refusedAs('speaker_secret', speaker.apply(wanted));
          assert.ok(bad === '' || !message.includes(bad));
        }
      });
      await refusedAs(
        'speaker_secret',
        speaker.apply(intent({}, { passwordFile: join(place.dir, 'nowhere') })),
      );
    });

    test('TTL security on both sides', async () => {
      await withTors({ ttlSecurity: true }, async () => {
        await get().speaker.apply(intent({}, { ttlSecurity: true }));
        await allUp(get().speaker);
      });
    });

    test('internal BGP to switches that reflect', async () => {
      await withTors({ asn: 65011 }, async () => {
        await get().speaker.apply(intent({}, { asn: 65011 }));
        await allUp(get().speaker);
        await torsHave(...own);
        for (const cidr of networks)
          await until('both', async () => (await nextHops(get().host, cidr)) === 2);
      });
    });

    test('stated addresses and links of the uplinks', async () => {
      const { speaker } = get();
      const plain = intent();
      const peers = plain.peers.map((peer) => {
        const number = peer.name === 'tor1' ? 1 : 2;
        const local = peer.families.includes(4) ? `172.${16 + number}.11.2` : `fd0${number}:11::2`;
        return { ...peer, local: parseAddress(local), link: `up${number}` };
      });
      await speaker.apply({ ...plain, peers });
      await allUp(speaker);
      await torsHave(...own);
      assert.deepEqual((await speaker.apply({ ...plain, peers })).changes, []);
      await speaker.apply(plain);
      await allUp(speaker);
    });

    test('a switch that falls silent: within hold time no packet goes there, and the session says why', async () => {
      const { speaker, host, tors } = get();
      await speaker.apply(intent({ holdSeconds: 3 }));
      for (const tor of tors) {
        await allUp(speaker);
        for (const cidr of networks) await until('both', async () => (await nextHops(host, cidr)) === 2);
        tor.signal('SIGSTOP');
        try {
          for (const cidr of networks)
            await until('the other way alone', async () => (await nextHops(host, cidr)) === 1);
          const { sessions } = await speaker.status();
          const silent = sessions.filter(({ peer }) => peer === `tor${tor.number}`);
          assert.deepEqual(
            silent.map(({ lastError }) => /hold timer/i.test(lastError)),
            [true, true],
            JSON.stringify(silent),
          );
        } finally {
          tor.signal('SIGCONT');
        }
      }
      await speaker.apply(intent());
      await allUp(speaker);
    });

    test('a session that the switch’s operator shuts down says so', async () => {
      const { speaker, tors } = get();
      await tors[0].show('disable', 'romana_h1_4');
      const one = async () =>
        (await speaker.status()).sessions.find(({ neighbour }) => neighbour === '172.17.11.1');
      await until('the reason', async () => /shutdown/i.test((await one())?.lastError ?? ''));
      await tors[0].show('enable', 'romana_h1_4');
      await allUp(speaker);
    });

    test('more prefixes than the limit close the session of that family; the operator’s word opens it again', async () => {
      const { speaker, tors } = get();
      const before = since((await speaker.status()).sessions);
      await speaker.apply(intent({}, { maxPrefixes: 2 }));
      await reloadTor(tors[0], { announce: [...networks, ...cidrs('10.70.0.0/16', '10.71.0.0/16')] });
      const one = async () =>
        (await speaker.status()).sessions.find(({ neighbour }) => neighbour === '172.17.11.1');
      await until('closed', async () => /limit/.test((await one())?.lastError ?? ''));
      await reloadTor(tors[0], {});
      assert.notEqual((await one())?.state, 'established');
      await speaker.apply(intent());
      await candidate.reopen(get(), '172.17.11.1');
      await allUp(speaker);
      const others = (await speaker.status()).sessions.filter(({ neighbour }) => neighbour !== '172.17.11.1');
      assertNoFlap(new Map([...before].filter(([neighbour]) => neighbour !== '172.17.11.1')), others);
    });

    if (candidate.bfd === true) {
      test('BFD on all sessions, and none without it', async () => {
        const bfd = { intervalMs: 1000, multiplier: 3 };
        const up = async (): Promise<number> =>
          (await get().tors[0].show('show', 'bfd', 'sessions')).match(/ Up /g)?.length ?? 0;
        await withTors({ bfd }, async () => {
          await get().speaker.apply(intent({}, { bfd }));
          await allUp(get().speaker);
          await until('two BFD sessions', async () => (await up()) === 2);
          assert.deepEqual((await get().speaker.apply(intent({}, { bfd }))).changes, []);
        });
        assert.equal(await up(), 0);
      });
    }
  }
}
