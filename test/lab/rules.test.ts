/** The lab's own count of rules, as `romana lab --once --json` prints it, does not grow with hosts or endpoints. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { LabDocument } from '#contract/lab.ts';

const cli = new URL('../../src/cli/main.ts', import.meta.url).pathname;

async function lab(...size: string[]): Promise<LabDocument> {
  const { stdout } = await promisify(execFile)(process.execPath, [cli, 'lab', '--once', '--json', ...size], {
    maxBuffer: 64 * 2 ** 20,
  });
  return LabDocument.parse(JSON.parse(stdout));
}

test('every host has the same number of rules with 2 and with 8 hosts, with 12 and with 200 endpoints', async () => {
  const small = await lab('--hosts', '2', '--endpoints', '12');
  const large = await lab('--hosts', '8', '--racks', '4', '--endpoints', '200');
  assert.deepEqual([small.ok, large.ok], [true, true]);
  assert.deepEqual([small.hosts.length, small.endpoints.length], [2, 12]);
  assert.deepEqual([large.hosts.length, large.endpoints.length], [8, 200]);
  const [rules] = small.hosts.map((host) => host.rules);
  for (const host of [...small.hosts, ...large.hosts]) assert.equal(host.rules, rules, host.name);
});
