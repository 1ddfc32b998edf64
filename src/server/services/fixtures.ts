/** Short ways to make objects in tests, with the defaults that validation would fill in. */
import type { Endpoint, Host, Network, Segment, Tenant } from '#contract/model.ts';
import { admin, agentOf } from '../testing.ts';
import type { Input, Services } from './types.ts';

type Body<K extends 'networkCreate' | 'hostCreate' | 'tenantCreate' | 'segmentCreate' | 'endpointCreate'> =
  Input<K>['body'];

/** The worked example: host 1 is 10.1.0.0/16, its tenant 1 10.1.1.0/24, segment 1 of it 10.1.1.16/28. */
export function network(
  services: Services,
  name: string,
  more: Partial<Body<'networkCreate'>> = {},
): Promise<Network> {
  const body = {
    name,
    cidr: '10.0.0.0/8',
    layout: { host: 8, tenant: 8, segment: 4, endpoint: 4 },
    infrastructure: 'deny',
    reserved: [],
    quarantineSeconds: 30,
    ...more,
  } as const;
  return services.networkCreate(admin, {
    params: {},
    query: {},
    body: { ...body, reserved: [...body.reserved] },
  });
}

export const six = { cidr: 'fd10::/16', layout: { host: 16, tenant: 16, segment: 16, endpoint: 64 } };

/** Without an address of its own: 192.0.2.n, n from the digits in its name. */
export function host(
  services: Services,
  name: string,
  more: Partial<Body<'hostCreate'>> = {},
): Promise<Host> {
  const body = {
    name,
    addresses: [`192.0.2.${name.replace(/\D/g, '') || '250'}`],
    group: null,
    allocator: 'agent' as const,
    labels: {},
    ...more,
  };
  return services.hostCreate(admin, { params: {}, query: {}, body });
}

/** Deletes a host whose agent joined, without its agent. */
export async function bury(services: Services, name: string): Promise<void> {
  const params = { name };
  await services.hostDelete(admin, { params, query: { dead: true }, body: undefined });
  await services.hostFence(admin, { params, query: {}, body: { confirmOff: true } });
}

export function tenant(
  services: Services,
  name: string,
  more: Partial<Body<'tenantCreate'>> = {},
): Promise<Tenant> {
  return services.tenantCreate(admin, {
    params: {},
    query: {},
    body: { name, isolation: 'segment', ...more },
  });
}

export function segment(services: Services, tenantName: string, name: string, id?: number): Promise<Segment> {
  return services.segmentCreate(admin, { params: { tenant: tenantName }, query: {}, body: { name, id } });
}

export function endpoint(
  services: Services,
  key: string,
  more: Partial<Body<'endpointCreate'>> = {},
): Promise<Endpoint> {
  const [tenantName = '', segmentName = '', name = ''] = key.split('/');
  return services.endpointCreate(admin, {
    params: { tenant: tenantName, segment: segmentName },
    query: {},
    body: { name, host: 'h1', attachment: { kind: 'none' }, sourcePrefixes: [], ...more },
  });
}

export function byKey(key: string) {
  const [tenantName = '', segmentName = '', name = ''] = key.split('/');
  return { params: { tenant: tenantName, segment: segmentName, name }, query: {}, body: undefined };
}

/** What the agent of a host says, with the defaults that validation would fill in: nothing new. */
export function agentReport(
  services: Pick<Services, 'hostReport'>,
  name: string,
  more: Partial<Input<'hostReport'>['body']> = {},
): ReturnType<Services['hostReport']> {
  return services.hostReport(agentOf(name), {
    params: { name },
    query: {},
    body: {
      applied: null,
      acknowledged: null,
      problems: [],
      version: '1',
      registered: [],
      phases: [],
      gone: [],
      holds: 0,
      orphans: [],
      ...more,
    },
  });
}
