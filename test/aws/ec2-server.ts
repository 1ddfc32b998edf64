/**
 * A small EC2 on a loopback port: the Query protocol with XML answers, pages, quotas, throttling, refusals, answers that are old,
 * and the quota service. It has no instances but those that a test puts in, and keeps a list of the calls that it got.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface FakeInstance {
  readonly id: string;
  readonly vpc: string;
  readonly subnet: string;
  readonly zone: string;
  state: string;
  impaired: boolean;
  readonly interfaces: FakeInterface[];
}
export interface FakeInterface {
  readonly id: string;
  readonly addresses: readonly string[];
  sourceDestCheck: boolean;
}
export interface FakeRoute {
  readonly cidr: string;
  target: string;
  readonly origin: 'CreateRouteTable' | 'CreateRoute' | 'EnableVgwRoutePropagation';
}
export interface FakeTable {
  readonly id: string;
  readonly vpc: string;
  /** Empty: the main table. */
  readonly subnets: readonly string[];
  routes: FakeRoute[];
}
export interface FakeCall {
  readonly action: string;
  readonly fields: Readonly<Record<string, string>>;
}

class Refusal extends Error {
  readonly status: number;
  readonly code: string;
  constructor(code: string, message: string, status = 400) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

export class FakeEc2 {
  readonly instances = new Map<string, FakeInstance>();
  readonly tables = new Map<string, FakeTable>();
  readonly connections = new Set<string>();
  readonly calls: FakeCall[] = [];
  quota = 50;
  /** What the quota service says, where it differs. */
  toldQuota: number | undefined;
  pageSize = 1000;
  /** So many reads of tables answer what was there before the last write. */
  staleReads = 0;
  /** By action. */
  readonly denied = new Set<string>();
  /** By action: so many calls are refused before one is served; `*` for all. */
  readonly throttled = new Map<string, number>();
  /** By action: called before the call is served. */
  readonly before = new Map<string, () => void>();
  broken = false;
  #old: string | undefined;
  readonly #server: Server;

  constructor() {
    this.#server = createServer((request, response) => void this.#handle(request, response));
  }

  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => void this.#server.close(() => resolve()));
  }

  addInstance(name: string, address: string, subnet: string, more: Partial<FakeInstance> = {}): FakeInstance {
    const instance: FakeInstance = {
      id: `i-${name}`,
      vpc: 'vpc-1',
      subnet,
      zone: `eu-test-1${subnet.at(-1)}`,
      state: 'running',
      impaired: false,
      interfaces: [{ id: `eni-${name}`, addresses: [address], sourceDestCheck: true }],
      ...more,
    };
    this.instances.set(instance.id, instance);
    return instance;
  }

  addTable(id: string, routes: readonly FakeRoute[] = [], subnets: readonly string[] = []): FakeTable {
    const local: FakeRoute = { cidr: '172.31.0.0/16', target: 'local', origin: 'CreateRouteTable' };
    const table = { id, vpc: 'vpc-1', subnets, routes: [local, ...routes] };
    this.tables.set(id, table);
    return table;
  }

  /** `cidr target`, without the VPC's own. */
  routesOf(id: string): string[] {
    const routes = this.tables.get(id)?.routes ?? [];
    return routes.flatMap(({ cidr, target }) => (target === 'local' ? [] : [`${cidr} ${target}`])).sort();
  }

