/** `romana address`: the address model on the command line, with the server's names or by arithmetic alone. */
import { type Command, Option } from 'commander';
import type { Client } from '#contract/client.ts';
import type { DecodedAddress } from '#contract/ipam.ts';
import {
  addressPlan,
  blockCidr,
  decode,
  encode,
  formatAddress,
  formatCidr,
  hostCidr,
  type Ids,
  parseAddress,
  parseCidr,
  parseLayout,
} from '#core/address/index.ts';
import { RomanaError } from '#core/errors.ts';
import { asUsage, usage } from '../exit.ts';
import { dump, formatOf, type OutputOptions, pairs } from '../output.ts';
import { readInteger } from '../values.ts';
import type { World } from '../world.ts';
import { type ClientOptions, withClient, withServer } from './common.ts';

interface Decoded {
  readonly address: string;
  readonly network: string;
  readonly ids: Ids | null;
  readonly host: string | null;
  readonly tenant: string | null;
  readonly segment: string | null;
  readonly endpoint: string | null;
  readonly hostCidr: string | null;
  readonly block: string | null;
}

interface Offline {
  readonly network?: string;
  readonly layout?: string;
}

function planOf(network: string, layout: string) {
  return asUsage(() => addressPlan(parseCidr(network), parseLayout(layout)));
}

/** The same document as the server's, without names. */
export function decodeOffline(text: string, network: string, layout: string): Decoded {
  const plan = planOf(network, layout);
  const address = asUsage(() => parseAddress(text));
  const ids = decode(plan, address);
  if (ids === undefined) {
    throw new RomanaError(
      'not_found',
      `${formatAddress(address)} is no address of ${formatCidr(plan.cidr)} with this layout.`,
    );
  }
  return {
    address: formatAddress(address),
    network: formatCidr(plan.cidr),
    ids,
    host: null,
    tenant: null,
    segment: null,
    endpoint: null,
    hostCidr: formatCidr(hostCidr(plan, ids.host)),
    block: formatCidr(blockCidr(plan, ids.host, ids.tenant, ids.segment)),
  };
}

export function encodeOffline(ids: Ids, network: string, layout: string): Decoded {
  const plan = planOf(network, layout);
  return decodeOffline(formatAddress(asUsage(() => encode(plan, ids))), network, layout);
}

/** In words, what is known of the address itself. */
function stateText(answer: DecodedAddress): string {
  const { endpoint, reservedBy, quarantinedUntil } = answer;
  const texts: Record<DecodedAddress['state'], string> = {
    used: `used by ${endpoint ?? '?'}${reservedBy === null ? '' : `, in the reserved range ${reservedBy}`}`,
    reserved: `reserved by ${reservedBy ?? '?'}: never given out`,
    quarantined: `quarantined until ${quarantinedUntil ?? '?'}: only its last owner gets it back before`,
    free: answer.allocator === 'agent' ? 'free, unless its agent has not reported it yet' : 'free',
    unassigned: 'free: nobody holds the ids in it yet',
    never: 'never given out: an id in it is 0',
    flat: 'not given out: the network is flat',
  };
  return texts[answer.state];
}

async function explain(world: World, answer: DecodedAddress, options: OutputOptions): Promise<void> {
  await write(world, answer, options);
  if (options.quiet === true || formatOf(options) !== 'table') return;
  const { host, location } = answer;
  world.out(
    pairs([
      ['state', stateText(answer)],
      ['allocator', answer.allocator],
      ['home', host],
      ['location', location === host || location === null ? location : `${location} (away from home)`],
    ]),
  );
}

async function write(world: World, decoded: Decoded, options: OutputOptions): Promise<void> {
  const format = formatOf(options);
  if (options.quiet === true) return world.out(`${decoded.address}\n`);
  if (format !== 'table') return world.out(await dump(decoded, format));
  const { ids } = decoded;
  const named = (id: number, name: string | null): string => (name === null ? String(id) : `${id} (${name})`);
  world.out(
    pairs([
      ['address', decoded.address],
      ['network', decoded.network],
      ...(ids === null
        ? []
        : ([
            ['host', named(ids.host, decoded.host)],
            ['tenant', named(ids.tenant, decoded.tenant)],
            ['segment', named(ids.segment, decoded.segment)],
            ['endpoint', named(ids.endpoint, decoded.endpoint)],
            ['host CIDR', decoded.hostCidr],
            ['block', decoded.block],
          ] as const)),
    ]),
  );
}

const parts = ['host', 'tenant', 'segment', 'endpoint'] as const;
type Parts = Readonly<Record<(typeof parts)[number], string | undefined>>;

