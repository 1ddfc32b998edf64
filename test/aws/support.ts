/** A control plane with a VPC: the store and services as a server has them, the real SDK, a small EC2 behind it. */

import type { Random, Timers } from '#core/ports.ts';
import { createVpcControl, type VpcTerms } from '../../src/integrations/aws/index.ts';
import { createServices, type Services } from '../../src/server/services/index.ts';
import { confirmTables } from '../../src/server/services/vpc.ts';
import { admin, agentOf, silentLog, type World, world } from '../../src/server/testing.ts';
import { FakeEc2 } from './ec2-server.ts';

// what the standard chain of the SDK finds first; never a real key
process.env['AWS_ACCESS_KEY_ID'] = 'TESTKEY';
process.env['AWS_SECRET_ACCESS_KEY'] = 'test-secret';
process.env['AWS_EC2_METADATA_DISABLED'] = 'true';
delete process.env['AWS_PROFILE'];
delete process.env['AWS_SESSION_TOKEN'];

/** Nothing is waited for. */
const hasty: Timers = {
  after: (_, fn) => {
    const timer = setTimeout(fn, 0);
    return () => clearTimeout(timer);
  },
};
const random: Random = {
  bytes: (n) => new Uint8Array(n),
  uuid: () => crypto.randomUUID(),
  fraction: () => 0.5,
};

export interface VpcWorld {
  readonly ec2: FakeEc2;
  readonly endpoint: string;
  readonly world: World;
  readonly control: ReturnType<typeof createVpcControl>;
  /** Services of a server that keeps the tables. */
  readonly services: Services;
  /** A further server on the same store. */
  another(holder?: string): ReturnType<typeof createVpcControl>;
  addHost(name: string, zone: number, last: number): Promise<void>;
  report(...hosts: string[]): Promise<void>;
  /** A round, after so much time. */
  later(ms?: number): Promise<void>;
  dispose(): Promise<void>;
}

export interface VpcSetup {
  readonly zones?: number;
  readonly budget?: number;
  readonly tables?: readonly string[];
  readonly terms?: Partial<VpcTerms>;
  readonly fabric?: object;
}

export function group(name: string): object {
  return { name, assignment: { zone: name } };
}

export async function vpcWorld(setup: VpcSetup = {}): Promise<VpcWorld> {
  const { zones = 2, budget, tables = ['rtb-a'], terms = {}, fabric = {} } = setup;
  const ec2 = new FakeEc2();
  const endpoint = await ec2.listen();
  for (const id of tables) ec2.addTable(id);
  const inner = world();
  const { services, store, clock, fabric: reports } = inner;
  const topologies = [
    {
      networks: ['net1'],
      fabric: {
        kind: 'vpc',
        region: 'eu-test-1',
        vpc: 'vpc-1',
        endpoint,
        ...(budget === undefined ? {} : { budget }),
        ...fabric,
      },
      map: Array.from({ length: zones }, (_, zone) => group(`zone-${'abc'[zone]}`)),
    },
  ];
  const networks = [{ name: 'net1', cidr: '100.64.0.0/10', layout: '6/8/4/4' }];
  await services.topologyApply(admin, { params: {}, query: {}, body: { networks, topologies } });
  const parts = {
    store,
    clock,
    timers: hasty,
    random,
    log: silentLog,
    heard: (host: { name: string; uid: string }) => reports.heard(host),
    routed: (name: string, revision: number) => confirmTables(services, name, revision),
  };
  const controls: ReturnType<typeof createVpcControl>[] = [];
  const another = (holder?: string) => {
    const made = createVpcControl(holder === undefined ? parts : { ...parts, holder }, terms);
    controls.push(made);
    return made;
  };
  const control = another();
  return {
    ec2,
    endpoint,
    world: inner,
    services: createServices({ store, clock, random, log: silentLog, fabric: reports, vpc: control }),
    control,
    another,
    addHost: async (name, zone, last) => {
      const address = `172.31.${zone}.${last}`;
      ec2.addInstance(name, address, `subnet-${'abc'[zone]}`);
      const body = {
        name,
        addresses: [address],
        group: `zone-${'abc'[zone]}`,
        allocator: 'agent',
        labels: {},
      };
      await services.hostCreate(admin, { params: {}, query: {}, body: body as never });
      await inner.join(name);
    },
    report: async (...hosts) => {
      for (const name of hosts) {
        const body = { applied: null, problems: [], version: 'test', registered: [], phases: [], gone: [] };
        await services.hostReport(agentOf(name), { params: { name }, query: {}, body: body as never });
      }
    },
    later: async (ms = 10_000) => {
      clock.time += ms;
      await control.round();
    },
    dispose: async () => {
      for (const one of controls) await one.stop();
      await ec2.close();
      inner.dispose();
    },
  };
}
