/**
 * Shared identity end to end: a tenant field of two bits, which is three tenants, and six of them. One host allocates by itself, for the
 * other the server does. Verdicts are packets counted where they arrive.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { addressPlan, containsAddress, decode, parseAddress, parseCidr } from '#core/address/index.ts';
import { isRomanaError } from '#core/errors.ts';
import { Lab } from '#lab/harness.ts';
import { planLab } from '#lab/plan.ts';
import type { Tenant } from '#lab/spread.ts';
import { inPrivateNamespaces } from '../support/namespace.ts';
import { eventually, place, settled } from './isolation/support/lab.ts';
import { allowed, arrivals, type Member } from './isolation/support/matrix.ts';

const cli = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
const networks = [
  { name: 'v4', cidr: '10.0.0.0/8', layout: { host: 8, tenant: 2, segment: 4, endpoint: 10 } },
  { name: 'v6', cidr: 'fd10::/16', layout: { host: 16, tenant: 2, segment: 16, endpoint: 78 } },
];
const tenants: readonly Tenant[] = [
  { name: 't1', isolation: 'segment', segments: ['web', 'db'] },
  { name: 't2', isolation: 'tenant', segments: ['web'] },
  { name: 't3', isolation: 'segment', segments: ['web'] },
  { name: 't4', isolation: 'segment', segments: ['web', 'db'] },
  { name: 't5', isolation: 'tenant', segments: ['web', 'db'] },
  { name: 't6', isolation: 'open', segments: ['web'] },
];

if (inPrivateNamespaces(import.meta.url)) {
  const plan = planLab({ hosts: 2, racks: 2 });
  const members: Member[] = [];
  let lab: Lab;
  before(async () => {
    lab = await Lab.start({ plan, command: [process.execPath, cli], tenants: tenants.slice(0, 2), networks });
  });
  after(() => lab.stop());

  async function add(...wishes: readonly string[]): Promise<void> {
    for (const wish of wishes) {
      const [tenant = '', segment = '', host = '', number = '1'] = wish.split(' ');
      const name = `${tenant}-${segment}-${host}-${number}`;
      const at = await place(lab, { tenant, segment, name, host });
      members.push({ plan: { name, tenant, segment, host: lab.host(host) }, at });
    }
  }
  async function remove(tenant: string): Promise<void> {
    for (const { plan: gone } of members.filter((one) => one.plan.tenant === tenant)) {
      await lab.removeEndpoint({ ...gone, host: gone.host.name });
      members.splice(
        members.findIndex((one) => one.plan === gone),
        1,
      );
    }
  }
  const rules = () => Promise.all(plan.hosts.map(async ({ name }) => (await lab.counts(name)).rules));

  const matrix = () => arrivals(lab, members, tenants);
  const wanted = () => allowed(members, tenants);
  const tenantIdsOf = ({ at }: Member): number[] =>
    networks.map(({ cidr, layout }) => {
      const network = addressPlan(parseCidr(cidr), layout);
      const address = [at[4], at[6]].map(parseAddress).find((one) => containsAddress(network.cidr, one));
      return decode(network, address!)!.tenant;
    });

  test('six tenants in a field for three: the matrix as expected, with as many rules as for two tenants', async () => {
    await add('t1 web h1', 't1 web h2', 't1 db h1', 't2 web h1', 't2 web h2');
    await settled(lab);
    const before = await rules();
    assert.deepEqual(await matrix(), wanted());
    for (const { name, isolation, segments } of tenants.slice(2)) {
      await lab.client.tenantCreate({ body: { name, isolation } });
      for (const segment of segments)
        await lab.client.segmentCreate({ params: { tenant: name }, body: { name: segment } });
    }
    await settled(lab);
    await add('t3 web h2', 't4 web h1', 't4 web h2', 't4 db h1', 't5 web h1', 't5 db h2', 't6 web h2');
    await settled(lab);
    assert.deepEqual(
      members
        .map((one) => [one.plan.tenant, ...tenantIdsOf(one)])
        .filter(([tenant]) => tenant !== 't1' && tenant !== 't2'),
      [['t3', 3, 3], ...['t4', 't4', 't4', 't5', 't5', 't6'].map((tenant) => [tenant, 0, 0])],
    );
    assert.deepEqual(await matrix(), wanted());
    assert.deepEqual(await rules(), before);
  });

  test('a change of isolation is the same for shared tenants: told, enforced and taken back everywhere', async () => {
    const body = { isolation: 'tenant' as const };
    await lab.client.tenantUpdate({ params: { name: 't4' }, query: {}, body });
    await settled(lab);
    const arrived = await matrix();
    assert.ok(
      arrived.includes('t4-db-h1-1 > t4-web-h2-1 6') && arrived.includes('t4-web-h2-1 > t4-db-h1-1 4'),
    );
    await lab.client.tenantUpdate({ params: { name: 't4' }, query: {}, body: { isolation: 'segment' } });
    await settled(lab);
    assert.deepEqual(await matrix(), wanted());
  });

  test('restarted agents write nothing, and enforce the same while the control plane is away', async () => {
    await lab.killServer();
    for (const { name } of plan.hosts) await lab.restartAgent(name);
    assert.deepEqual(await matrix(), wanted());
    for (const { name } of plan.hosts) {
      const { writes } = (await lab.agentCall(name, 'GET', '/v1/status')) as { writes: number };
      assert.equal(writes, 0, name);
    }
    await lab.startServer();
    await settled(lab);
  });

  test('when an id gets free the tenant that waited longest has it: new endpoints are encoded and talk to its old ones', async () => {
    await remove('t3');
    await eventually('segment gone', () =>
      lab.client.segmentDelete({ params: { tenant: 't3', name: 'web' }, query: {} }).then(
        () => true,
        (error: unknown) => {
          // Its host has not confirmed yet that the endpoint is gone.
          if (isRomanaError(error) && error.code === 'in_use') return undefined;
          throw error;
        },
      ),
    );
    await lab.client.tenantDelete({ params: { name: 't3' }, query: {} });
    await eventually(
      't4 promoted',
      async () => {
        const { ids } = await lab.client.tenantShow({ params: { name: 't4' } });
        return ids.length === 2 ? true : undefined;
      },
      60_000,
    );
    await settled(lab);
    await add('t4 web h1 2', 't4 web h2 2');
    await settled(lab);
    assert.deepEqual(members.slice(-2).map(tenantIdsOf), [
      [3, 3],
      [3, 3],
    ]);
    assert.deepEqual(await matrix(), wanted());
  });
}
