/**
 * Tenants and segments with several ids, on the real kernel: blocks of one address, so that each further endpoint of a segment on a host
 * stands in a block of another pair of ids. One host allocates by itself, for the other the server does.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { addressPlan, decode, parseAddress, parseCidr } from '#core/address/index.ts';
import { isRomanaError } from '#core/errors.ts';
import { Lab } from '#lab/harness.ts';
import { planLab } from '#lab/plan.ts';
import type { Tenant } from '#lab/spread.ts';
import { inPrivateNamespaces } from '../support/namespace.ts';
import { place, settled } from './isolation/support/lab.ts';
import { allowed, arrivals, type Member } from './isolation/support/matrix.ts';

const cli = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
const layout = { tenant: 4, segment: 4, endpoint: 1 };
const networks = [
  { name: 'v4', cidr: '10.0.0.0/16', layout: { host: 7, ...layout } },
  { name: 'v6', cidr: 'fd10::/112', layout: { host: 7, ...layout } },
];
const tenants: readonly Tenant[] = [
  { name: 't1', isolation: 'segment', segments: ['web', 'db'] },
  { name: 't2', isolation: 'tenant', segments: ['web', 'db'] },
  { name: 't3', isolation: 'segment', segments: ['web'] },
];

if (inPrivateNamespaces(import.meta.url)) {
  const plan = planLab({ hosts: 2, racks: 2 });
  const members: Member[] = [];
  let lab: Lab;
  before(async () => {
    lab = await Lab.start({ plan, command: [process.execPath, cli], tenants, networks });
  });
  after(() => lab.stop());

  async function add(...wishes: readonly string[]): Promise<void> {
    for (const wish of wishes) {
      const [tenant = '', segment = '', host = '', number = '1'] = wish.split(' ');
      const name = `${tenant}-${segment}-${host}-${number}`;
      const at = await place(lab, { tenant, segment, name, host });
      members.push({ plan: { name, tenant, segment, host: lab.host(host) }, at });
    }
    await settled(lab);
  }
  const rules = () => Promise.all(plan.hosts.map(async ({ name }) => (await lab.counts(name)).rules));
  /** `tenant id/segment id` of each member whose name begins so, in the family. */
  const pairs = (prefix: string, family: 4 | 6): string[] =>
    members
      .filter(({ plan: { name } }) => name.startsWith(prefix))
      .map(({ at }) => {
        const { cidr, layout: widths } = networks[family === 4 ? 0 : 1]!;
        const ids = decode(addressPlan(parseCidr(cidr), widths), parseAddress(at[family]))!;
        return `${ids.tenant}/${ids.segment}`;
      })
      .sort();

  test('tenants with several ids talk inside themselves across ids as their isolation says, with as many rules as before', async () => {
    await add('t1 web h1', 't1 web h2', 't1 db h1', 't2 web h1', 't2 db h2', 't3 web h1', 't3 web h2');
    const before = await rules();
    await lab.client.tenantAddId({ params: { name: 't1' }, body: {} });
    await lab.client.segmentAddId({ params: { tenant: 't1', name: 'web' }, body: {} });
    await lab.client.tenantAddId({ params: { name: 't2' }, body: {} });
    await settled(lab);
    assert.deepEqual(await rules(), before, 'ids are elements of sets');
    for (const host of ['h1', 'h2'])
      await add(`t1 web ${host} 2`, `t1 web ${host} 3`, `t1 web ${host} 4`, `t2 web ${host} 2`);
    for (const family of [4, 6] as const) {
      for (const host of ['h1', 'h2'])
        assert.equal(new Set(pairs(`t1-web-${host}`, family)).size, 4, 'one block holds one address');
      assert.equal(new Set(pairs('t1-web', family)).size, 4, 'of two tenant ids and two segment ids');
      assert.ok(new Set(pairs('t2', family).map((pair) => pair.split('/')[0])).size === 2);
    }
    assert.deepEqual(await arrivals(lab, members, tenants), allowed(members, tenants));
    assert.deepEqual(await rules(), before);
  });

  test('who has one id has the room of one', async () => {
    await assert.rejects(
      place(lab, { tenant: 't3', segment: 'web', name: 'more', host: 'h1' }),
      (error: unknown) => isRomanaError(error) && ['block_full', 'id_pending'].includes(error.code),
    );
  });
}
