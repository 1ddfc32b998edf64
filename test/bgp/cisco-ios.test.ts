/** Configurations for Cisco IOS, read by a parser that is not ours: FRR's, whose language has grown out of that of IOS. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { createRunner } from '#agent/exec.ts';
import { exportDevice } from '#core/routing/export/index.ts';
import { cases } from '#core/routing/export/samples.ts';

const run = createRunner();
const folder = mkdtempSync(join(tmpdir(), 'romana-ios-'));
after(() => rmSync(folder, { recursive: true }));

/** What IOS has and FRR says otherwise. */
const others = /^(ipv6 unicast-routing| neighbor \S+ fall-over bfd)$/;

for (const [name, routing] of cases) {
  test(`${routing.device.name}, ${name}: every line is one of the language`, async () => {
    const file = join(folder, `${name}-${routing.device.name}.cfg`);
    const lines = exportDevice(routing, 'cisco-ios', { password: 'secret', revision: 7 }).split('\n');
    const known = lines.filter((line) => !others.test(line));
    assert.ok(known.length > 5);
    writeFileSync(file, known.join('\n'));
    const { stdout, stderr, code } = await run(['vtysh', '-C', '-f', file], { okCodes: 'any' });
    assert.deepEqual([code, stdout, stderr], [0, '', '']);
    // It does tell a line that is none.
    writeFileSync(file, [...known, 'router bgp 1', ' neighbour 192.0.2.1 remote-as 2', ''].join('\n'));
    const wrong = await run(['vtysh', '-C', '-f', file], { okCodes: 'any' });
    assert.match(wrong.stdout + wrong.stderr, /Unknown command/);
  });
}