  /** Calls since the last question, by action; only those that write, or all. */
  taken(all = false): string[] {
    const found = this.calls.splice(0).map(({ action }) => action);
    return all ? found : found.filter((action) => !/^(Describe|Get)/.test(action));
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks).toString();
    const target = request.headers['x-amz-target'];
    const json = typeof target === 'string';
    const fields = json ? {} : Object.fromEntries(new URLSearchParams(body));
    const action = json ? (target.split('.')[1] ?? '') : (fields['Action'] ?? '');
    this.calls.push({ action, fields });
    try {
      if (this.broken) throw new Refusal('InternalError', 'An internal error has occurred', 500);
      this.#checkSignature(request);
      this.#checkFaults(action);
      this.before.get(action)?.();
      const answer = json ? this.#quota(action, body) : this.#serve(action, fields);
      response.writeHead(200, {
        'content-type': json ? 'application/x-amz-json-1.1' : 'text/xml;charset=UTF-8',
      });
      response.end(answer);
    } catch (error) {
      const { code, message, status } =
        error instanceof Refusal ? error : new Refusal('InternalError', String(error), 500);
      response.writeHead(status, {
        'content-type': json ? 'application/x-amz-json-1.1' : 'text/xml;charset=UTF-8',
      });
      response.end(
        json
          ? JSON.stringify({ __type: code, message })
          : `<?xml version="1.0" encoding="UTF-8"?>\n<Response><Errors><Error><Code>${code}</Code><Message>${escaped(message)}</Message></Error></Errors><RequestID>req-${this.calls.length}</RequestID></Response>`,
      );
    }
  }

  #checkSignature({ headers }: IncomingMessage): void {
    const form =
      /^AWS4-HMAC-SHA256 Credential=TESTKEY\/\d{8}\/[a-z0-9-]+\/(ec2|servicequotas)\/aws4_request, SignedHeaders=[a-z0-9;-]+, Signature=[0-9a-f]{64}$/;
    if (!form.test(headers.authorization ?? '') || headers['x-amz-date'] === undefined)
      throw new Refusal('AuthFailure', 'AWS was not able to validate the provided access credentials', 401);
  }

  #checkFaults(action: string): void {
    for (const key of [action, '*']) {
      const left = this.throttled.get(key) ?? 0;
      if (left === 0) continue;
      this.throttled.set(key, left - 1);
      throw new Refusal('RequestLimitExceeded', 'Request limit exceeded.', 503);
    }
    if (!this.denied.has(action)) return;
    if (action === 'GetServiceQuota')
      throw new Refusal(
        'AccessDeniedException',
        'User is not authorized to perform: servicequotas:GetServiceQuota',
        400,
      );
    throw new Refusal(
      'UnauthorizedOperation',
      'You are not authorized to perform this operation. Encoded authorization failure message: AbCdEf0123456789',
      403,
    );
  }

  #quota(action: string, body: string): string {
    const { ServiceCode, QuotaCode } = JSON.parse(body) as Record<string, string>;
    if (action !== 'GetServiceQuota' || ServiceCode !== 'vpc' || QuotaCode !== 'L-93826ACB')
      throw new Refusal(
        'NoSuchResourceException',
        'The request failed because the specified quota was not found.',
      );
    const Value = this.toldQuota ?? this.quota;
    return JSON.stringify({
      Quota: {
        ServiceCode,
        QuotaCode,
        QuotaName: 'Routes per route table',
        Value,
        Unit: 'None',
        Adjustable: true,
      },
    });
  }

  #serve(action: string, fields: Readonly<Record<string, string>>): string {
    if (fields['Version'] !== '2016-11-15')
      throw new Refusal('InvalidParameterValue', 'The version is not known.');
    switch (action) {
      case 'DescribeRouteTables':
        return this.#describeTables(fields);
      case 'DescribeInstances':
        return this.#describeInstances(fields);
      case 'DescribeInstanceStatus':
        return this.#describeStatus(fields);
      case 'CreateRoute':
        return this.#createRoute(fields);
      case 'ReplaceRoute':
        return this.#replaceRoute(fields);
      case 'DeleteRoute':
        return this.#deleteRoute(fields);
      case 'ModifyNetworkInterfaceAttribute':
        return this.#modifyInterface(fields);
      default:
        throw new Refusal('InvalidAction', `The action ${action} is not valid for this web service.`);
    }
  }

  #describeTables(fields: Readonly<Record<string, string>>): string {
    const now = JSON.stringify([...this.tables.values()]);
    const shown = this.staleReads > 0 ? (this.#old ?? now) : now;
    const all = (JSON.parse(shown) as FakeTable[]).filter(({ vpc }) => vpc === filterOf(fields, 'vpc-id'));
    const [page, next] = this.#page(all, fields);
    if (this.staleReads > 0 && next === undefined) this.staleReads -= 1;
    return answerOf('DescribeRouteTables', setOf('routeTableSet', page.map(tableXml)), next);
  }

  #describeInstances(fields: Readonly<Record<string, string>>): string {
    const all = [...this.instances.values()].filter(({ vpc }) => vpc === filterOf(fields, 'vpc-id'));
    const [page, next] = this.#page(all, fields);
    const reservations = page.map(
      (one) => `<reservationId>r-${one.id}</reservationId>${setOf('instancesSet', [instanceXml(one)])}`,
    );
    return answerOf('DescribeInstances', setOf('reservationSet', reservations), next);
  }

  #describeStatus(fields: Readonly<Record<string, string>>): string {
    const system = fields['Filter.1.Name'] === 'system-status.status';
    const all = system
      ? []
      : [...this.instances.values()].filter((one) => one.impaired && one.state === 'running');
    const [page, next] = this.#page(all, fields);
    const items = page.map(
      ({ id }) => `<instanceId>${id}</instanceId><instanceStatus><status>impaired</status></instanceStatus>`,
    );
    return answerOf('DescribeInstanceStatus', setOf('instanceStatusSet', items), next);
  }

  #page<T>(all: readonly T[], fields: Readonly<Record<string, string>>): [readonly T[], string | undefined] {
    const from = Number(fields['NextToken']?.slice('page-'.length) ?? 0);
    const to = from + Math.min(this.pageSize, Number(fields['MaxResults'] ?? 1000));
    return [all.slice(from, to), to < all.length ? `page-${to}` : undefined];
  }

  #createRoute(fields: Readonly<Record<string, string>>): string {
    const { table, cidr } = this.#route(fields);
    const target = this.#target(fields);
    if (table.routes.some((route) => route.cidr === cidr))
      throw new Refusal('RouteAlreadyExists', `The route identified by ${cidr} already exists.`);
    const six = cidr.includes(':');
    const counted = table.routes.filter(
      (one) => one.origin !== 'EnableVgwRoutePropagation' && one.cidr.includes(':') === six,
    );
    if (counted.length >= this.quota)
      throw new Refusal('RouteLimitExceeded', `The maximum number of routes has been reached.`);
    this.#remember();
    table.routes.push({ cidr, target, origin: 'CreateRoute' });
    return answerOf('CreateRoute', '<return>true</return>');
  }

  #replaceRoute(fields: Readonly<Record<string, string>>): string {
    const { table, cidr } = this.#route(fields);
    const target = this.#target(fields);
    const found = table.routes.find((route) => route.cidr === cidr && route.origin === 'CreateRoute');
    if (found === undefined)
      throw new Refusal(
        'InvalidParameterValue',
        `There is no route defined for '${cidr}' in the route table. Use CreateRoute instead.`,
      );
    this.#remember();
    found.target = target;
    return answerOf('ReplaceRoute', '<return>true</return>');
  }

  #deleteRoute(fields: Readonly<Record<string, string>>): string {
    const { table, cidr } = this.#route(fields);
    const found = table.routes.find((route) => route.cidr === cidr && route.origin === 'CreateRoute');
    if (found === undefined)
      throw new Refusal(
        'InvalidRoute.NotFound',
        `no route with destination-cidr-block ${cidr} in route table ${table.id}`,
      );
    this.#remember();
    table.routes = table.routes.filter((route) => route !== found);
    return answerOf('DeleteRoute', '<return>true</return>');
  }

  #modifyInterface(fields: Readonly<Record<string, string>>): string {
    const found = this.#interface(fields['NetworkInterfaceId'] ?? '');
    found.sourceDestCheck = fields['SourceDestCheck.Value'] === 'true';
    return answerOf('ModifyNetworkInterfaceAttribute', '<return>true</return>');
  }

  #route(fields: Readonly<Record<string, string>>): { table: FakeTable; cidr: string } {
    const id = fields['RouteTableId'] ?? '';
    const table = this.tables.get(id);
    if (table === undefined)
      throw new Refusal('InvalidRouteTableID.NotFound', `The routeTable ID '${id}' does not exist`);
    const cidr = fields['DestinationCidrBlock'] ?? fields['DestinationIpv6CidrBlock'];
    if (cidr === undefined)
      throw new Refusal('MissingParameter', 'The request must contain the parameter destinationCidrBlock');
    return { table, cidr };
  }

  #target(fields: Readonly<Record<string, string>>): string {
    const networkInterface = fields['NetworkInterfaceId'];
    if (networkInterface !== undefined) return this.#interface(networkInterface).id;
    const connection =
      fields['TransitGatewayId'] ?? fields['VpcPeeringConnectionId'] ?? fields['GatewayId'] ?? '';
    if (this.connections.has(connection)) return connection;
    throw new Refusal(
      'InvalidTransitGatewayID.NotFound',
      `Transit Gateway ${connection} was deleted or does not exist.`,
    );
  }

  #interface(id: string): FakeInterface {
    const all = [...this.instances.values()].filter(({ state }) => state !== 'terminated');
    const found = all.flatMap(({ interfaces }) => interfaces).find((one) => one.id === id);
    if (found === undefined)
      throw new Refusal(
        'InvalidNetworkInterfaceID.NotFound',
        `The networkInterface ID '${id}' does not exist`,
      );
    return found;
  }

  #remember(): void {
    if (this.staleReads === 0 || this.#old === undefined)
      this.#old = JSON.stringify([...this.tables.values()]);
  }
}

