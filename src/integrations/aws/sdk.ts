/** The provider's API on its SDK: pages, shapes, names of errors. The SDK tries once; `retry` does the rest, call by call. */
import { type Cidr, formatAddress, formatCidr, tryParseAddress, tryParseCidr } from '#core/address/index.ts';
import {
  type CloudApi,
  CloudFailure,
  type CloudInstance,
  type CloudRoute,
  type CloudTable,
  type FailureKind,
} from './api.ts';
import type { Instance, Route, RouteTable } from './clients.ts';
import { type RetryWorld, retried } from './retry.ts';

export interface SdkPlace {
  readonly region: string;
  /** Null: the provider's own. */
  readonly endpoint: string | null;
}

/** Of the service `vpc`: routes per route table. */
const quotaCode = 'L-93826ACB';

export async function openSdk({ region, endpoint }: SdkPlace, retry: RetryWorld): Promise<CloudApi> {
  const sdk = await import('./clients.ts');
  const common = {
    region,
    maxAttempts: 1,
    requestHandler: { connectionTimeout: 3_000, requestTimeout: 15_000 },
    ...(endpoint === null ? {} : { endpoint }),
  };
  const ec2 = new sdk.EC2Client(common);
  const quotas = new sdk.ServiceQuotasClient(common);
  const named = <T>(action: string, call: () => Promise<T>): Promise<T> =>
    retried(retry, () => once(action, call));
  return {
    tables: async (vpc) => {
      const found = await pages(async (token) => {
        const answer = await named('DescribeRouteTables', () =>
          ec2.send(
            new sdk.DescribeRouteTablesCommand({
              Filters: [{ Name: 'vpc-id', Values: [vpc] }],
              MaxResults: 100,
              NextToken: token,
            }),
          ),
        );
        return [answer.RouteTables ?? [], answer.NextToken];
      });
      return found.map(tableOf);
    },
    instances: async (vpc) => {
      const found = await pages(async (token) => {
        const answer = await named('DescribeInstances', () =>
          ec2.send(
            new sdk.DescribeInstancesCommand({
              Filters: [{ Name: 'vpc-id', Values: [vpc] }],
              MaxResults: 1000,
              NextToken: token,
            }),
          ),
        );
        const instances = (answer.Reservations ?? []).flatMap((one) => one.Instances ?? []);
        return [instances, answer.NextToken];
      });
      return found.map(instanceOf);
    },
    impaired: async () => {
      const ids: string[] = [];
      for (const check of ['instance-status.status', 'system-status.status']) {
        const found = await pages(async (token) => {
          const answer = await named('DescribeInstanceStatus', () =>
            ec2.send(
              new sdk.DescribeInstanceStatusCommand({
                Filters: [{ Name: check, Values: ['impaired'] }],
                MaxResults: 1000,
                NextToken: token,
              }),
            ),
          );
          return [answer.InstanceStatuses ?? [], answer.NextToken];
        });
        ids.push(...found.flatMap(({ InstanceId }) => InstanceId ?? []));
      }
      return new Set(ids);
    },
    quota: async () => {
      const answer = await named('GetServiceQuota', () =>
        quotas.send(new sdk.GetServiceQuotaCommand({ ServiceCode: 'vpc', QuotaCode: quotaCode })),
      );
      const value = answer.Quota?.Value;
      if (value === undefined || !(value >= 1))
        throw new CloudFailure('refused', 'GetServiceQuota', 'NoValue', 'The quota has no value.');
      return Math.floor(value);
    },
    createRoute: async (table, cidr, target) => {
      const input = { RouteTableId: table, ...destination(cidr), ...targetOf('CreateRoute', target) };
      await named('CreateRoute', () => ec2.send(new sdk.CreateRouteCommand(input)));
    },
    replaceRoute: async (table, cidr, target) => {
      const input = { RouteTableId: table, ...destination(cidr), ...targetOf('ReplaceRoute', target) };
      await named('ReplaceRoute', () => ec2.send(new sdk.ReplaceRouteCommand(input)));
    },
    deleteRoute: async (table, cidr) => {
      const input = { RouteTableId: table, ...destination(cidr) };
      await named('DeleteRoute', () => ec2.send(new sdk.DeleteRouteCommand(input)));
    },
    letForward: async (networkInterface) => {
      const input = { NetworkInterfaceId: networkInterface, SourceDestCheck: { Value: false } };
      await named('ModifyNetworkInterfaceAttribute', () =>
        ec2.send(new sdk.ModifyNetworkInterfaceAttributeCommand(input)),
      );
    },
    close: () => {
      ec2.destroy();
      quotas.destroy();
    },
  };
}

/** No more than any account has: a server that never ends its pages must not hold us for ever. */
const mostPages = 1000;

async function pages<T>(
  page: (token: string | undefined) => Promise<[T[], string | undefined]>,
): Promise<T[]> {
  const all: T[] = [];
  let token: string | undefined;
  for (let n = 0; n < mostPages; n++) {
    const [some, next] = await page(token);
    all.push(...some);
    if (next === undefined || next === '' || next === token) return all;
    token = next;
  }
  throw new CloudFailure('refused', 'paging', 'TooManyPages', 'The answer has no last page.');
}

function tableOf(table: RouteTable): CloudTable {
  return {
    id: table.RouteTableId ?? '',
    subnets: (table.Associations ?? []).flatMap(({ SubnetId }) => SubnetId ?? []).sort(),
    main: (table.Associations ?? []).some(({ Main }) => Main === true),
    routes: (table.Routes ?? []).map(routeOf),
  };
}

