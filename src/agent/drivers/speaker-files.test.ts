import assert from 'node:assert/strict';
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { isRomanaError, type RomanaError } from '#core/errors.ts';
import { speakerFiles as files } from './speaker-files.ts';
import { passwordOf, readPasswords } from './speaker-secret.ts';
import { intentOf, memoryFiles, peerOf } from './testing.ts';

let dir = '';
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'romana-speaker-'));
});
afterEach(() => {
  rmSync(dir, { recursive: true, force: true });
});

const failure = async (doing: Promise<unknown>): Promise<RomanaError> => {
  const error = await doing.then(
    () => undefined,
    (error: unknown) => error,
  );
  assert.ok(isRomanaError(error), String(error));
  return error;
};

test('1 a file is replaced, not rewritten, and nothing else is left', async () => {
  const path = join(dir, 'bird.conf');
  await files.write(path, 'one');
  const { ino } = statSync(path);
  await files.write(path, 'two');
  assert.equal(await files.read(path), 'two');
  assert.notEqual(statSync(path).ino, ino);
  await files.rename(path, join(dir, 'other'));
  assert.deepEqual(readdirSync(dir), ['other']);
  await files.remove(join(dir, 'other'));
  await files.remove(join(dir, 'other'));
  assert.equal(await files.read(join(dir, 'other')), null);
});

test('2 it is nobody else’s to read, whatever it was before, unless it is to be run', async () => {
  const path = join(dir, 'bird.conf');
  writeFileSync(path, 'open');
  chmodSync(path, 0o666);
  await files.write(path, 'secret');
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.equal(statSync(path).uid, statSync(dir).uid);
  await files.write(path, '#!', 0o700);
  assert.equal(statSync(path).mode & 0o777, 0o700);
});

test('a link that the daemon’s user put there leads nowhere', async () => {
  const target = join(dir, 'target');
  writeFileSync(target, 'mine');
  for (const name of ['bird.conf', 'bird.conf.tmp']) symlinkSync(target, join(dir, name));
  await files.write(join(dir, 'bird.conf'), 'theirs');
  assert.equal(readFileSync(target, 'utf8'), 'mine');
  assert.equal(readFileSync(join(dir, 'bird.conf'), 'utf8'), 'theirs');
  assert.equal(existsSync(join(dir, 'bird.conf.tmp')), false);
});

test('3 a folder that is missing is named, what was to be written is not', async () => {
  const error = await failure(files.write(join(dir, 'no/bird.conf'), 's3cret'));
  assert.match(error.message, /make the folder .*no, owned by the user that the daemon runs as/);
  assert.doesNotMatch(error.message + JSON.stringify(error.details), /s3cret/);
});

test('passwords: one line of what every daemon can hold; no refusal says what the file holds', async () => {
  const path = '/etc/romana/bgp-password';
  const read = (text: string | null) =>
    readPasswords(memoryFiles(text === null ? {} : { [path]: text }), intentOf());
  for (const text of ['s3cret', 's3cret\n', 's3cret\r\n'])
    assert.deepEqual(await read(text), new Map([[path, 's3cret']]));
  assert.equal((await read('x'.repeat(80))).get(path)?.length, 80);
  for (const text of [
    null,
    '',
    '\n',
    'x'.repeat(81),
    'se cret',
    'se"cret',
    "se'cret",
    'se#cret',
    'se\ncret',
    'sé',
    '\ts',
    's$',
    's\\',
    's!',
    's{',
    's;',
  ]) {
    const error = await failure(read(text));
    assert.equal(error.code, 'speaker_secret');
    assert.ok(error.message.includes(path));
    if (text !== null && text.length > 2) assert.ok(!error.message.includes(text.trim()), error.message);
  }
});

test('a file is read once for all peers, and not at all for those without', async () => {
  const held = memoryFiles({ '/p': 'one' });
  let reads = 0;
  const counting = { read: (path: string) => (reads++, held.read(path)) };
  const peers = [
    peerOf('a', '192.0.2.1', { passwordFile: '/p' }),
    peerOf('b', '192.0.2.2', { passwordFile: '/p' }),
    peerOf('c', '192.0.2.3'),
  ];
  const passwords = await readPasswords(counting, intentOf({ peers }));
  assert.equal(reads, 1);
  assert.deepEqual(
    peers.map((peer) => passwordOf(passwords, peer)),
    ['one', 'one', null],
  );
});
