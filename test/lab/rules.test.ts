/** The lab's own count of rules, as `romana lab --once --json` prints it, does not grow with hosts, endpoints or host ids. */
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

test('nor with host ids: a topology file, tenants in two IPv4 networks, hosts that take further ids', async () => {
  const file = new URL('../../examples/lab-topology.yaml', import.meta.url).pathname;
  const size = ['--hosts', '8', '--racks', '4', '--growth', '4', '--topology', file];
  const few = await lab(...size, '--endpoints', '12');
  const many = await lab(...size, '--endpoints', '64');
  assert.deepEqual([few.ok, many.ok], [true, true]);
  const in4 = (prefix: string, document: LabDocument): LabDocument['endpoints'] =>
    document.endpoints.filter(({ addresses }) => addresses.some((address) => address.startsWith(prefix)));
  for (const document of [few, many]) {
    for (const { name, addresses } of document.endpoints) {
      const families = addresses.map((address) => (address.includes(':') ? 6 : 4));
      assert.deepEqual(families, [4, 6], name);
    }
    // acme lives in both IPv4 networks, globex in the one that is open to it
    for (const prefix of ['10.', '172.'])
      assert.ok(
        in4(prefix, document).some(({ tenant }) => tenant === 'acme'),
        prefix,
      );
    assert.ok(in4('172.', document).every(({ tenant }) => tenant === 'acme'));
  }
  const idsIn10 = (document: LabDocument): number[] =>
    document.hosts.map(({ cidrs }) => cidrs.filter((cidr) => cidr.startsWith('10.')).length);
  assert.deepEqual(idsIn10(few), [1, 1, 1, 1, 1, 1, 1, 1]);
  assert.ok(
    idsIn10(many).some((ids) => ids > 1),
    String(idsIn10(many)),
  );
  const [rules] = few.hosts.map((host) => host.rules);
  for (const host of [...few.hosts, ...many.hosts]) assert.equal(host.rules, rules, host.name);
  // growth stays inside what was routed from the first day
  const others = (document: LabDocument): number[] =>
    document.hosts.map((host) => host.routes - routesToEndpoints(host.name, document));
  assert.deepEqual(others(many), others(few));
});

/** A route for each address of an endpoint on the host. */
function routesToEndpoints(host: string, { endpoints }: LabDocument): number {
  return endpoints.filter((endpoint) => endpoint.host === host).flatMap(({ addresses }) => addresses).length;
}
