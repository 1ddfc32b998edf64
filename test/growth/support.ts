/** A cluster in one process: real services, watch hub and agents; kernels in memory, whose writes are counted. */
import { mkdtempSync, rmSync } from 'node:fs';
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
import { createServices } from '#server/services/index.ts';
import { admin, agentOf, silentLog } from '#server/testing.ts';
import { WatchHub } from '#server/watch/hub.ts';
import { openSqliteStore } from '#store/sqlite/index.ts';

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
    this.kernel.addAddress('up0', `${address}/24`);
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
  readonly store: ReturnType<typeof openSqliteStore>;
  readonly machines: readonly Machine[];
  show(host: string): Promise<Host>;
  /** All agents that are online have applied the newest revision. */
  settled(): Promise<void>;
  dispose(): Promise<void>;
}

export const pause = (ms: number): Promise<void> =>
  new Promise((resolve) => {
    systemTimers.after(ms, resolve);
  });

/** Hosts h1, h2… with these growths on one link, one network 10.0.0.0/8 of 8/8/4/4, tenant `a` with segment `s`. */
export async function cluster(growths: readonly number[]): Promise<Cluster> {
  const folder = mkdtempSync(join(tmpdir(), 'romana-growth-'));
  const store = openSqliteStore({ path: join(folder, 'store.db'), clock: systemClock });
  const base = { store, clock: systemClock, timers: systemTimers };
  const services = createServices({ ...base, random: systemRandom, log: silentLog });
  const hub = new WatchHub(base);
  const empty = { params: {}, query: {} };
  const layout = { host: 8, tenant: 8, segment: 4, endpoint: 4 };
  const network = operations.networkCreate.body.parse({ name: 'main', cidr: '10.0.0.0/8', layout });
  await services.networkCreate(admin, { ...empty, body: network });
  await services.tenantCreate(admin, { ...empty, body: { name: 'a', isolation: 'segment' } });
  await services.segmentCreate(admin, { params: { tenant: 'a' }, query: {}, body: { name: 's' } });
  const machines: Machine[] = [];
  for (const [index, growth] of growths.entries()) {
    const name = `h${index + 1}`;
    const address = `192.168.0.${index + 1}`;
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
        const cancel = hub.subscribe({ host }, since, {
          send: (event) => {
            if (event.type !== 'behind') onEvent(event);
            return true;
          },
          drained: () => undefined,
          close: () => undefined,
        });
        machine.connected(() => {
          cancel();
          onDown(new RomanaError('unavailable', 'cut off'));
        });
        return cancel;
      },
    };
    const agent = new Agent({
      host,
      version: 'test',
      uplinks: [],
      endpointLinks: ['rom*', 'tap*'],
      mtu: 0,
      resyncMs: 60_000,
      heartbeatMs: 10_000,
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

  const status = () => services.status(admin, { ...empty, body: undefined });
  return {
    services,
    store,
    machines,
    show: (name) => services.hostShow(admin, { params: { name }, query: {}, body: undefined }),
    settled: async () => {
      for (;;) {
        const { hosts } = await status();
        if (hosts.every((one, index) => one.current || machines[index]?.online === false)) return;
        await pause(5);
      }
    },
    dispose: async () => {
      for (const { agent } of machines) await agent?.stop();
      hub.close();
      store.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
