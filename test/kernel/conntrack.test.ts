/** The conntrack driver against the real kernel: flows of both families are listed, and exactly the named ones forgotten. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createConntrack } from '#agent/drivers/conntrack/conntrack.ts';
import { createRunner } from '#agent/exec.ts';
import type { Flow } from '#agent/rules/ruleset.ts';
import { parseAddress } from '#core/address/index.ts';
import { addAddresses, here, inPrivateNamespaces, makeNetns, veth } from '../support/namespace.ts';

if (inPrivateNamespaces(import.meta.url)) {
  const run = createRunner();
  const conntrack = createConntrack(run);
  const flow = (n: number, protocol: 'tcp' | 'udp', six: boolean): Flow => ({
    protocol,
    source: six ? `fd10:1::${n}` : `10.1.0.${n}`,
    destination: six ? 'fd10:2::9' : '10.2.0.9',
    sourcePort: 1000 + n,
    destinationPort: 80,
  });
  /** Entries are put into the table as they are: what is under test is reading and forgetting. */
  const insert = async (flow: Flow) => {
    const ports = ['--sport', String(flow.sourcePort), '--dport', String(flow.destinationPort)];
    const state = flow.protocol === 'tcp' ? ['--state', 'ESTABLISHED'] : [];
    await run([
      'conntrack',
      '-I',
      '-p',
      flow.protocol,
      '-s',
      flow.source,
      '-d',
      flow.destination,
      ...ports,
      ...state,
      '-t',
      '300',
    ]);
  };
  const sorted = (flows: readonly Flow[]) => flows.map((flow) => JSON.stringify(flow)).sort();

  test('lists both families, forgets exactly what is named, and what is not there is no error', async () => {
    const peer = await makeNetns('peer');
    await veth(here, 'up0', peer, 'up0');
    await addAddresses(here, 'up0', '10.1.0.1/24', 'fd10:1::1/64');
    const flows = [1, 2, 3].flatMap((n) =>
      [false, true].flatMap((six) => [flow(n, 'tcp', six), flow(n, 'udp', six)]),
    );
    for (const each of flows) await insert(each);
    assert.deepEqual(sorted(await conntrack.flows()), sorted(flows));

    await conntrack.remove([flow(1, 'tcp', false), flow(1, 'udp', true), flow(77, 'tcp', false)]);
    const left = flows.filter(
      (each) => !sorted([flow(1, 'tcp', false), flow(1, 'udp', true)]).includes(JSON.stringify(each)),
    );
    assert.deepEqual(sorted(await conntrack.flows()), sorted(left));

    await conntrack.removeAddresses([
      parseAddress('10.1.0.2'),
      parseAddress('fd10:1::3'),
      parseAddress('10.9.9.9'),
    ]);
    const rest = left.filter(({ source }) => source !== '10.1.0.2' && source !== 'fd10:1::3');
    assert.deepEqual(sorted(await conntrack.flows()), sorted(rest));
    assert.ok(rest.length > 0 && rest.length < left.length);

    await conntrack.removeAddresses([parseAddress('10.2.0.9'), parseAddress('fd10:2::9')]);
    assert.deepEqual(await conntrack.flows(), []);
  });
}
