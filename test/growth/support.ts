/** A cluster in one process: real services, watch hub and agents; kernels in memory, whose writes are counted. */
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Agent, type ControlPlane } from '#agent/agent.ts';
import { FakeConntrack } from '#agent/drivers/conntrack/fake.ts';
import {
  createFakeKernelEvents,
  createFakeKernelFacts,
  createFakeLinkDriver,
  createFakeRouteDriver,
} from '#agent/drivers/iproute2/fake-drivers.ts';
import { FakeKernel } from '#agent/drivers/iproute2/fake-kernel.ts';
import { FakeRules } from '#agent/drivers/nftables/fake.ts';
import { FakeFs } from '#agent/journal/fake-fs.ts';
import type { Host } from '#contract/model.ts';
import { operations } from '#contract/operations.ts';
import { RomanaError } from '#core/errors.ts';
import { systemClock, systemRandom, systemTimers } from '#runtime/index.ts';
import { openStore } from '#server/restored.ts';
import { createServices } from '#server/services/index.ts';
import { admin, agentOf, silentLog } from '#server/testing.ts';
import { WatchHub } from '#server/watch/hub.ts';
import type { Store } from '#store/port.ts';

export class Machine {
  readonly kernel = new FakeKernel();
  readonly rules = new FakeRules();
  /** Kernel objects written, as text. */
  readonly writes: string[] = [];
  agent: Agent | null = null;
  #cut: (() => void) | null = null;

  constructor(address: string) {
    this.kernel.addLink('up0');
    this.kernel.setUp('up0', true);
    this.kernel.addAddress('up0', `${address}/${address.includes(':') ? 64 : 24}`);
  }

  connected(cut: () => void): void {
    this.#cut = cut;
  }

  get online(): boolean {
    return this.#cut !== null;
  }

  /** The network to the control plane is gone, for good. */
  cutOff(): void {
    this.#cut?.();
    this.#cut = null;
  }
}

export interface Cluster {
  readonly services: ReturnType<typeof createServices>;
  readonly store: Store;
  readonly machines: readonly Machine[];
  show(host: string): Promise<Host>;
  /** All agents that are online have applied the newest revision. */
  settled(): Promise<void>;
  /** Stops the server, copies its database, and starts it again. */
  copy(): Promise<void>;
  /** Stops the server, puts the copy in place, and starts it as restored. `meanwhile`: before any agent reaches it. */
  restore(meanwhile?: () => Promise<void>): Promise<void>;
  dispose(): Promise<void>;
}

export const pause = (ms: number): Promise<void> =>
  new Promise((resolve) => {
    systemTimers.after(ms, resolve);
  });

export interface Wish {
  readonly family?: 4 | 6;
  readonly quarantineSeconds?: number;
  readonly heartbeatMs?: number;
}

const networks = {
  4: { cidr: '10.0.0.0/8', layout: { host: 8, tenant: 8, segment: 4, endpoint: 4 } },
  6: { cidr: 'fd10::/96', layout: { host: 16, tenant: 8, segment: 4, endpoint: 4 } },
};