function routeOf(route: Route): CloudRoute {
  const text = route.DestinationCidrBlock ?? route.DestinationIpv6CidrBlock;
  const target =
    route.NetworkInterfaceId ??
    route.TransitGatewayId ??
    route.VpcPeeringConnectionId ??
    route.NatGatewayId ??
    route.EgressOnlyInternetGatewayId ??
    route.LocalGatewayId ??
    route.CarrierGatewayId ??
    route.CoreNetworkArn ??
    route.GatewayId ??
    route.InstanceId ??
    'unknown';
  return {
    cidr: text === undefined ? null : (tryParseCidr(text) ?? null),
    target,
    counted: route.Origin !== 'EnableVgwRoutePropagation',
  };
}

const states: Readonly<Record<string, CloudInstance['state']>> = {
  pending: 'pending',
  running: 'running',
  'shutting-down': 'terminated',
  terminated: 'terminated',
  stopping: 'stopped',
  stopped: 'stopped',
};

function instanceOf(instance: Instance): CloudInstance {
  return {
    id: instance.InstanceId ?? '',
    zone: instance.Placement?.AvailabilityZone ?? '',
    state: states[instance.State?.Name ?? ''] ?? 'pending',
    interfaces: (instance.NetworkInterfaces ?? []).map((one) => ({
      id: one.NetworkInterfaceId ?? '',
      subnet: one.SubnetId ?? '',
      addresses: [
        ...(one.PrivateIpAddresses ?? []).flatMap(({ PrivateIpAddress }) => PrivateIpAddress ?? []),
        ...(one.Ipv6Addresses ?? []).flatMap(({ Ipv6Address }) => Ipv6Address ?? []),
      ].map(canonical),
      forwards: one.SourceDestCheck === false,
      first: one.Attachment?.DeviceIndex === 0,
    })),
  };
}

/** Texts of one address are one text. */
function canonical(text: string): string {
  const address = tryParseAddress(text);
  return address === undefined ? text : formatAddress(address);
}

function destination(cidr: Cidr) {
  const text = formatCidr(cidr);
  return cidr.address.family === 4 ? { DestinationCidrBlock: text } : { DestinationIpv6CidrBlock: text };
}

function targetOf(action: string, target: string) {
  switch (target.slice(0, target.indexOf('-'))) {
    case 'eni':
      return { NetworkInterfaceId: target };
    case 'tgw':
      return { TransitGatewayId: target };
    case 'pcx':
      return { VpcPeeringConnectionId: target };
    case 'vgw':
      return { GatewayId: target };
    case 'nat':
      return { NatGatewayId: target };
    default:
      throw new CloudFailure(
        'refused',
        action,
        'InvalidTarget',
        `Nothing can be routed to ${target}: state a tgw-, pcx-, vgw-, nat- or eni- identifier.`,
      );
  }
}

const kinds: Readonly<Record<string, FailureKind>> = {
  RouteAlreadyExists: 'exists',
  'InvalidRoute.NotFound': 'missing',
  'InvalidRouteTableID.NotFound': 'gone',
  'InvalidRouteTableId.NotFound': 'gone',
  'InvalidNetworkInterfaceID.NotFound': 'gone',
  'InvalidInstanceID.NotFound': 'gone',
  'InvalidTransitGatewayID.NotFound': 'gone',
  'InvalidVpcPeeringConnectionID.NotFound': 'gone',
  'InvalidVpcPeeringConnectionId.NotFound': 'gone',
  'InvalidVpnGatewayID.NotFound': 'gone',
  RouteLimitExceeded: 'full',
  UnauthorizedOperation: 'denied',
  AccessDeniedException: 'denied',
  AccessDenied: 'denied',
  AuthFailure: 'credentials',
  InvalidClientTokenId: 'credentials',
  UnrecognizedClientException: 'credentials',
  SignatureDoesNotMatch: 'credentials',
  RequestExpired: 'credentials',
  ExpiredToken: 'credentials',
  ExpiredTokenException: 'credentials',
  CredentialsProviderError: 'credentials',
  TokenProviderError: 'credentials',
};
const throttles =
  /^(RequestLimitExceeded|Throttling|ThrottlingException|ThrottledException|EC2ThrottledException|RequestThrottled|RequestThrottledException|TooManyRequestsException|SlowDown)$/;

interface SdkError {
  readonly name?: string;
  readonly code?: string;
  readonly message?: string;
  readonly $metadata?: { readonly httpStatusCode?: number };
}

async function once<T>(action: string, call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    throw failureOf(action, error);
  }
}

function failureOf(action: string, error: unknown): CloudFailure {
  if (error instanceof CloudFailure) return error;
  const { name = 'Error', code, message = '', $metadata } = error as SdkError;
  const status = $metadata?.httpStatusCode;
  // what ReplaceRoute says of a route that is not there
  const absent = name === 'InvalidParameterValue' && /no route defined/i.test(message);
  const known = absent
    ? 'missing'
    : (kinds[name] ?? (throttles.test(name) || status === 429 ? 'throttled' : undefined));
  // without an answer it is the network; with one of 500 or more it is the provider's trouble, which passes
  const kind = known ?? (status === undefined || status >= 500 ? 'unreachable' : 'refused');
  return new CloudFailure(kind, action, kind === 'unreachable' ? (code ?? name) : name, message, error);
}
