/** Host ids that agents took go back when they are empty: real services, watch hub and agents on kernels in memory. */
import assert from 'node:assert/strict';
import { afterEach, describe, test } from 'node:test';
import { type Cluster, cluster, type Machine, pause } from './support.ts';

const running: Cluster[] = [];
afterEach(async () => {
  for (const one of running.splice(0)) await one.dispose();
});

const create = async (machine: Machine, name: string): Promise<string> => {
  const attachment = { kind: 'veth-netns', netns: `/run/netns/${name}`, ifname: 'eth0' } as const;
  const input = { tenant: 'a', segment: 's', name, attachment, sourcePrefixes: [] };
  return (await machine.agent!.createEndpoint(input)).addresses[0]!.address;
};
const remove = (machine: Machine, name: string): Promise<void> =>
  machine.agent!.removeEndpoint(`a/s/${name}`);
const names = (count: number): string[] => Array.from({ length: count }, (_, n) => `e${n}`);
const idsOf = async (c: Cluster): Promise<number[]> => (await c.show('h1')).ids.map(({ id }) => id);
const until = async (c: Cluster, ids: number): Promise<void> => {
  while ((await idsOf(c)).length !== ids) await pause(5);
};

for (const family of [4, 6] as const) {
  describe(`IPv${family}`, () => {
    async function made(growths: readonly number[]): Promise<Cluster> {
      const one = await cluster(growths, { family, quarantineSeconds: 0, heartbeatMs: 20 });
      running.push(one);
      await one.settled();
      for (const name of names(60)) one.machines[0]!.kernel.addNetns(`/run/netns/${name}`);
      return one;
    }

    test('ids that are empty go back, no host writes anything for it, and they come again', async () => {
      const c = await made([8, 1]);
      const [h1, h2] = c.machines;
      const [first] = await idsOf(c);
      const reserved = (await c.show('h1')).reservations;
      for (let turn = 0; turn < 2; turn++) {
        const made60 = await Promise.all(names(60).map((name) => create(h1!, name)));
        assert.equal(new Set(made60).size, 60);
        assert.ok((await idsOf(c)).length >= 4);
        await c.settled();
        const others = [...h2!.writes];
        await Promise.all(names(60).map((name) => remove(h1!, name)));
        const before = h1!.writes.length;
        await until(c, 1);
        await c.settled();
        assert.deepEqual(await idsOf(c), [first]);
        assert.deepEqual((await c.show('h1')).reservations, reserved);
        assert.deepEqual(h2!.writes, others);
        assert.deepEqual(h1!.writes.slice(before), []);
      }
    });

    test('while endpoints come and go, with looks as often as can be, none is refused and none is left without its id', async () => {
      const c = await made([8]);
      const [h1] = c.machines;
      await Promise.all(
        names(40).map(async (name, index) => {
          for (let turn = 0; turn < 6; turn++) {
            await create(h1!, name);
            await pause((index * 7 + turn * 13) % 40);
            if (turn < 5 || index >= 10) await remove(h1!, name);
          }
        }),
      );
      await c.settled();
      const recorded = () => c.store.read((tx) => tx.list('endpoint').map(({ value }) => value.name));
      while (recorded().length !== 10) await pause(5);
      assert.deepEqual(h1!.agent!.listEndpoints().length, 10);
      for (const name of names(10)) await remove(h1!, name);
      await until(c, 1);
    });
  });
}
