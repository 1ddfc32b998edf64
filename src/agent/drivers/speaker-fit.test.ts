import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseAddress } from '#core/address/index.ts';
import { isRomanaError } from '#core/errors.ts';
import type { BgpIntent, BgpPeer } from '#core/routing/model.ts';
import { requireFit, requirePlainIntent, requirePlainPaths } from './speaker-fit.ts';

const peer: BgpPeer = {
  name: 'leaf-1',
  address: parseAddress('192.0.2.1'),
  local: null,
  link: null,
  asn: 65001,
  families: [4],
  passwordFile: null,
  ttlSecurity: false,
  bfd: null,
  maxPrefixes: null,
};
const intent: BgpIntent = {
  daemon: 'gobgp',
  asn: 65011,
  routerId: '192.0.2.11',
  peers: [peer],
  announce: [],
  accept: [],
  acceptDefault: false,
  communities: ['65001:1', '65001:1:2'],
  ecmp: 1,
  gracefulRestartSeconds: 0,
  holdSeconds: 9,
  connectRetrySeconds: 5,
};
const none = {
  fib: false,
  keepsRoutes: true,
  bfd: false,
  unnumbered: false,
  passwords: false,
  ttlSecurity: false,
};
const code = (expected: string) => (error: unknown) => isRomanaError(error) && error.code === expected;

test('what a daemon cannot do is refused, each for itself, with the name of the peer', () => {
  requireFit('X', none, intent);
  for (const [change, word] of [
    [{ address: null, link: 'eth1' }, 'unnumbered'],
    [{ bfd: { intervalMs: 1000, multiplier: 3 } }, 'BFD'],
    [{ ttlSecurity: true }, 'TTL'],
    [{ passwordFile: '/etc/secret' }, 'passwords'],
  ] as const) {
    const asked = { ...intent, peers: [peer, { ...peer, ...change }] };
    assert.throws(
      () => requireFit('X', none, asked),
      (error: Error) =>
        code('speaker_unfit')(error) && error.message.includes(word) && error.message.includes('leaf-1'),
    );
    requireFit(
      'X',
      { fib: true, keepsRoutes: true, bfd: true, unnumbered: true, passwords: true, ttlSecurity: true },
      asked,
    );
  }
});

test('nothing that means something in a script or a configuration gets into one', () => {
  requirePlainIntent(intent);
  for (const change of [
    { routerId: '192.0.2.11; reboot' },
    { communities: ['65001:1', '65001:$(reboot)'] },
    { communities: ['65001'] },
    { peers: [{ ...peer, name: 'leaf"' }] },
    { peers: [{ ...peer, name: 'leaf 1' }] },
    { peers: [{ ...peer, name: 'leaf\n1' }] },
  ])
    assert.throws(() => requirePlainIntent({ ...intent, ...change }), code('input_invalid'));
});

test('paths are absolute and plain', () => {
  requirePlainPaths({ dir: '/etc/romana/bgp', control: '/run/romana@1/x-y_z+.sock' });
  for (const path of ['relative', '/with space', '/with;semicolon', '/with"quote', '/with\nline', ''])
    for (const place of [
      { dir: path, control: '/run/x' },
      { dir: '/run/x', control: path },
    ])
      assert.throws(() => requirePlainPaths(place), code('input_invalid'));
});
