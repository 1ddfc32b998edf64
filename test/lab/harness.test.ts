/** A whole system on real kernels: three hosts in two racks, through the lab's own harness. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Lab } from '#lab/harness.ts';
import { observe, type Placed, placeEndpoints } from '#lab/observe.ts';
import { planLab } from '#lab/plan.ts';
import { type EndpointPlan, expected, keyOf, planEndpoints } from '#lab/spread.ts';
import { wrongLines } from '#lab/text.ts';
import { inPrivateNamespaces } from '../support/namespace.ts';

const cli = new URL('../../src/cli/main.ts', import.meta.url).pathname;

if (inPrivateNamespaces(import.meta.url)) {
  const plan = planLab({ hosts: 3, racks: 2 });
  let lab: Lab;
  let placed: Placed[];
  before(async () => {
    lab = await Lab.start({ plan, command: [process.execPath, cli] });
    placed = await placeEndpoints(lab, planEndpoints(9, plan.hosts));
  });
  after(() => lab.stop());

  const verdicts = async (): Promise<string[]> => {
    const { document } = await observe(lab, placed, 0);
    return wrongLines(document);
  };
  const addressOf = (to: EndpointPlan, family: 4 | 6): string =>
    placed
      .find(({ plan }) => plan === to)
      ?.endpoint.addresses.map(({ address }) => address)
      .find((address) => address.includes(':') === (family === 6)) ?? '';
  const pair = (wanted: (from: EndpointPlan, to: EndpointPlan) => boolean): [EndpointPlan, EndpointPlan] => {
    const plans = placed.map(({ plan }) => plan);
    for (const from of plans) for (const to of plans) if (from !== to && wanted(from, to)) return [from, to];
    throw new Error('no such pair');
  };

  test('every pair is as expected from first principles, in both families and three protocols', async () => {
    assert.deepEqual(await verdicts(), []);
  });

  test('enforcement outlives server and agents: with all of them killed nothing changes', async () => {
    const counts = await Promise.all(plan.hosts.map(({ name }) => lab.counts(name)));
    await lab.killServer();
    for (const { name } of plan.hosts) await lab.killAgent(name);
    for (const [from, to] of [
      pair((a, b) => expected(a, b) === 'allow' && a.host.rack !== b.host.rack),
      pair((a, b) => expected(a, b) === 'deny' && a.host === b.host),
      pair((a, b) => expected(a, b) === 'deny' && a.tenant !== b.tenant && a.host !== b.host),
    ]) {
      for (const family of [4, 6] as const) {
        const [result] = await lab.probe([
          { from: from.name, family, protocol: 'tcp', address: addressOf(to, family) },
        ]);
        assert.equal(result?.observed, expected(from, to), `${keyOf(from)} -> ${keyOf(to)} IPv${family}`);
      }
    }
    assert.deepEqual(await Promise.all(plan.hosts.map(({ name }) => lab.counts(name))), counts);
    await lab.startServer();
    for (const { name } of plan.hosts) lab.startAgent(name);
    for (const { name } of plan.hosts) await lab.agentReady(name);
    assert.deepEqual(await Promise.all(plan.hosts.map(({ name }) => lab.counts(name))), counts);
  });

  test('a restart of the agent loses not one packet and rewrites nothing', async () => {
    const [from, to] = pair(
      (a, b) => expected(a, b) === 'allow' && a.host.name === 'h1' && b.host !== a.host,
    );
    const handles = async (): Promise<string> =>
      (await lab.exec('h1', ['nft', '-a', 'list', 'table', 'inet', 'romana'])).stdout.replaceAll(
        /counter packets \d+ bytes \d+/g,
        'counter',
      );
    const rulesBefore = await handles();
    const ping = lab.exec(from.name, ['ping', '-n', '-q', '-i', '0.01', '-w', '6', addressOf(to, 4)], {
      okCodes: 'any',
    });
    await lab.restartAgent('h1');
    const answer = /(\d+) packets transmitted, (\d+) received/.exec((await ping).stdout);
    assert.ok(Number(answer?.[1]) > 100);
    assert.ok(Number(answer?.[1]) - Number(answer?.[2]) <= 1, answer?.[0]);
    assert.equal(await handles(), rulesBefore);
  });

  test('a host without enforcement is seen: the lab reports the leak, and the agent mends it', async () => {
    const [from, to] = pair((a, b) => expected(a, b) === 'deny' && a.host === b.host);
    const host = from.host.name;
    await lab.killAgent(host);
    await lab.exec(host, ['nft', 'delete', 'table', 'inet', 'romana']);
    const wrong = await verdicts();
    assert.ok(
      wrong.some(
        (line) => line.startsWith(`${keyOf(from)} -> ${keyOf(to)}`) && line.endsWith('observed allow'),
      ),
      wrong.join('\n'),
    );
    lab.startAgent(host);
    await lab.agentReady(host);
    assert.deepEqual(await verdicts(), []);
  });

  test('an endpoint comes and goes without one write on another host; its address carries host, tenant, segment and endpoint', async () => {
    const ruleset = async (host: string): Promise<string> =>
      (await lab.exec(host, ['nft', '-a', 'list', 'table', 'inet', 'romana'])).stdout.replaceAll(
        /counter packets \d+ bytes \d+/g,
        'counter',
      );
    const others = async (): Promise<string[]> => [await ruleset('h2'), await ruleset('h3')];
    const [before, own] = [await others(), await lab.counts('h1')];
    for (const host of ['h1', 'h2'] as const) {
      const wish = { tenant: 'acme', segment: 'web', name: `worked-example-${host}`, host, endpointId: 11 };
      const endpoint = await lab.endpoint(wish);
      const number = host === 'h1' ? 1 : 2;
      assert.equal(endpoint.addresses.find(({ network }) => network === 'v4')?.address, `10.${number}.1.27`);
      assert.equal(
        endpoint.addresses.find(({ network }) => network === 'v6')?.address,
        `fd10:${number}:1:1::b`,
      );
      if (host === 'h1') assert.deepEqual(await others(), before);
      await lab.removeEndpoint(wish);
    }
    // the server's removal reaches its agent a moment later
    for (let i = 0; i < 100 && (await others())[0] !== before[0]; i++) await sleep(100);
    assert.equal((await others())[1], before[1]);
    assert.deepEqual(await lab.counts('h1'), own);
  });
}
