import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addressPlan, formatAddress, parseAddress, parseCidr } from '#core/address/index.ts';
import { type IpamNetwork, locate, MemoryIpam } from '#core/ipam/index.ts';
import { rebuild } from './rebuild.ts';

const families = [
  ['IPv4', '10.0.0.0/8', { host: 8, tenant: 8, segment: 4, endpoint: 4 }, (n: number) => `10.1.1.${16 + n}`],
  [
    'IPv6',
    'fd10::/16',
    { host: 16, tenant: 16, segment: 16, endpoint: 64 },
    (n: number) => `fd10:1:1:1::${n}`,
  ],
] as const;

for (const [family, cidr, layout, address] of families) {
  const network: IpamNetwork = {
    name: 'main',
    plan: addressPlan(parseCidr(cidr), layout),
    reserved: [],
    quarantineMs: 30_000,
  };
  const networks = new Map([['main', network]]);
  const at = (n: number) => ({ network: 'main', address: parseAddress(address(n)) });
  const recorded = (name: string, uid: string, n: number) => ({
    key: `a/s/${name}`,
    uid,
    question: 'recorded',
    addresses: [at(n)],
    payload: null,
  });

  /** name, uid, endpoint id and sequence number of what the old copy holds. */
  function old(
    held: readonly (readonly [string, string, number, number])[],
    opened: number,
    released: string[] = [],
  ) {
    const state = new MemoryIpam([network]);
    for (const [name, uid, n, seq] of held) {
      const addresses = [locate(network, parseAddress(address(n)))!];
      const allocation = { key: `a/s/${name}`, uid, question: 'old', seq, addresses };
      state.apply({ type: 'allocated', allocation, at: 0 });
    }
    return { state, payloads: new Map(), released: new Set(released), opened };
  }
  const shown = (state: MemoryIpam) =>
    state
      .list()
      .map(
        ({ key, uid, addresses }) =>
          `${key} ${uid} ${addresses.map((one) => formatAddress(one.address)).join()}`,
      );
  const line = (name: string, uid: string, n: number) =>
    `a/s/${name} ${uid} ${formatAddress(parseAddress(address(n)))}`;

  test(`${family}: a lost journal takes over what is recorded`, () => {
    const { state } = rebuild(old([], 0), [recorded('x', 'u1', 1), recorded('y', 'u2', 2)], networks, 1000);
    assert.deepEqual(shown(state), [line('x', 'u1', 1), line('y', 'u2', 2)]);
  });

  test(`${family}: what the journal released is not taken over, whether or not that was heard`, () => {
    const { state } = rebuild(old([], 0, ['u1']), [recorded('x', 'u1', 1)], networks, 1000);
    assert.deepEqual(shown(state), []);
  });

  test(`${family}: what is not on record any more was released, and its address rests`, () => {
    const before = old([['x', 'u1', 1, 1]], 1);
    const { state } = rebuild(before, [], networks, 1000);
    assert.deepEqual(shown(state), []);
    assert.equal(state.releasedAt('main', parseAddress(address(1))), 1000);
    assert.equal(before.state.size, 1, 'the old state is as it was');
  });

  test(`${family}: an address that has another owner by now, and a name of a later incarnation, are those recorded`, () => {
    const before = old(
      [
        ['x', 'u1', 1, 1],
        ['y', 'u2', 2, 2],
      ],
      2,
    );
    const { state } = rebuild(before, [recorded('z', 'u3', 1), recorded('y', 'u4', 3)], networks, 1000);
    assert.deepEqual(shown(state), [line('z', 'u3', 1), line('y', 'u4', 3)]);
  });

  test(`${family}: what was given out since the copy was opened stands, unless its address or name is recorded`, () => {
    const before = old(
      [
        ['x', 'u1', 1, 1],
        ['new', 'u2', 2, 2],
        ['clash', 'u3', 3, 3],
        ['name', 'u4', 4, 4],
      ],
      1,
    );
    const { state } = rebuild(before, [recorded('z', 'u5', 3), recorded('name', 'u6', 5)], networks, 1000);
    assert.deepEqual(shown(state), [line('new', 'u2', 2), line('z', 'u5', 3), line('name', 'u6', 5)]);
    const again = rebuild(
      { ...before, state },
      [recorded('z', 'u5', 3), recorded('name', 'u6', 5)],
      networks,
      2000,
    );
    assert.deepEqual(shown(again.state), shown(state), 'once more is the same');
  });

  test(`${family}: numbers go on above those of the old journal`, () => {
    const { state } = rebuild(old([['x', 'u1', 1, 7]], 7), [recorded('y', 'u2', 2)], networks, 1000);
    assert.equal(state.nextSeq(), 9);
  });
}