/** Numbers are ids; anything else is a name that the server knows. */
async function resolveIds(client: Client, network: string, given: Parts): Promise<Ids> {
  const idIn = (ids: readonly { network: string; id: number }[], what: string): number => {
    const found = ids.find((id) => id.network === network);
    if (found === undefined)
      throw new RomanaError('not_found', `${what} has no id in the network ${network}.`);
    return found.id;
  };
  const read = async (part: keyof Parts, byName: (name: string) => Promise<number>): Promise<number> => {
    const text = given[part];
    if (text === undefined) throw usage(`--${part} is missing.`);
    return /^\d+$/.test(text) ? readInteger(`--${part}`, text) : byName(text);
  };
  const host = await read('host', async (name) =>
    idIn((await client.hostShow({ params: { name } })).ids, `The host ${name}`),
  );
  const tenant = await read('tenant', async (name) =>
    idIn((await client.tenantShow({ params: { name } })).ids, `The tenant ${name}`),
  );
  const segment = await read('segment', async (name) => {
    const params = { tenant: given.tenant ?? '', name };
    return idIn((await client.segmentShow({ params })).ids, `The segment ${params.tenant}/${name}`);
  });
  const endpoint = await read('endpoint', () =>
    Promise.reject(usage('--endpoint is an id, a whole number.')),
  );
  return { host, tenant, segment, endpoint };
}

export function addAddressCommands(program: Command, world: World): void {
  const address = program
    .command('address')
    .summary('Addresses and the ids in them')
    .description(
      'Take apart and put together addresses. With --network CIDR and --layout nothing is asked of a server.',
    );
  const layout = (): Option =>
    new Option('--layout <H/T/S/E>', 'Widths in bits, e.g. 8/8/4/4: work without a server');

  const decodeCommand = address
    .command('decode')
    .summary('Take an address apart and name what it belongs to')
    .argument('<address>', 'IPv4 or IPv6 address')
    .option('--network <CIDR>', 'Range of the network, with --layout')
    .addOption(layout());
  withServer(decodeCommand).action(async (text: string, options: ClientOptions & Offline) => {
    formatOf(options);
    const { network, layout: widths } = options;
    if ((network === undefined) !== (widths === undefined)) {
      throw usage('--network and --layout go together; without them the server decodes.');
    }
    if (network !== undefined && widths !== undefined)
      return write(world, decodeOffline(text, network, widths), options);
    const canonical = formatAddress(asUsage(() => parseAddress(text)));
    const answer = await withClient(world, options, (client) =>
      client.addressExplain({ params: { address: canonical } }),
    );
    await write(world, answer, options);
  });

  const explainCommand = address
    .command('explain')
    .summary('Say what an address is, who has it, and whether it can be given out')
    .description(
      'Say what an address is, who has it, and whether it can be given out. Home is the host that the address names; location is where its endpoint runs.',
    )
    .argument('<address>', 'IPv4 or IPv6 address');
  withServer(explainCommand).action(async (text: string, options: ClientOptions) => {
    formatOf(options);
    const canonical = formatAddress(asUsage(() => parseAddress(text)));
    const answer = await withClient(world, options, (client) =>
      client.addressExplain({ params: { address: canonical } }),
    );
    await explain(world, answer, options);
  });

  const encodeCommand = address
    .command('encode')
    .summary('Put ids or names together to an address')
    .requiredOption('--network <CIDR|NAME>', 'Range of the network, or its name when there is no --layout')
    .addOption(layout());
  for (const part of parts)
    encodeCommand.requiredOption(`--${part} <${part === 'endpoint' ? 'N' : 'N|NAME'}>`, `The ${part}`);
  withServer(encodeCommand).action(async (options: ClientOptions & Required<Offline> & Parts & Offline) => {
    formatOf(options);
    const { network, layout: widths } = options as ClientOptions & Offline;
    if (network === undefined) throw usage('--network is missing.');
    if (widths !== undefined) {
      const [host, tenant, segment, endpoint] = parts.map((part) =>
        readInteger(`--${part}`, options[part] ?? ''),
      );
      const ids = { host: host ?? 0, tenant: tenant ?? 0, segment: segment ?? 0, endpoint: endpoint ?? 0 };
      return write(world, encodeOffline(ids, network, widths), options);
    }
    const decoded = await withClient(world, options, async (client) => {
      const known = await client.networkShow({ params: { name: network } });
      if (known.layout === null)
        throw new RomanaError(
          'network_flat',
          `Network ${network} is flat: there are no ids in its addresses.`,
        );
      const ids = await resolveIds(client, network, options);
      const plan = addressPlan(parseCidr(known.cidr), known.layout);
      return client.addressExplain({ params: { address: formatAddress(asUsage(() => encode(plan, ids))) } });
    });
    await write(world, decoded, options);
  });
}
