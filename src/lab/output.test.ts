import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { LabProbe } from '#contract/lab.ts';
import type { Endpoint } from '#contract/model.ts';
import { isRomanaError, RomanaError } from '#core/errors.ts';
import { checkNamespace, chooseLab, findLabs, MARK, namespaceOf } from './find.ts';
import type { Placed } from './observe.ts';
import { planLab } from './plan.ts';
import { failureOf, Process, pooled, until } from './processes.ts';
import { expected, keyOf, planEndpoints, planProbes } from './spread.ts';
import { hints, reportText, wrongLines } from './text.ts';

const plans = planEndpoints(12, planLab({ hosts: 4, racks: 2 }).hosts);
const placed: Placed[] = plans.map((plan, i) => {
  const address = `10.1.1.${i + 17}`;
  const ids = { host: 1, tenant: 1, segment: 1, endpoint: i + 1 };
  const names = { host: plan.host.name, tenant: plan.tenant, segment: plan.segment, endpoint: plan.name };
  return {
    plan,
    endpoint: { addresses: [{ network: 'v4', address }] } as unknown as Endpoint,
    decoded: [
      {
        address,
        network: 'v4',
        ids,
        ...names,
        hostCidr: '10.1.0.0/16',
        block: '10.1.1.16/28',
        state: 'used',
        quarantinedUntil: null,
        reservedBy: null,
        allocator: 'server',
        location: plan.host.name,
      },
    ],
  };
});
const matrix: LabProbe[] = planProbes(plans).map(({ from, to, family, protocol }) => ({
  from: keyOf(from),
  to: keyOf(to),
  family,
  protocol,
  port: null,
  expected: expected(from, to),
  observed: expected(from, to),
}));
const switches = [
  { name: 'spine', routes: 4 },
  { name: 'leaf1', routes: 6 },
];
const good = { ok: true, hosts: [], endpoints: [], matrix, mtu: [], bgp: [], switches, seconds: 1 };

test('the report shows each address with its four ids, a grid, and says that everything is as expected', () => {
  const text = reportText({ placed, document: good, sampled: false });
  assert.match(text, /acme\/web\/acme-web-1 +h1 +10\.1\.1\.17 +1 +1 +1 +1$/m);
  const row = text.split('\n').find((line) => /^1 +acme\/web\/acme-web-1 +-/.test(line));
  assert.deepEqual(row?.split(/\s+/).slice(2), ['-', '+', '+', ...Array.from({ length: 9 }, () => '.')]);
  assert.match(text, /Everything is as expected/);
  const told = (dualHomed: boolean) => hints(placed, { kind: 'bgp', dualHomed });
  assert.match(told(false), /ping 10\.1\.1\..*\n.*an aggregate per rack/);
  assert.match(told(true), /a range per host/);
});

test('the report shows the routes of the switches, and the sessions of the hosts where there are any; one that is down is wrong', () => {
  const quiet = reportText({ placed, document: good, sampled: false });
  assert.match(quiet, /^SWITCH +ROUTES\nspine +4\nleaf1 +6$/m);
  assert.doesNotMatch(quiet, /PEER/);
  const session = {
    host: 'h1',
    peer: 'leaf1',
    neighbour: '192.168.1.254',
    state: 'established' as const,
    prefixesOut: 1,
  };
  const down = { ...session, neighbour: 'fd00:1::fe', state: 'active' as const, prefixesOut: null };
  const document = { ...good, bgp: [session, down] };
  const text = reportText({ placed, document, sampled: false });
  assert.match(text, /^h1 +leaf1 +192\.168\.1\.254 +established +1$/m);
  assert.match(text, /^h1 +leaf1 +fd00:1::fe +active +-$/m);
  assert.deepEqual(wrongLines(document), ['BGP session of h1 with leaf1 (fd00:1::fe) is active']);
});

test('one wrong probe of many shows in the grid, in its kind and by name; a long list is cut', () => {
  const broken = matrix.map((probe, i) =>
    i === 0 ? Object.assign({ ...probe }, { observed: 'deny' as const }) : probe,
  );
  const document = { ...good, ok: false, matrix: broken };
  const text = reportText({ placed, document, sampled: false });
  assert.match(text, /NOT as expected:\n {2}acme\/web\/acme-web-1 -> .*: expected allow, observed deny/);
  assert.equal(text.split('\n').filter((line) => /^\d+ .* !( |$)/.test(line)).length, 1);
  const all = matrix.map((probe) =>
    Object.assign({ ...probe }, { expected: 'deny' as const, observed: 'allow' as const }),
  );
  assert.equal(wrongLines({ ...document, matrix: all }).length, 21);
});

