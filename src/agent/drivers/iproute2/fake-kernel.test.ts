/** The fake kernel passes the contract that the real one passes (test/kernel/iproute2.test.ts), and can be killed anywhere. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseCidr } from '#core/address/index.ts';
import { driverContract } from './contract-test.ts';
import {
  blackhole,
  desiredLinks,
  linkRoute,
  refusals,
  seenText,
  vethLink,
  viaRoute,
  type World,
} from './contract-world.ts';
import {
  createFakeKernelEvents,
  createFakeKernelFacts,
  createFakeLinkDriver,
  createFakeRouteDriver,
} from './fake-drivers.ts';
import { addressText, FakeKernel } from './fake-kernel.ts';

const pathOf = (name: string): string => `/run/netns/${name}`;

function makeKernel(): FakeKernel {
  const kernel = new FakeKernel();
  kernel.addLink('up0');
  kernel.setUp('up0', true);
  kernel.addAddress('up0', '192.168.0.1/24');
  kernel.addAddress('up0', 'fd99::1/64');
  return kernel;
}

function makeWorld(): Promise<World> {
  const kernel = makeKernel();
  // The contract speaks to a real kernel too, whose every act is asynchronous.
  const act =
    <A extends unknown[]>(fn: (...args: A) => void) =>
    (...args: A): Promise<void> =>
      Promise.resolve(fn(...args));
  return Promise.resolve({
    links: () => createFakeLinkDriver(kernel),
    routes: () => createFakeRouteDriver(kernel),
    facts: createFakeKernelFacts(kernel),
    addNetns: (name) => {
      kernel.addNetns(pathOf(name));
      return Promise.resolve(pathOf(name));
    },
    removeNetns: act((name: string) => kernel.removeNetns(pathOf(name))),
    addPair: act((link: string, netns: string, ifname: string) =>
      kernel.addLink(link, { peer: { path: pathOf(netns), ifname } }),
    ),
    setAlias: act((link: string, alias: string) => kernel.change(link, { alias })),
    addAddress: act((link: string, address: string) => kernel.addAddress(link, address)),
    deleteAddress: act((link: string, address: string) => kernel.deleteAddress(link, address)),
    setUp: act((link: string, up: boolean) => kernel.setUp(link, up)),
    deleteLink: act((link: string) => kernel.deleteLink(link)),
    addForeignRoute: act((cidr: string, link: string) =>
      kernel.addRoute({
        cidr: parseCidr(cidr),
        type: 'unicast',
        protocol: 'static',
        metric: cidr.includes(':') ? 1024 : 0,
        via: null,
        source: null,
        link,
      }),
    ),
    addUplink: act(() => {
      kernel.addLink('up1');
      kernel.setUp('up1', true);
      kernel.addAddress('up1', '192.168.1.1/24');
      kernel.addAddress('up1', 'fd98::1/64');
    }),
    deleteRoute: act((cidr: string) => kernel.deleteRoute(parseCidr(cidr))),
    seen: () =>
      Promise.resolve(
        kernel.links().map(({ name, up, mtu, alias, addresses }) => ({
          name,
          up,
          mtu,
          alias,
          addresses: addresses.map(addressText).sort(),
        })),
      ),
    seenRoutes: (ours) =>
      Promise.resolve(
        kernel
          .routes()
          .filter(({ protocol }) => (protocol === '82') === ours)
          .map(seenText)
          .sort(),
      ),
    seenInside: (netns, ifname) =>
      Promise.resolve([...(kernel.inside(pathOf(netns), ifname)?.addresses ?? [])].sort()),
    close: () => Promise.resolve(),
  } satisfies World);
}

driverContract('fake', makeWorld);

test('I4 killed before any write, the fake is repaired by a new driver', async () => {
  let writes = 0;
  for (let finished = false; !finished; writes++) {
    const kernel = makeKernel();
    kernel.addNetns(pathOf('a'));
    const want = desiredLinks(vethLink('a', pathOf('a'), '10.1.1.27', 'fd10:1:1:1::b'));
    const routes = [
      linkRoute('10.1.1.27/32', want.links[0]?.link ?? ''),
      blackhole('fd10:1::/32'),
      viaRoute('10.2.0.0/16', '192.168.0.2'),
    ];
    let left = writes;
    const beforeWrite = (): void => {
      if (left-- === 0) throw new Error('killed');
    };
    const both = async (options: { beforeWrite?: () => void }): Promise<string[]> => [
      ...refusals(await createFakeLinkDriver(kernel, options).apply(want)),
      ...refusals(await createFakeRouteDriver(kernel, options).apply(routes)),
    ];
    finished = await both({ beforeWrite }).then(
      () => true,
      () => false,
    );
    assert.deepEqual(await both({}), []);
    assert.deepEqual(kernel.inside(pathOf('a'), 'eth0')?.addresses, ['10.1.1.27/32', 'fd10:1:1:1::b/128']);
    assert.equal(kernel.routes().length, 3);
    assert.deepEqual((await createFakeLinkDriver(kernel).apply(want)).changes, []);
  }
  assert.ok(writes > 8, `${writes} writes`);
});

test('events come for changes of others and of our own, until cancelled', async () => {
  const kernel = makeKernel();
  const seen: string[] = [];
  const cancel = createFakeKernelEvents(kernel).start((what) => seen.push(what));
  kernel.setUp('up0', false);
  await createFakeRouteDriver(kernel).apply([blackhole('10.1.0.0/16')]);
  kernel.tell('rules');
  assert.deepEqual(seen, ['network', 'network', 'rules']);
  cancel();
  kernel.setUp('up0', true);
  assert.equal(seen.length, 3);
});
