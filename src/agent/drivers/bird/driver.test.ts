/** The driver on a BIRD in memory: what it does first, and what remains after a crash at any step. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isRomanaError, RomanaError } from '#core/errors.ts';
import type { Runner, RunResult } from '../../exec.ts';
import type { Speaker } from '../../speaker.ts';
import { intentOf, type MemoryFiles, memoryFiles } from '../testing.ts';
import { fingerprintOf } from './config.ts';
import { createBirdSpeaker } from './driver.ts';

const place = { dir: '/d', control: '/d/bird.ctl' };
const path = '/d/bird.conf';
const intent = intentOf();
const secrets = { '/etc/romana/bgp-password': 's3cret\n' };

interface Bird {
  /** Null: the program is not there. */
  version: string | null;
  /** What it runs; null: it does not. */
  running: string | null;
  /** What its parser says to a text; '' fine. */
  judge: (text: string) => string;
  /** Where it reads from. */
  reads: string;
  /** What it says to `configure` when the parser alone has no say. */
  clash: string;
  /** What it says when it has no time to change now. */
  later: string;
  readonly calls: string[];
}

function world(over: Partial<Bird> = {}, texts: Readonly<Record<string, string>> = {}) {
  const files = memoryFiles({ ...secrets, ...texts });
  const bird: Bird = {
    version: '2.0.12',
    running: '',
    judge: () => '',
    reads: path,
    clash: '',
    later: '',
    calls: [],
    ...over,
  };
  const speaker = (mode: 'complete' | 'include' = 'complete', own: MemoryFiles = files): Speaker =>
    createBirdSpeaker({ run: runnerOf(bird, files), files: own, clock: { now: () => 0 }, place, mode });
  return { files, bird, speaker };
}

function runnerOf(bird: Bird, files: MemoryFiles): Runner {
  const result = (stdout: string, code = 0, stderr = ''): Promise<RunResult> =>
    Promise.resolve({ stdout, stderr, code });
  return ([program = '', ...argv]) => {
    bird.calls.push([program, ...argv].join(' '));
    if (bird.version === null)
      return Promise.reject(new RomanaError('kernel_refused', `The program ${program} is missing.`));
    if (program === 'bird' && argv[0] === '--version') return result('', 0, `BIRD version ${bird.version}\n`);
    if (program === 'bird') {
      const said = bird.judge(files.texts.get(argv[2] ?? '') ?? '');
      return result('', said === '' ? 0 : 1, said);
    }
    if (bird.running === null) return result('', 1, 'Unable to connect to server control socket');
    const words = argv.slice(2).join(' ');
    const answer = (text: string): Promise<RunResult> => result(`BIRD ${bird.version} ready.\n${text}\n`);
    if (words === 'eval romana_fingerprint') return answer(fingerprintOf(bird.running) ?? 'syntax error');
    if (words === 'configure') {
      const text = files.texts.get(bird.reads) ?? '';
      const said = bird.judge(text) + bird.clash;
      if (said !== '') return answer(`Reading configuration from ${bird.reads}\n${said}`);
      if (bird.later !== '') return answer(bird.later);
      bird.running = text;
      return answer('Reconfigured');
    }
    return answer('');
  };
}

const refusal = async (doing: Promise<unknown>): Promise<RomanaError> => {
  const error = await doing.then(
    () => undefined,
    (error: unknown) => error,
  );
  assert.ok(isRomanaError(error), 'it was not refused');
  return error;
};

test('1 checked under another name, then put in place, then read; and then nothing more', async () => {
  const { bird, files, speaker } = world();
  const { changes } = await speaker().apply(intent);
  assert.deepEqual(files.writes, [`${path}.new`, path]);
  assert.deepEqual(
    changes.map(({ action, object }) => `${action} ${object}`),
    [`create ${path}`, 'update sessions'],
  );
  assert.deepEqual(bird.calls, [
    'birdc -s /d/bird.ctl eval romana_fingerprint',
    `bird -p -c ${path}.new`,
    'birdc -s /d/bird.ctl configure',
    'birdc -s /d/bird.ctl eval romana_fingerprint',
  ]);
  assert.equal(bird.running, files.texts.get(path));
  bird.calls.length = 0;
  assert.deepEqual((await speaker().apply(intent)).changes, []);
  assert.deepEqual(bird.calls, ['birdc -s /d/bird.ctl eval romana_fingerprint']);
});

test('1 a refused text is not put in place, and the words hold no secret', async () => {
  const { bird, files, speaker } = world();
  await speaker().apply(intent);
  const before = files.texts.get(path);
  bird.judge = (text) => (text.includes('as 65012') ? `${path}.new:3:1 syntax error` : '');
  const error = await refusal(speaker().apply({ ...intent, asn: 65012 }));
  assert.equal(error.code, 'speaker_refused');
  assert.doesNotMatch(error.message + JSON.stringify(error.details ?? {}), /s3cret/);
  assert.equal(files.texts.get(path), before);
  assert.deepEqual([...files.texts.keys()].sort(), [path, '/etc/romana/bgp-password'].sort());
});