test('a lab is a first process of a process namespace that carries the mark, and nothing else is', () => {
  const proc = mkdtempSync(join(tmpdir(), 'romana-lab-'));
  const add = (pid: number, nspid: string, environ: string): void => {
    mkdirSync(join(proc, String(pid)));
    writeFileSync(join(proc, String(pid), 'status'), `Name:\tperl\nNSpid:\t${nspid}\n`);
    writeFileSync(join(proc, String(pid), 'environ'), environ);
  };
  try {
    add(30, '30\t1', `A=b\0${MARK}={}\0`);
    add(31, '31\t2', `${MARK}={}\0`);
    add(32, '32\t1', `A=${MARK}=\0`);
    add(7, '7\t1', `${MARK}={}\0`);
    mkdirSync(join(proc, '33'));
    assert.deepEqual(findLabs(proc), [7, 30]);
    mkdirSync(join(proc, '30/root/run/netns/h1'), { recursive: true });
    checkNamespace(30, 'h1', proc);
    assert.throws(() => checkNamespace(30, 'h2', proc), /it has: h1/);
  } finally {
    rmSync(proc, { recursive: true });
  }
});

test('with several labs one must be chosen; none and unknown ones are said', () => {
  assert.equal(chooseLab([5], undefined), 5);
  assert.equal(chooseLab([5, 9], '9'), 9);
  assert.throws(() => chooseLab([], undefined), /romana lab/);
  assert.throws(() => chooseLab([5, 9], undefined), /--lab 5 or --lab 9/);
  assert.throws(() => chooseLab([5], '6'), /these run: 5/);
  assert.equal(namespaceOf('acme/web/acme-web-1'), 'acme-web-1');
  for (const name of ['', '..', 'a/../..', '-x', 'a b'])
    assert.throws(() => namespaceOf(name), isRomanaError);
});

test('waiting goes on while something is unavailable, and ends with any other error or the time', async () => {
  let calls = 0;
  const value = await until('there', 5_000, async () => {
    calls++;
    if (calls === 1) throw new RomanaError('unavailable', 'not yet');
    return calls === 3 ? 'done' : undefined;
  });
  assert.equal(value, 'done');
  const refused = new RomanaError('forbidden', 'no');
  await assert.rejects(
    until('there', 5_000, () => Promise.reject(refused)),
    refused,
  );
  await assert.rejects(
    until('there', 0, () => Promise.reject(new RomanaError('unavailable', 'the reason'))),
    /the reason/,
  );
});

test('a process that ends early is blamed with the last lines of its log; a deaf one is killed', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'romana-lab-'));
  try {
    const early = new Process('early', ['sh', '-c', 'echo its last words; exit 3'], join(dir, 'early.log'));
    const error = await until('ready', 5_000, async () => undefined, early).catch((error: unknown) => error);
    assert.ok(isRomanaError(error) && /exit code 3/.test(error.message));
    assert.equal(error.details?.['log'], 'its last words');
    assert.equal(failureOf(early, 'x').code, 'unavailable');
    const deaf = new Process(
      'deaf',
      ['sh', '-c', 'trap "" TERM; echo up; while :; do sleep 0.05; done'],
      join(dir, 'deaf.log'),
    );
    await until('up', 5_000, async () => (deaf.tail() === 'up' ? true : undefined), deaf);
    await deaf.stop(50);
    assert.equal(deaf.end, 'SIGKILL');
  } finally {
    rmSync(dir, { recursive: true });
  }
});

test('a pool keeps the order, holds its width, and fails with the first failure', async () => {
  let running = 0;
  let most = 0;
  const results = await pooled([5, 1, 4, 2, 3], 2, async (n) => {
    most = Math.max(most, ++running);
    for (let i = 0; i < n; i++) await Promise.resolve();
    running--;
    return n * 2;
  });
  assert.deepEqual(results, [10, 2, 8, 4, 6]);
  assert.equal(most, 2);
  await assert.rejects(
    pooled([1, 2], 2, async (n) => {
      if (n === 2) throw new Error('second');
    }),
    /second/,
  );
  assert.deepEqual(await pooled([], 3, async (n) => n), []);
});
