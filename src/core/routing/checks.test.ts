/** What cannot work is told, not left to be found out. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { planRouting } from './index.ts';
import { device, deviceUplink, group, host, input, l3Static, network } from './testing.ts';

describe('a group that the devices above do not reach', () => {
  const networks = [network('v4', '10.0.0.0/8'), network('v6', 'fd10::/16')];
  const problems = (uplinks: ReturnType<typeof deviceUplink>[], hosts = 1): string[] => {
    const leaf = device('leaf', ['192.168.1.254', 'fd00:1::ff'], { uplinks });
    const spine = device('spine', ['192.168.0.1', 'fd00::1']);
    const rack = group('r1', { v4: '10.0.0.0/9', v6: 'fd10::/17' }, { devices: [leaf] });
    const root = group(
      '',
      { v4: '10.0.0.0/8', v6: 'fd10::/16' },
      { fabric: l3Static, devices: [spine], groups: [rack] },
    );
    const ranges = { v4: '10.1.0.0/16', v6: 'fd10:1::/32' };
    const all = Array.from({ length: hosts }, (_, n) =>
      host(`h${n}`, 'r1', ['192.168.1.1', 'fd00:1::1'], ranges),
    );
    return planRouting(input(networks, root, all)).problems.map(
      ({ about, message }) => `${about}: ${message}`,
    );
  };

  it('is told, by family', () => {
    assert.deepEqual(problems([deviceUplink('spine', [], [])]), []);
    const [only, ...more] = problems([deviceUplink('spine', ['172.16.0.1'], ['172.16.0.0'])]);
    assert.match(
      only!,
      /^leaf: No device of group r1 has an uplink to spine with IPv6 addresses at both ends/,
    );
    assert.deepEqual(more, []);
    // Not stated: with their own addresses.
    assert.deepEqual(problems([]), []);
  });

  it("is nobody's loss while it has no hosts", () => {
    assert.deepEqual(problems([deviceUplink('spine', ['172.16.0.1'], ['172.16.0.0'])], 0), []);
  });
});
