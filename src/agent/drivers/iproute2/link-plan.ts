/** Whose a link is, what its alias says, and which attachments cannot be used: pure decisions from one dump. */
import { createHash } from 'node:crypto';
import { type Address, equalAddress, formatAddress } from '#core/address/index.ts';
import { RomanaError } from '#core/errors.ts';
import type { KernelFiles } from '../../files.ts';
import { ALIAS_PREFIX, LINK_GROUP, LINK_PREFIX } from '../../owned.ts';
import type { DesiredLink, DesiredLinks } from '../../ports.ts';
import { isPlainWord } from './batch.ts';
import type { DumpedAddress, DumpedLink } from './dump.ts';

/** Metric of the prefix route of our fe80::1. Others use fe80::1 too (Docker's bridge); by this we know ours again. */
export const GATEWAY6_METRIC = 82;
const ALIAS_MAX = 255;

export interface LinkPlan {
  readonly want: DesiredLink;
  /** As dumped; `undefined`: to be made. */
  readonly host: DumpedLink | undefined;
  /** `remake`: there is an own link of that name that is half-made or leads elsewhere. `finish`: made, but its inside failed. */
  readonly action: 'keep' | 'make' | 'remake' | 'finish';
  /** Namespace and link name of the other end, if it is ours to configure. */
  readonly inside: { readonly path: string; readonly ifname: string; readonly inode: string } | null;
  /** What the alias of a finished link is; null: somebody else made the link. */
  readonly alias: string | null;
}

export interface LinkPlans {
  readonly plans: readonly LinkPlan[];
  /** Links of ours that nobody wants. */
  readonly strays: readonly DumpedLink[];
  readonly failures: Map<string, RomanaError>;
}

/** Ours by name and by alias, or by group while the alias is not written yet. */
export function isOwnLink(link: Pick<DumpedLink, 'name' | 'alias' | 'group'>): boolean {
  if (!link.name.startsWith(LINK_PREFIX)) return false;
  return link.alias === '' ? link.group === String(LINK_GROUP) : link.alias.startsWith(ALIAS_PREFIX);
}

/**
 * `romana tenant/segment/name @INODE IFNAME HASH`: the endpoint for people, then what the driver compares: where the other end is
 * (an inode names a namespace as long as that lives, and the pair dies with it), its name, and what was configured in there.
 */
export function fullAlias(
  want: DesiredLink,
  inode: string,
  ifname: string,
  gateways: readonly Address[],
): string {
  const content = [...want.addresses, ...gateways].map(formatAddress).sort().join(' ');
  const hash = createHash('sha256').update(content).digest('hex').slice(0, 10);
  const rest = ` @${inode} ${ifname} ${hash}`;
  return (ALIAS_PREFIX + want.endpoint).slice(0, ALIAS_MAX - rest.length) + rest;
}

export function hasFamily(want: DesiredLink, family: 4 | 6): boolean {
  return want.addresses.some((address) => address.family === family);
}

export function isGateway6(entry: DumpedAddress, gateway6: Address): boolean {
  return entry.length === 64 && equalAddress(entry.address, gateway6);
}

export function isOwnGateway6(entry: DumpedAddress, gateway6: Address): boolean {
  return entry.metric === GATEWAY6_METRIC && isGateway6(entry, gateway6);
}

/** `made`: link → inode, for pairs that this driver made but could not finish; anew they would only be made and fail again. */
export function planLinks(
  desired: DesiredLinks,
  dump: readonly DumpedLink[],
  files: KernelFiles,
  made: ReadonlyMap<string, string>,
): LinkPlans {
  const byName = new Map(dump.map((link) => [link.name, link]));
  const failures = new Map<string, RomanaError>();
  const plans: LinkPlan[] = [];
  const taken = new Map<string, string>();
  for (const want of desired.links) {
    const owner = taken.get(want.link);
    if (owner === undefined) taken.set(want.link, want.endpoint);
    const plan =
      owner === undefined
        ? planLink(want, byName.get(want.link), desired, files, made)
        : new RomanaError('conflict', `Link ${want.link} belongs to endpoint ${owner} already.`);
    if (plan instanceof RomanaError) failures.set(want.endpoint, plan);
    else plans.push(plan);
  }
  return { plans, failures, strays: dump.filter((link) => isOwnLink(link) && !taken.has(link.name)) };
}

function planLink(
  want: DesiredLink,
  host: DumpedLink | undefined,
  desired: DesiredLinks,
  files: KernelFiles,
  made: ReadonlyMap<string, string>,
): LinkPlan | RomanaError {
  const { attachment } = want;
  if (!isPlainWord(want.link) || want.link === 'lo')
    return invalid(`Link ${want.link} cannot be an endpoint's link.`);
  if (attachment.kind === 'existing-link') {
    return checkExisting(want, host) ?? { want, host, action: 'keep', inside: null, alias: null };
  }
  const { netns: path, ifname } = attachment;
  if (!isPlainWord(path))
    return invalid(`The path ${path} of a network namespace may hold no blank, quote, # or backslash.`);
  if (!isPlainWord(ifname) || ifname === 'lo')
    return invalid(`Link ${ifname} in ${path} cannot be an endpoint's link.`);
  const inode = files.inode(path);
  if (inode === undefined) {
    return invalid(
      `The network namespace ${path} does not exist; create it, or remove the endpoint ${want.endpoint}.`,
    );
  }
  const inside = { path, ifname, inode };
  if (attachment.kind === 'existing-netns-peer') {
    return checkExisting(want, host) ?? { want, host, action: 'keep', inside, alias: null };
  }
  const alias = fullAlias(want, inode, ifname, [desired.gateway4, desired.gateway6]);
  if (host === undefined) return { want, host, action: 'make', inside, alias };
  if (!isOwnLink(host)) {
    return new RomanaError(
      'conflict',
      `There is a link ${want.link} that Romana did not make; remove or rename it.`,
    );
  }
  if (host.alias === alias) return { want, host, action: 'keep', inside, alias };
  const unfinished = host.alias === '' && made.get(want.link) === `${inode} ${alias}`;
  return { want, host, action: unfinished ? 'finish' : 'remake', inside, alias };
}

function checkExisting(want: DesiredLink, host: DumpedLink | undefined): RomanaError | undefined {
  if (host === undefined) {
    return invalid(`Link ${want.link} of endpoint ${want.endpoint} does not exist; create it first.`);
  }
  if (host.master !== null) {
    return invalid(
      `Link ${want.link} is a port of ${host.master}; take it out, endpoints are routed and not bridged.`,
    );
  }
  return undefined;
}

export function invalid(message: string): RomanaError {
  return new RomanaError('attachment_invalid', message);
}
