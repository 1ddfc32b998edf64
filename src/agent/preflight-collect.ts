/** Collects what `preflight` judges, changing nothing: the one rule set that is loaded goes into a namespace of its own. */
import type { Address, Cidr } from '#core/address/index.ts';
import { isRomanaError } from '#core/errors.ts';
import { dumpRoutes } from './drivers/iproute2/dump.ts';
import { createKernelFacts } from './drivers/iproute2/facts.ts';
import { packageOf, type Runner } from './exec.ts';
import type { KernelFiles } from './files.ts';
import { NFT_FAMILY, NFT_MARKER_CHAIN, NFT_TABLE, ROUTE_PROTOCOL } from './owned.ts';
import type { PreflightFacts } from './preflight.ts';

export interface PreflightSubject {
  readonly networks: readonly { readonly name: string; readonly cidr: Cidr }[];
  readonly nodeAddresses: readonly Address[];
  readonly now: number;
}

const CAP_NET_ADMIN = 12n;

/** One of each kind of thing that our table is made of. */
const PROBE = `table inet romana_probe {
  set sources { type ifname . ipv4_addr; elements = { "rom0" . 10.1.1.3 }; }
  set cut { type ipv6_addr . ipv6_addr . inet_proto . inet_service . inet_service; flags timeout; }
  map pairs { type ipv4_addr . ipv4_addr : verdict; elements = { 10.0.1.16 . 10.0.1.16 : accept }; }
  chain early { type filter hook prerouting priority -300; policy accept; iifname "rom*" iifname . ip saddr != @sources drop; }
  chain forward { type filter hook forward priority 0; policy accept; ct state established accept;
    ip saddr & 255.0.255.240 . ip daddr & 255.0.255.240 vmap @pairs; }
}
`;

export async function collectPreflight(
  runner: Runner,
  files: KernelFiles,
  subject: PreflightSubject,
): Promise<PreflightFacts> {
  const programs = await Promise.all([
    programFact(runner, 'ip', '-V'),
    programFact(runner, 'nft', '--version'),
    programFact(runner, 'conntrack', '--version'),
    programFact(runner, 'nsenter', '--version'),
    programFact(runner, 'setpriv', '--version'),
  ]);
  const has = (name: string): boolean =>
    programs.some((program) => program.name === name && program.version !== null);
  const chains = has('nft') ? await listChains(runner) : [];
  const host = has('ip')
    ? await createKernelFacts(runner, files).read()
    : { links: [], defaultRoutes: [], forwarding: { 4: false, 6: false } };
  const routes = has('ip') ? await dumpRoutes(runner, ['table', 'all']) : [];
  const number = (path: string, otherwise: number): number => Number(files.read(path) ?? otherwise);
  const max = number('/proc/sys/net/netfilter/nf_conntrack_max', 0);
  return {
    programs,
    netAdmin: hasNetAdmin(files),
    tableProblem: has('nft') ? await probeTable(runner) : null,
    host,
    routes: routes
      .filter(({ table, type, protocol }) => table === 'main' && type === 'unicast' && protocol !== 'kernel')
      .filter(({ protocol }) => protocol !== String(ROUTE_PROTOCOL))
      .map(({ cidr, protocol, link }) => ({ cidr, protocol, link })),
    networks: subject.networks,
    // Without `ip` no link is known; that program's absence is finding enough.
    nodeAddresses: has('ip') ? subject.nodeAddresses : [],
    sysctls: {
      arpIgnoreAll: number('/proc/sys/net/ipv4/conf/all/arp_ignore', 0),
      rpFilterAll: number('/proc/sys/net/ipv4/conf/all/rp_filter', 0),
      acceptRa: new Map(
        host.links.map(({ name }) => [name, number(`/proc/sys/net/ipv6/conf/${name}/accept_ra`, 1)]),
      ),
    },
    conntrack: max === 0 ? null : { count: number('/proc/sys/net/netfilter/nf_conntrack_count', 0), max },
    dropChains: chains
      .filter(
        ({ hook, policy, table, family }) =>
          hook === 'forward' && policy === 'drop' && !isOurs(family, table),
      )
      .map(({ family, table, name }) => `${family} ${table} ${name}`),
    table: tableFact(chains, has('nft') ? await listTables(runner) : []),
    now: subject.now,
  };
}

async function programFact(
  runner: Runner,
  name: string,
  flag: string,
): Promise<PreflightFacts['programs'][number]> {
  const debianPackage = packageOf(name);
  try {
    const { stdout, stderr } = await runner([name, flag], { okCodes: 'any' });
    const version = /\d+\.[\d.]*\d/.exec(stdout + stderr)?.[0] ?? 'unknown';
    return { name, debianPackage, version };
  } catch (error) {
    if (!isRomanaError(error)) throw error;
    return { name, debianPackage, version: null };
  }
}

function hasNetAdmin(files: KernelFiles): boolean {
  const bits = /^CapEff:\s*([0-9a-f]+)$/m.exec(files.read('/proc/self/status') ?? '')?.[1] ?? '0';
  return ((BigInt(`0x${bits}`) >> CAP_NET_ADMIN) & 1n) === 1n;
}

async function probeTable(runner: Runner): Promise<string | null> {
  try {
    await runner(['unshare', '--net', '--', 'nft', '-f', '-'], { stdin: PROBE });
    return null;
  } catch (error) {
    return isRomanaError(error) ? error.message : String(error);
  }
}

interface ChainEntry {
  readonly family: string;
  readonly table: string;
  readonly name: string;
  readonly hook?: string;
  readonly policy?: string;
}

async function listChains(runner: Runner): Promise<ChainEntry[]> {
  return (await list<{ chain?: ChainEntry }>(runner, 'chains')).flatMap(({ chain }) =>
    chain === undefined ? [] : [chain],
  );
}

async function listTables(runner: Runner): Promise<{ family: string; name: string }[]> {
  const entries = await list<{ table?: { family: string; name: string } }>(runner, 'tables');
  return entries.flatMap(({ table }) => (table === undefined ? [] : [table]));
}

/** Without the privilege nothing can be listed; that is a finding of its own. */
async function list<T>(runner: Runner, what: string): Promise<T[]> {
  const { code, stdout } = await runner(['nft', '-j', 'list', what], { okCodes: 'any' });
  if (code !== 0) return [];
  const value = JSON.parse(stdout) as { nftables?: T[] };
  return value.nftables ?? [];
}

function isOurs(family: string, table: string): boolean {
  return family === NFT_FAMILY && table === NFT_TABLE;
}

function tableFact(
  chains: readonly ChainEntry[],
  tables: readonly { readonly family: string; readonly name: string }[],
): PreflightFacts['table'] {
  if (!tables.some(({ family, name }) => isOurs(family, name))) return 'absent';
  return chains.some(({ family, table, name }) => isOurs(family, table) && name === NFT_MARKER_CHAIN)
    ? 'ours'
    : 'foreign';
}
