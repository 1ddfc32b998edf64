import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { RomanaError } from '#core/errors.ts';
import { lifetimes } from './certificates.ts';
import { openPki } from './files.ts';

const now = Date.UTC(2026, 5, 1);

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'romana-pki-'));
  t.after(() => rmSync(path, { recursive: true }));
  return join(path, 'pki');
}
const refusal = (code: string, text: RegExp) => (error: unknown) =>
  error instanceof RomanaError && error.code === code && text.test(error.message);

test('a restart keeps authority and certificate; keys are closed to others', (t) => {
  const path = folder(t);
  const first = openPki(path, ['localhost'], now);
  const second = openPki(path, ['localhost'], now + 1000);
  assert.equal(second.authority.certificate, first.authority.certificate);
  assert.deepEqual(second.server, first.server);
  assert.equal(statSync(path).mode & 0o777, 0o700);
  for (const file of ['authority.pem', 'server.pem'])
    assert.equal(statSync(join(path, file)).mode & 0o777, 0o600);
});

test('other names or a near end replace the server certificate and never the authority', (t) => {
  const path = folder(t);
  const first = openPki(path, ['localhost'], now);
  const renamed = openPki(path, ['localhost', '192.0.2.1'], now);
  assert.notEqual(renamed.server.cert, first.server.cert);
  const later = openPki(path, ['localhost', '192.0.2.1'], now + lifetimes.server);
  assert.notEqual(later.server.cert, renamed.server.cert);
  assert.equal(later.authority.certificate, first.authority.certificate);
});

test('what a crash left half-written is not taken for the file', (t) => {
  const path = folder(t);
  const first = openPki(path, ['localhost'], now);
  writeFileSync(join(path, 'authority.pem.new'), first.authority.certificate);
  assert.equal(openPki(path, ['localhost'], now).authority.certificate, first.authority.certificate);
  rmSync(join(path, 'server.pem'));
  writeFileSync(join(path, 'server.pem.new'), 'half');
  assert.equal(openPki(path, ['localhost'], now).authority.certificate, first.authority.certificate);
  assert.match(readFileSync(join(path, 'server.pem'), 'utf8'), /PRIVATE KEY/);
});

test('damaged, expired and open files are errors that name the file, never replaced in silence', (t) => {
  const path = folder(t);
  const file = join(path, 'authority.pem');
  openPki(path, ['localhost'], now);
  const whole = readFileSync(file, 'utf8');
  for (const text of ['', 'x', whole.slice(0, 300), whole.slice(0, -60)]) {
    writeFileSync(file, text);
    assert.throws(() => openPki(path, ['localhost'], now), refusal('store_corrupt', /authority\.pem/));
    assert.equal(readFileSync(file, 'utf8'), text);
  }
  writeFileSync(file, whole);
  assert.throws(() => openPki(path, ['x'], now + lifetimes.authority), refusal('store_corrupt', /expired/));
  chmodSync(file, 0o640);
  assert.throws(() => openPki(path, ['localhost'], now), refusal('input_invalid', /open to others/));
});