function filterOf(fields: Readonly<Record<string, string>>, name: string): string | undefined {
  return fields['Filter.1.Name'] === name ? fields['Filter.1.Value.1'] : undefined;
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

function setOf(name: string, items: readonly string[]): string {
  return `<${name}>${items.map((item) => `<item>${item}</item>`).join('')}</${name}>`;
}

function answerOf(action: string, content: string, next?: string): string {
  const token = next === undefined ? '' : `<nextToken>${next}</nextToken>`;
  return `<?xml version="1.0" encoding="UTF-8"?>\n<${action}Response xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>req</requestId>${content}${token}</${action}Response>`;
}

function tableXml({ id, vpc, subnets, routes }: FakeTable): string {
  const items = routes.map(({ cidr, target, origin }) => {
    const destination = cidr.includes(':')
      ? `<destinationIpv6CidrBlock>${cidr}</destinationIpv6CidrBlock>`
      : `<destinationCidrBlock>${cidr}</destinationCidrBlock>`;
    return `${destination}${targetXml(target)}<state>active</state><origin>${origin}</origin>`;
  });
  const associations =
    subnets.length === 0
      ? ['<main>true</main>']
      : subnets.map((subnet) => `<subnetId>${subnet}</subnetId><main>false</main>`);
  return `<routeTableId>${id}</routeTableId><vpcId>${vpc}</vpcId>${setOf('routeSet', items)}${setOf('associationSet', associations)}<tagSet/>`;
}

function targetXml(target: string): string {
  if (target.startsWith('eni-'))
    return `<networkInterfaceId>${target}</networkInterfaceId><instanceId>i-of-${target}</instanceId>`;
  if (target.startsWith('tgw-')) return `<transitGatewayId>${target}</transitGatewayId>`;
  if (target.startsWith('pcx-')) return `<vpcPeeringConnectionId>${target}</vpcPeeringConnectionId>`;
  if (target.startsWith('nat-')) return `<natGatewayId>${target}</natGatewayId>`;
  return `<gatewayId>${target}</gatewayId>`;
}

function instanceXml({ id, vpc, subnet, zone, state, interfaces }: FakeInstance): string {
  // of a terminated instance nothing is left but its name
  const shown = state === 'terminated' ? [] : interfaces;
  const items = shown.map((one, index) => {
    const [first = ''] = one.addresses;
    const four = one.addresses.filter((address) => !address.includes(':'));
    const six = one.addresses.filter((address) => address.includes(':'));
    return [
      `<networkInterfaceId>${one.id}</networkInterfaceId><subnetId>${subnet}</subnetId><vpcId>${vpc}</vpcId>`,
      `<privateIpAddress>${first}</privateIpAddress><sourceDestCheck>${one.sourceDestCheck}</sourceDestCheck>`,
      `<attachment><attachmentId>at-${one.id}</attachmentId><deviceIndex>${index}</deviceIndex><status>attached</status></attachment>`,
      setOf(
        'privateIpAddressesSet',
        four.map((address) => `<privateIpAddress>${address}</privateIpAddress>`),
      ),
      setOf(
        'ipv6AddressesSet',
        six.map((address) => `<ipv6Address>${address}</ipv6Address>`),
      ),
    ].join('');
  });
  return [
    `<instanceId>${id}</instanceId><instanceState><code>16</code><name>${state}</name></instanceState>`,
    `<placement><availabilityZone>${zone}</availabilityZone></placement>`,
    setOf('networkInterfaceSet', items),
  ].join('');
}
