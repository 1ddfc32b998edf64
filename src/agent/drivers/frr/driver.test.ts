/** The driver on a shell in memory: what it does first, and what remains after a crash at any step. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseCidr } from '#core/address/index.ts';
import { isRomanaError, RomanaError } from '#core/errors.ts';
import type { Runner, RunResult } from '../../exec.ts';
import type { Speaker } from '../../speaker.ts';
import { intentOf, type MemoryFiles, memoryFiles } from '../testing.ts';
import type { FrrDialect } from './config.ts';
import { difference } from './difference.ts';
import { createFrrSpeaker } from './driver.ts';
import { emptyShell, feed, type ShellState, show } from './shell-testing.ts';

const place = { dir: '/d', control: '/d' };
const path = '/d/frr.conf';
const intent = intentOf();
const secrets = { '/etc/romana/bgp-password': 's3cret\n' };

interface Frr {
  /** Null: the programs are not there. */
  version: string | null;
  /** Null: it does not run. */
  shell: ShellState | null;
  /** What bgpd's parser says of a file. */
  judge: (text: string) => string;
  /** What the shell says of a change; it takes nothing then. */
  refuses: (text: string) => string;
  readonly calls: string[];
}

function world(over: Partial<Frr> = {}) {
  const files = memoryFiles(secrets);
  const frr: Frr = {
    version: '8.4.4',
    shell: emptyShell(),
    judge: () => '',
    refuses: () => '',
    calls: [],
    ...over,
  };
  const speaker = (dialect: FrrDialect = 'frr'): Speaker =>
    createFrrSpeaker({ run: runnerOf(frr, files), files, place, dialect });
  return { files, frr, speaker };
}

function runnerOf(frr: Frr, files: MemoryFiles): Runner {
  const result = (stdout: string, code = 0, stderr = ''): Promise<RunResult> =>
    Promise.resolve({ stdout, stderr, code });
  return ([program = '', ...argv]) => {
    const words = argv.filter((word) => !['--vty_socket', '--config_dir', '/d'].includes(word));
    frr.calls.push([program, ...words].join(' '));
    if (frr.version === null)
      return Promise.reject(new RomanaError('kernel_refused', `The program ${program} is missing.`));
    if (program === '/usr/lib/frr/bgpd' && argv[0] === '--version')
      return result(`bgpd version ${frr.version}\n`);
    const text = files.texts.get(argv.at(-1) ?? '') ?? '';
    if (program === '/usr/lib/frr/bgpd') return result('', 0, frr.judge(text));
    if (words[0] === '-C') return result('');
    if (frr.shell === null) return result('', 1, 'Exiting: failed to connect to any daemons.');
    if (words[0] === '-f') {
      const said = frr.refuses(text);
      if (said !== '') return result('', 2, said);
      feed(frr.shell, text);
      return result('');
    }
    if (words.includes('show running-config'))
      return result(`FRRouting ${frr.version} (vm)\n${shown(frr.shell, words)}`);
    return result('{}');
  };
}

/** Each daemon shows what it knows. */
function shown(shell: ShellState, words: readonly string[]): string {
  const isBfd = words.includes('bfdd');
  return show({ ...shell, tops: new Map([...shell.tops].filter(([top]) => (top === 'bfd') === isBfd)) });
}

const refusal = async (doing: Promise<unknown>): Promise<RomanaError> => {
  const error = await doing.then(
    () => undefined,
    (error: unknown) => error,
  );
  assert.ok(isRomanaError(error), 'it was not refused');
  return error;
};
const runs = ({ frr, files }: ReturnType<typeof world>): boolean =>
  frr.shell !== null && difference(show(frr.shell), files.texts.get(path) ?? '', new Set()) === null;

test('1 checked by the shell and by bgpd under another name, then put in place, then told to bgpd; and then nothing more', async () => {
  const it = world();
  const { changes } = await it.speaker().apply(intent);
  assert.deepEqual(it.files.writes, [`${path}.new`, path, '/d/change.conf']);
  assert.deepEqual(
    changes.map(({ action, object }) => `${action} ${object}`),
    [`create ${path}`, 'update sessions'],
  );
  assert.deepEqual(
    it.frr.calls.filter((call) => !call.includes('show')),
    [`vtysh -C -f ${path}.new`, `/usr/lib/frr/bgpd -C -f ${path}.new`, 'vtysh -f /d/change.conf'],
  );
  assert.ok(runs(it));
  assert.equal(it.files.texts.has('/d/change.conf'), false);
  assert.deepEqual((await it.speaker().apply(intent)).changes, []);
});

test('2 whatever step it dies at, the next apply finishes', async () => {
  for (let dieAt = 0; dieAt < 14; dieAt++) {
    const it = world();
    await it.speaker().apply(intent);
    let steps = 0;
    const step = async <T>(work: () => Promise<T>): Promise<T> => {
      if (steps++ === dieAt) throw new Error('crash');
      return await work();
    };
    const run = runnerOf(it.frr, it.files);
    const files: MemoryFiles = {
      ...it.files,
      write: (...words) => step(() => it.files.write(...words)),
      rename: (...words) => step(() => it.files.rename(...words)),
      remove: (...words) => step(() => it.files.remove(...words)),
    };
    const dying = createFrrSpeaker({ run: (...words) => step(() => run(...words)), files, place });
    const next = intentOf({ announce: [parseCidr('10.99.0.0/16')], holdSeconds: 30 });
    await dying.apply(next).catch(() => {});
    await it.speaker().apply(next);
    assert.ok(runs(it), `died at step ${dieAt}`);
    assert.match(it.files.texts.get(path) ?? '', /network 10\.99\.0\.0\/16/);
    assert.deepEqual((await it.speaker().apply(next)).changes, []);
  }
});

