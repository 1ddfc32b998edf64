import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseAddress } from '#core/address/index.ts';
import type { Runner } from '../../exec.ts';
import { createConntrack, parseFlows } from './conntrack.ts';

const listing = [
  'tcp      6 431999 ESTABLISHED src=10.1.1.27 dst=10.2.1.27 sport=49084 dport=80 src=10.2.1.27 dst=10.1.1.27 sport=80 dport=49084 [ASSURED] mark=0 use=1',
  'udp      17 25 src=fd10:1:1:1::b dst=fd10:2:1:1::b sport=5353 dport=53 [UNREPLIED] src=fd10:2:1:1::b dst=fd10:1:1:1::b sport=53 dport=5353 mark=0 use=1',
  'icmp     1 28 src=10.1.0.2 dst=10.2.0.2 type=8 code=0 id=20 src=10.2.0.2 dst=10.1.0.2 type=0 code=0 id=20 mark=0 use=1',
  'unknown  4 590 src=10.1.0.2 dst=10.2.0.2 src=10.2.0.2 dst=10.1.0.2 mark=0 use=1',
  '',
  'conntrack v1.4.7 (conntrack-tools): 4 flow entries have been shown.',
].join('\n');

test('reads the original direction of every flow, both families, and nothing else', () => {
  assert.deepEqual(parseFlows(listing), [
    {
      protocol: 'tcp',
      source: '10.1.1.27',
      destination: '10.2.1.27',
      sourcePort: 49084,
      destinationPort: 80,
    },
    {
      protocol: 'udp',
      source: 'fd10:1:1:1::b',
      destination: 'fd10:2:1:1::b',
      sourcePort: 5353,
      destinationPort: 53,
    },
    {
      protocol: 'icmp',
      source: '10.1.0.2',
      destination: '10.2.0.2',
      sourcePort: null,
      destinationPort: null,
    },
    { protocol: '4', source: '10.1.0.2', destination: '10.2.0.2', sourcePort: null, destinationPort: null },
  ]);
  assert.deepEqual(parseFlows('garbage src=1.2 dst=x\n'), []);
});

test('forgets flows and addresses in one process each, and starts none for nothing', async () => {
  const calls: { argv: readonly string[]; stdin: string | undefined }[] = [];
  const run: Runner = (argv, options) => {
    calls.push({ argv, stdin: options?.stdin });
    return Promise.resolve({ code: 1, stdout: '', stderr: '' });
  };
  const conntrack = createConntrack(run);
  await conntrack.remove(parseFlows(listing).slice(0, 3));
  await conntrack.removeAddresses([parseAddress('10.1.1.27'), parseAddress('fd10:1:1:1::b')]);
  await conntrack.remove([]);
  assert.deepEqual(
    calls.map(({ stdin }) => stdin?.trim().split('\n')),
    [
      [
        '-D -f ipv4 -p tcp -s 10.1.1.27 -d 10.2.1.27 --sport 49084 --dport 80',
        '-D -f ipv6 -p udp -s fd10:1:1:1::b -d fd10:2:1:1::b --sport 5353 --dport 53',
        '-D -f ipv4 -p icmp -s 10.1.0.2 -d 10.2.0.2',
      ],
      [
        '-D -f ipv4 -s 10.1.1.27',
        '-D -f ipv4 -d 10.1.1.27',
        '-D -f ipv6 -s fd10:1:1:1::b',
        '-D -f ipv6 -d fd10:1:1:1::b',
      ],
    ],
  );
});