test('2 whatever step it dies at, the next apply finishes', async () => {
  for (let dieAt = 0; dieAt < 8; dieAt++) {
    const { bird, files, speaker } = world();
    await speaker().apply(intent);
    let steps = 0;
    const step = async <T>(work: () => Promise<T>): Promise<T> => {
      if (steps++ === dieAt) throw new Error('crash');
      return await work();
    };
    const fragile: MemoryFiles = {
      ...files,
      write: (...words) => step(() => files.write(...words)),
      rename: (...words) => step(() => files.rename(...words)),
    };
    const run = runnerOf(bird, files);
    const dying = createBirdSpeaker({
      run: (...words) => step(() => run(...words)),
      files: fragile,
      clock: { now: () => 0 },
      place,
    });
    const next = { ...intent, asn: 65012 };
    await dying.apply(next).catch(() => {});
    await speaker().apply(next);
    assert.equal(bird.running, files.texts.get(path), `died at step ${dieAt}`);
    assert.match(bird.running ?? '', /as 65012;/);
    assert.deepEqual((await speaker().apply(next)).changes, []);
  }
});

test('a daemon that does not answer finds the file when it starts', async () => {
  const { bird, files, speaker } = world({ running: null });
  assert.equal((await refusal(speaker().apply(intent))).code, 'speaker_unavailable');
  assert.match(files.texts.get(path) ?? '', /as 65011;/);
  assert.equal((await refusal(speaker().apply(intent))).code, 'speaker_unavailable');
  const { daemon, version, problem, announced } = await speaker().status();
  assert.deepEqual([daemon, version, announced], ['down', '2.0.12', null]);
  assert.match(problem ?? '', /does not answer/);
  bird.running = files.texts.get(path) ?? '';
  assert.deepEqual((await speaker().apply(intent)).changes, []);
});

test('missing, or of a version that is not known: unfit, and nothing is written', async () => {
  for (const over of [{ version: null }, { version: '3.0.1' }, { version: '1.6.8', running: null }]) {
    const { files, speaker } = world(over);
    const error = await refusal(speaker().apply(intent));
    assert.equal(error.code, 'speaker_unfit');
    assert.match(error.message, /install the Debian package bird2/);
    assert.deepEqual(files.writes, []);
    const { daemon, version, problem } = await speaker().status();
    assert.deepEqual([daemon, version], ['unfit', over.version]);
    assert.equal(problem, error.message);
  }
});

test('another file than ours in force: said, with what to do', async () => {
  const { speaker } = world({ reads: '/etc/bird/bird.conf' }, { '/etc/bird/bird.conf': '' });
  const error = await refusal(speaker().apply(intent));
  assert.equal(error.code, 'speaker_refused');
  assert.match(error.message, /start it with -c \/d\/bird\.conf/);
  assert.match((await refusal(speaker('include').apply(intent))).message, /include "\/d\/romana\.conf";/);
  assert.match((await speaker().status()).problem ?? '', /another configuration/);
});

test('1 included, a text that clashes with the site’s gives way to the one before', async () => {
  const { bird, files, speaker } = world({ reads: '/d/romana.conf' });
  await speaker('include').apply(intent);
  const before = files.texts.get('/d/romana.conf');
  bird.clash = 'bird.conf:9:1 Symbol already defined';
  const error = await refusal(speaker('include').apply({ ...intent, asn: 65012 }));
  assert.deepEqual([error.code, files.texts.get('/d/romana.conf')], ['speaker_refused', before]);
  assert.equal(bird.running, before);
  assert.equal(files.texts.has('/d/romana.conf.check'), false);
  bird.clash = '';
  await speaker('include').apply({ ...intent, asn: 65012 });
  assert.match(bird.running ?? '', /as 65012;/);
});

test('2 a configuration that BIRD takes later is no error, and looked at again by the next apply', async () => {
  const { bird, speaker } = world();
  await speaker().apply(intent);
  const before = bird.running;
  bird.later = 'Reconfiguration already in progress, queueing new config';
  await speaker().apply({ ...intent, asn: 65012 });
  assert.equal(bird.running, before);
  bird.later = '';
  assert.deepEqual(
    (await speaker().apply({ ...intent, asn: 65012 })).changes.map(({ object }) => object),
    ['sessions'],
  );
});

test('withdraw needs no memory; without a file there is nothing to take back', async () => {
  const { bird, files, speaker } = world();
  await speaker().withdraw();
  assert.deepEqual(bird.calls, []);
  await speaker().apply(intent);
  await speaker().withdraw();
  assert.doesNotMatch(bird.running ?? '', /route .* blackhole/);
  assert.match(bird.running ?? '', /protocol bgp romana_tor1_4/);
  assert.equal(bird.running, files.texts.get(path));
});

test('a password that cannot be read stops everything before anything is written', async () => {
  const { bird, files, speaker } = world();
  files.texts.delete('/etc/romana/bgp-password');
  assert.equal((await refusal(speaker().apply(intent))).code, 'speaker_secret');
  assert.deepEqual([files.writes, bird.calls], [[], []]);
});

test('two applies at once are one after the other', async () => {
  const { bird, speaker } = world();
  const one = speaker();
  await Promise.all([one.apply(intent), one.apply({ ...intent, asn: 65012 }), one.withdraw()]);
  assert.match(bird.running ?? '', /as 65012;/);
  assert.doesNotMatch(bird.running ?? '', /route .* blackhole/);
});