/** Hosts h1, h2… with these growths on one link, one network with blocks of 15, tenant `a` with segment `s`. */
export async function cluster(growths: readonly number[], wish: Wish = {}): Promise<Cluster> {
  const { family = 4, quarantineSeconds = 30, heartbeatMs = 10_000 } = wish;
  const folder = mkdtempSync(join(tmpdir(), 'romana-growth-'));
  const path = join(folder, 'store.db');
  let { store, services, hub } = await openServer(path, false);
  /** Watchers: each answers how it comes back. */
  const followers = new Set<() => () => void>();
  const empty = { params: {}, query: {} };
  const network = operations.networkCreate.body.parse({
    name: 'main',
    ...networks[family],
    quarantineSeconds,
  });
  await services.networkCreate(admin, { ...empty, body: network });
  await services.tenantCreate(admin, { ...empty, body: { name: 'a', isolation: 'segment' } });
  await services.segmentCreate(admin, { params: { tenant: 'a' }, query: {}, body: { name: 's' } });
  const machines: Machine[] = [];
  for (const [index, growth] of growths.entries()) {
    const name = `h${index + 1}`;
    const address = `${family === 4 ? '192.168.0.' : 'fd99::'}${index + 1}`;
    const body = operations.hostCreate.body.parse({ name, addresses: [address], growth });
    await services.hostCreate(admin, { ...empty, body });
    await store.transaction('test', (tx) => tx.put('host', name, { ...tx.get('host', name)!, joined: true }));
    machines.push(new Machine(address));
  }
  for (const [index, machine] of machines.entries()) await start(machine, `h${index + 1}`);

  async function start(machine: Machine, host: string): Promise<void> {
    const note = ({ action, object }: { action: string; object: string }): void => {
      machine.writes.push(`${action} ${object}`);
    };
    const { rules, kernel } = machine;
    const controlPlane: ControlPlane = {
      report: async (report) => {
        if (!machine.online) throw new RomanaError('unavailable', 'cut off');
        const body = operations.hostReport.body.parse(JSON.parse(JSON.stringify(report)));
        return services.hostReport(agentOf(host), { params: { name: host }, query: {}, body });
      },
      follow: (since, onEvent, onDown) => {
        let known = since;
        const subscribe = () =>
          hub.subscribe({ host }, known, {
            send: (event) => {
              if (event.type === 'synced' || event.type === 'position') known = event.position;
              if (event.type !== 'behind') onEvent(event);
              return true;
            },
            drained: () => undefined,
            close: () => undefined,
          });
        let cancel = subscribe();
        const leave = (): void => {
          cancel();
          onDown(new RomanaError('unavailable', 'cut off'));
        };
        const follower = () => {
          leave();
          return () => {
            cancel = subscribe();
          };
        };
        followers.add(follower);
        machine.connected(() => {
          followers.delete(follower);
          leave();
        });
        return () => {
          followers.delete(follower);
          cancel();
        };
      },
    };
    const agent = new Agent({
      host,
      version: 'test',
      uplinks: [],
      endpointLinks: ['rom*', 'tap*'],
      mtu: 0,
      resyncMs: 60_000,
      heartbeatMs,
      kernel: {
        facts: createFakeKernelFacts(kernel),
        rules: {
          apply: async (desired, cut, mend) => {
            const result = await rules.apply(desired, cut, mend);
            for (const change of result.changes) note(change);
            return result;
          },
          inspect: (desired) => rules.inspect(desired),
          invalidate: () => rules.invalidate(),
          cuts: () => rules.cuts(),
          guardsOthers: () => rules.guardsOthers(),
          counts: () => rules.counts(),
          counters: () => rules.counters(),
        },
        links: createFakeLinkDriver(kernel, { beforeWrite: note }),
        routes: createFakeRouteDriver(kernel, { beforeWrite: note }),
        conntrack: new FakeConntrack(),
        events: createFakeKernelEvents(kernel),
      },
      controlPlane,
      files: { read: () => Promise.resolve(null), write: () => Promise.resolve() },
      journal: { dir: '/journal', fs: new FakeFs() },
      clock: systemClock,
      timers: systemTimers,
      random: systemRandom,
      log: silentLog,
    });
    machine.agent = agent;
    await agent.start();
  }

  async function restart(restored: boolean, between: () => void, meanwhile: () => Promise<void>) {
    const comeBack = [...followers].map((leave) => leave());
    hub.close();
    store.close();
    between();
    ({ store, services, hub } = await openServer(path, restored));
    await meanwhile();
    for (const back of comeBack) back();
  }

  const status = () => services.status(admin, { ...empty, body: undefined });
  return {
    get services() {
      return services;
    },
    get store() {
      return store;
    },
    machines,
    show: (name) => services.hostShow(admin, { params: { name }, query: {}, body: undefined }),
    settled: async () => {
      for (;;) {
        const { hosts } = await status();
        if (hosts.every((one, index) => one.current || machines[index]?.online === false)) return;
        await pause(5);
      }
    },
    copy: () =>
      restart(
        false,
        () => cpSync(path, `${path}.copy`),
        () => Promise.resolve(),
      ),
    restore: (meanwhile = () => Promise.resolve()) =>
      restart(true, () => cpSync(`${path}.copy`, path), meanwhile),
    dispose: async () => {
      for (const { agent } of machines) await agent?.stop();
      hub.close();
      store.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function openServer(path: string, restored: boolean) {
  const store = await openStore({ path, clock: systemClock, log: silentLog, restored });
  const base = { store, clock: systemClock, timers: systemTimers };
  const services = createServices({ ...base, random: systemRandom, log: silentLog });
  return { store, services, hub: new WatchHub(base) };
}