test('1 what bgpd refuses in a file is not put in place; what it says is repeated without secrets', async () => {
  const it = world();
  await it.speaker().apply(intent);
  const before = it.files.texts.get(path);
  it.frr.judge = () =>
    '2026 BGP: Command returned Warning Config Failed on config line 9:  neighbor 172.17.11.1 password s3cret\n% bad s3cret';
  const error = await refusal(it.speaker().apply({ ...intent, holdSeconds: 30 }));
  assert.equal(error.code, 'speaker_refused');
  assert.match(error.message, /neighbor 172\.17\.11\.1 password …/);
  assert.doesNotMatch(error.message + JSON.stringify(error.details ?? {}), /s3cret/);
  assert.equal(it.files.texts.get(path), before);
  assert.equal(it.files.texts.has(`${path}.new`), false);
  assert.ok(runs(it));
});

test('1 what a running bgpd refuses goes back to what was, in the file too', async () => {
  const it = world();
  await it.speaker().apply(intent);
  const before = it.files.texts.get(path);
  it.frr.refuses = (text) =>
    text.includes('timers 10 30') ? 'line 2: % Unknown command[4]:  neighbor x password s3cret' : '';
  const error = await refusal(it.speaker().apply({ ...intent, holdSeconds: 30 }));
  assert.equal(error.code, 'speaker_refused');
  assert.doesNotMatch(error.message, /s3cret/);
  assert.equal(it.files.texts.get(path), before);
  assert.equal(it.files.texts.has('/d/change.conf'), false);
  assert.ok(runs(it));
});

test('daemons that do not answer find the file when they start', async () => {
  const it = world({ shell: null });
  assert.equal((await refusal(it.speaker().apply(intent))).code, 'speaker_unavailable');
  assert.match(it.files.texts.get(path) ?? '', /router bgp 65011/);
  const { daemon, version, problem } = await it.speaker().status();
  assert.deepEqual([daemon, version], ['down', '8.4.4']);
  assert.match(problem ?? '', /does not answer/);
  it.frr.shell = emptyShell();
  feed(it.frr.shell, it.files.texts.get(path) ?? '');
  assert.deepEqual((await it.speaker().apply(intent)).changes, []);
});

test('missing, or of a version that is not known: unfit, and nothing is written', async () => {
  for (const over of [{ version: null }, { version: '7.5.1' }, { version: '11.0', shell: null }]) {
    const it = world(over);
    const error = await refusal(it.speaker().apply(intent));
    assert.equal(error.code, 'speaker_unfit');
    assert.match(error.message, /install the Debian package frr/);
    assert.deepEqual(it.files.writes, []);
    const { daemon, version, problem } = await it.speaker().status();
    assert.deepEqual([daemon, version, problem], ['unfit', over.version, error.message]);
  }
});

test('lines that a version spells otherwise are told once and then overlooked', async () => {
  const it = world();
  const shell = it.frr.shell ?? emptyShell();
  it.frr.refuses = (text) => {
    feed(shell, text);
    shell.tops.get('router bgp 65011')?.get('')?.add('bgp always-shown');
    return '';
  };
  const speaker = it.speaker();
  await speaker.apply(intent);
  assert.deepEqual((await speaker.apply(intent)).changes, []);
  const changed = await speaker.apply(intentOf({ holdSeconds: 30 }));
  assert.equal(changed.changes.length, 2);
});

test('changes by hand in the shell are put right, and shown until then', async () => {
  const it = world();
  await it.speaker().apply(intent);
  assert.equal((await it.speaker().status()).problem, null);
  feed(
    it.frr.shell ?? emptyShell(),
    'router bgp 65011\n address-family ipv4 unicast\n  network 10.66.0.0/16\n exit-address-family\n',
  );
  assert.match((await it.speaker().status()).problem ?? '', /another configuration/);
  await it.speaker().apply(intent);
  assert.ok(runs(it));
});

test('withdraw needs no memory; without a file there is nothing to take back', async () => {
  const it = world();
  await it.speaker().withdraw();
  assert.deepEqual(it.frr.calls, []);
  await it.speaker().apply(intent);
  await it.speaker().withdraw();
  assert.doesNotMatch(it.files.texts.get(path) ?? '', /^ {2}network |OUT seq \d+ permit/m);
  assert.ok(runs(it));
  assert.deepEqual((await it.speaker().status()).announced, []);
});

test('Quagga cannot do BFD: refused before anything is written', async () => {
  const it = world();
  assert.equal((await refusal(it.speaker('quagga').apply(intent))).code, 'speaker_unfit');
  assert.deepEqual([it.files.writes, it.frr.calls], [[], []]);
});
