/** What a host keeps of what it is told. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type * as m from '#contract/model.ts';
import { View } from './view.ts';

const network = (name: string, layout: m.Network['layout']): m.Network => ({
  name,
  cidr: '10.0.0.0/8',
  family: 4,
  layout,
  infrastructure: 'deny',
  reserved: [],
  quarantineSeconds: 30,
  uid: name,
  revision: 1,
  createdAt: 't',
});
const layout = { host: 8, tenant: 8, segment: 4, endpoint: 4 };
const object = (value: m.Network) => ({ type: 'object', kind: 'network', key: value.name, value }) as const;

test('a flat network is none of what a host knows, in a snapshot or after it, and its end changes nothing', () => {
  const view = new View();
  const names = () => [...(view.state?.objects.network.keys() ?? [])];
  view.take({ type: 'snapshot' });
  view.take(object(network('laid', layout)));
  view.take(object(network('outside', null)));
  view.take({ type: 'synced', position: { incarnation: 'x', revision: 1 } });
  assert.deepEqual(names(), ['laid']);
  assert.equal(view.take(object(network('later', null))), false);
  view.take({ type: 'gone', kind: 'network', key: 'later' });
  assert.deepEqual(names(), ['laid']);
});
