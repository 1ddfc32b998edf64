/** What holds for speakers that announce and leave the kernel alone, whichever daemon it is. */
import assert from 'node:assert/strict';
import { appendFileSync, existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { createSpeaker, speakerPlace, speakerProcesses } from '#agent/drivers/speakers.ts';
import type { Speaker, SpeakerPlace } from '#agent/speaker.ts';
import { formatCidr } from '#core/address/index.ts';
import type { Timers } from '#core/ports.ts';
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
  own,
  pause,
  start,
  startTor,
  steady,
  stopAll,
  type Tor,
  until,
  writeTor,
} from './fabric.ts';

export const timers: Timers = {
  after(ms, fn) {
    const timer = setTimeout(fn, ms);
    return () => clearTimeout(timer);
  },
};
export const clock = { now: () => Date.now(), monotonic: () => performance.now() };

const texts = (list: readonly Parameters<typeof formatCidr>[0][]): string[] => list.map(formatCidr).sort();

export function stubTests(daemon: 'exabgp' | 'gobgp', { configuration }: { configuration: string }): void {
  let host: Netns;
  let tors: [Tor, Tor];
  let place: SpeakerPlace;
  let daemons: Daemon[];
  let speaker: Speaker;

  before(async () => {
    const underlay = await makeUnderlay();
    host = underlay.host;
    tors = [startTor(underlay.tors[0], 1), startTor(underlay.tors[1], 2)];
    const dir = folder();
    place = speakerPlace(daemon, dir);
    daemons = start(host, speakerProcesses(daemon, place), join(dir, 'log'));
    speaker = makeSpeaker();
  });
  after(async () => {
    await stopAll([...daemons, ...tors.flatMap((tor) => tor.daemons)]);
  });

  const makeSpeaker = (): Speaker =>
    createSpeaker(daemon, { run: (argv, options) => host.run(argv, options), timers, clock, place });
  const config = (): string => join(place.dir, configuration);
  const learned = async (wanted: readonly string[], of: readonly Tor[] = tors): Promise<void> => {
    for (const tor of of) {
      let has: string[] = [];
      const same = async (): Promise<boolean> => {
        has = await tor.learned();
        return has.join() === wanted.toSorted().join();
      };
      await until(`tor${tor.number} has exactly what the host announces`, same).catch((error: unknown) => {
        const lacks = wanted.filter((prefix) => !has.includes(prefix));
        const surplus = has.filter((prefix) => !wanted.includes(prefix));
        throw new Error(`lacks ${lacks.join(' ')}; has besides ${surplus.join(' ')}`, { cause: error });
      });
    }
  };
  const problemOf = (work: Promise<unknown>): Promise<{ code: string; message: string }> =>
    work.then(
      () => assert.fail('it was taken'),
      (error: unknown) => error as { code: string; message: string },
    );

  test('while the daemon is away the files are written and said to be in place', async () => {
    await stopAll(daemons);
    const { code } = await problemOf(speaker.apply(intentOf(daemon)));
    assert.equal(code, 'speaker_unavailable');
    assert.ok(existsSync(config()));
    const status = await speaker.status();
    assert.equal(status.daemon, 'down');
    assert.equal(status.announced, null);
    assert.ok(status.version !== null && status.problem !== null);
    for (const one of daemons) one.start();
  });

  test('both switches get exactly the announced prefixes; the kernel of the host gets nothing', async () => {
    await applyUntilUp(speaker, intentOf(daemon));
    await allUp(speaker);
    await learned(texts(own));
    assert.deepEqual(await learnedBy(host), []);
    await until('the daemon says what it announces and got', async () => {
      const { announced, sessions } = await speaker.status();
      return (
        texts(announced ?? []).join() === texts(own).join() &&
        sessions.every(({ prefixesIn, prefixesOut }) => prefixesIn === 1 && prefixesOut === 1)
      );
    });
    const { daemon: state, problem, sessions } = await speaker.status();
    assert.deepEqual([state, problem], ['up', null]);
    assert.ok(sessions.every(({ lastError }) => lastError === ''));
  });

  test('the same intent writes nothing, also for an agent without memory', async () => {
    assert.deepEqual((await speaker.apply(intentOf(daemon))).changes, []);
    speaker = makeSpeaker();
    assert.deepEqual((await speaker.apply(intentOf(daemon))).changes, []);
  });

  test('the configuration may hold passwords: nobody else reads it', () => {
    assert.equal(statSync(config()).mode & 0o077, 0);
  });

  test('routes of one switch are never told to the other', async () => {
    writeTor(tors[0].place, 1, { announce: [...networks, ...cidrs('10.200.0.0/16', 'fd10:200::/32')] });
    await tors[0].ns.run(['birdc', '-s', tors[0].place.control, 'configure']);
    await until('the host hears two prefixes of each family from tor1', async () => {
      const { sessions } = await speaker.status();
      return sessions.every(({ peer, prefixesIn }) => prefixesIn === (peer === 'tor1' ? 2 : 1));
    });
    await pause(1500);
    assert.deepEqual(await tors[1].learned(), texts(own));
    writeTor(tors[0].place, 1);
    await tors[0].ns.run(['birdc', '-s', tors[0].place.control, 'configure']);
  });

  test('a range comes and goes, communities change, and no session flaps', async () => {
    const accept = [...own, ...cidrs('10.12.0.0/16', 'fd10:12::/32')];
    for (const [index, tor] of tors.entries()) writeTor(tor.place, index === 0 ? 1 : 2, { accept });
    await reloadTors(tors);
    await allUp(speaker);
    await learned(texts(own));
    const before = await steady(speaker);
    await speaker.apply(intentOf(daemon, { announce: accept }));
    await learned(texts(accept));
    const communities = ['65011:100', '65011:1:2'];
    await speaker.apply(intentOf(daemon, { announce: accept, communities }));
    await until('tor1 sees the communities', async () => {
      const { stdout } = await tors[0].ns.run([
        'birdc',
        '-s',
        tors[0].place.control,
        'show route all 10.12.0.0/16',
      ]);
      return stdout.includes('(65011,100)') && stdout.includes('(65011, 1, 2)');
    });
    assert.deepEqual((await speaker.apply(intentOf(daemon, { announce: accept, communities }))).changes, []);
    await speaker.apply(intentOf(daemon));
    await learned(texts(own));
    assertNoFlap(before, (await speaker.status()).sessions);
  });

  test('a peer goes and comes back; the others keep their sessions', async () => {
    const before = await steady(speaker);
    const whole = intentOf(daemon);
    await speaker.apply({ ...whole, peers: whole.peers.filter(({ name }) => name === 'tor1') });
    await learned([], [tors[1]]);
    await learned(texts(own), [tors[0]]);
    await speaker.apply(whole);
    await allUp(speaker);
    await learned(texts(own));
    const after = (await speaker.status()).sessions;
    const ofTor1 = after.filter(({ peer }) => peer === 'tor1');
    assertNoFlap(
      new Map([...before].filter(([address]) => ofTor1.some(({ neighbour }) => neighbour === address))),
      ofTor1,
    );
  });

  /** Kills the daemon and looks at the switches until it has been back for a while. */
  const killedWithout = async (wanted: readonly string[]): Promise<string[]> => {
    const lost: string[] = [];
    const watch = setInterval(() => {
      for (const tor of tors) {
        void tor.learned().then((has) => {
          const missing = wanted.filter((prefix) => !has.includes(prefix));
          if (missing.length > 0) lost.push(`tor${tor.number}: ${missing.join(' ')}`);
        });
      }
    }, 250);
    await Promise.all(daemons.map((one) => one.kill()));
    await pause(500);
    await allUp(speaker);
    await pause(5000);
    clearInterval(watch);
    return lost;
  };

  test('the daemon is killed: the switches keep the routes, and it comes back with the same', async () => {
    assert.deepEqual(await killedWithout(texts(own)), []);
    await until('it announces the same', async () => {
      const { announced } = await speaker.status();
      return texts(announced ?? []).join() === texts(own).join();
    });
    assert.deepEqual((await speaker.apply(intentOf(daemon))).changes, []);
    await learned(texts(own));
  });

  test('a host with twenty ranges: none is lost when the daemon is killed', async () => {
    const many = Array.from({ length: 10 }, (_, n) => cidrs(`10.11.${n}.0/24`, `fd10:11:${n}::/48`)).flat();
    const accept = [...own, ...many];
    for (const [index, tor] of tors.entries()) writeTor(tor.place, index === 0 ? 1 : 2, { accept });
    await reloadTors(tors);
    // A switch that was just started anew may still hold what it knew before.
    await steady(speaker);
    await pause(3000);
    const intent = intentOf(daemon, { announce: many });
    await speaker.apply(intent);
    await learned(texts(many));
    assert.deepEqual(await killedWithout(texts(many)), []);
    await learned(texts(many));
    assert.deepEqual((await speaker.apply(intent)).changes, []);
    await speaker.apply(intentOf(daemon));
    await learned(texts(own));
    for (const [index, tor] of tors.entries()) writeTor(tor.place, index === 0 ? 1 : 2);
    await reloadTors(tors);
    await allUp(speaker);
  });

  test('a file that was broken by hand is made whole by the next apply', async () => {
    const text = readFileSync(config(), 'utf8');
    const before = await steady(speaker);
    appendFileSync(config(), '\nneighbor {{{ broken\n');
    await speaker.apply(intentOf(daemon));
    assert.equal(readFileSync(config(), 'utf8'), text);
    assertNoFlap(before, (await speaker.status()).sessions);
  });

  test('withdraw takes everything back and keeps the sessions, also over a restart and without memory', async () => {
    const before = await steady(speaker);
    await makeSpeaker().withdraw();
    await learned([]);
    assertNoFlap(before, (await speaker.status()).sessions);
    await Promise.all(daemons.map((one) => one.kill()));
    await allUp(speaker);
    await pause(4000);
    await learned([]);
    assert.deepEqual((await speaker.status()).announced, []);
    await speaker.apply(intentOf(daemon));
    await learned(texts(own));
  });

  test('another AS number than the switch has: the session stays down and says so', async () => {
    await speaker.apply(intentOf(daemon, {}, { asn: 65099 }));
    await until('a session says what is wrong', async () => {
      const { sessions } = await speaker.status();
      return sessions.every(({ state, lastError }) => state !== 'established' && lastError !== '');
    });
    await until('it speaks of AS numbers', async () => {
      const { sessions } = await speaker.status();
      return sessions.some(({ lastError }) => /AS|as number|asn/i.test(lastError));
    });
    await speaker.apply(intentOf(daemon));
    await allUp(speaker);
    await learned(texts(own));
  });

  test('passwords: another one on the switch keeps the session down, the same lets it up; none is shown', async () => {
    const passwordFile = join(place.dir, 'secret');
    writeFileSync(passwordFile, 'correct-horse\n', { mode: 0o600 });
    const intent = intentOf(daemon, {}, { passwordFile });
    await applyUntilUp(speaker, intent);
    for (let look = 0; look < 6; look++) {
      const { sessions } = await speaker.status();
      assert.ok(sessions.every(({ state, lastError }) => state !== 'established' && lastError !== ''));
      await pause(500);
    }
    assert.ok(!JSON.stringify(await speaker.status()).includes('horse'));
    for (const [index, tor] of tors.entries())
      writeTor(tor.place, index === 0 ? 1 : 2, { password: 'correct-horse' });
    await reloadTors(tors);
    await allUp(speaker);
    await learned(texts(own));
    assert.equal(statSync(config()).mode & 0o077, 0);
    writeFileSync(passwordFile, 'two words\n');
    const { code, message } = await problemOf(speaker.apply(intent));
    assert.equal(code, 'speaker_secret');
    assert.ok(!message.includes('two words'));
  });

  test('TTL security: both sides demand it, and the sessions are up', async () => {
    for (const [index, tor] of tors.entries())
      writeTor(tor.place, index === 0 ? 1 : 2, { ttlSecurity: true });
    await reloadTors(tors);
    await speaker.apply(intentOf(daemon, {}, { ttlSecurity: true }));
    await allUp(speaker);
    await learned(texts(own));
  });

  test('a switch is dead when the daemon starts: the other one gets everything all the same, and changes too', async () => {
    await stopAll([...daemons, ...tors.flatMap((tor) => tor.daemons)]);
    const intent = intentOf(daemon, {}, { ttlSecurity: true });
    for (const prefix of await tors[1].learned()) await tors[1].ns.run(['ip', 'route', 'del', prefix]);
    await learned([], [tors[1]]);
    for (const one of [...tors[1].daemons, ...daemons]) one.start();
    await learned(texts(own), [tors[1]]);
    await applyUntilUp(speaker, { ...intent, announce: own.slice(0, 1) });
    await learned(texts(own.slice(0, 1)), [tors[1]]);
    const { sessions } = await speaker.status();
    for (const { peer, state, lastError } of sessions)
      assert.equal(
        state === 'established' ? lastError === '' : lastError !== '',
        true,
        `${peer}: ${lastError}`,
      );
  });

  test('what the daemon cannot do is refused before anything is written', async () => {
    const text = readFileSync(config(), 'utf8');
    const bfd = { intervalMs: 300, multiplier: 3 };
    const { code, message } = await problemOf(speaker.apply(intentOf(daemon, {}, { bfd })));
    assert.equal(code, 'speaker_unfit');
    assert.match(message, /BFD/);
    assert.equal(readFileSync(config(), 'utf8'), text);
  });

  test('a daemon that is missing, or of another version, is called unfit with words', async () => {
    await stopAll(daemons);
    const changed = (change: (argv: readonly string[]) => readonly string[]): Speaker =>
      createSpeaker(daemon, {
        run: (argv, options) => host.run(change(argv), options),
        timers,
        clock,
        place,
      });
    const absent = await changed((argv) =>
      argv.map((word) => (/^(exabgp|gobgpd)$/.test(word) ? `${word}-is-not-here` : word)),
    ).status();
    assert.deepEqual([absent.daemon, absent.version], ['unfit', null]);
    assert.match(absent.problem ?? '', /install the Debian package/);
    const other = await changed((argv) =>
      argv.includes('--version') ? ['echo', 'ExaBGP : 9.9.9, gobgpd version 9.9.9'] : argv,
    ).status();
    assert.equal(other.daemon, 'unfit');
    assert.match(other.problem ?? '', /9\.9\.9/);
  });
}

/** Both switches read their configurations again, sessions whose text changed begin anew. */
async function reloadTors(tors: readonly Tor[]): Promise<void> {
  for (const tor of tors) {
    if (tor.number === 1) await tor.ns.run(['birdc', '-s', tor.place.control, 'configure']);
    else await Promise.all(tor.daemons.map((daemon) => daemon.kill()));
  }
}
