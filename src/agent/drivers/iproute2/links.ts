/**
 * The link driver. One dump, then at most three batches on the host and one per namespace that is wired:
 *
 *     remove strays and make pairs → sysctls → set up (address, MTU) → insides → finish (alias, changed MTU)
 *
 * The alias is the last write of a new pair: whoever finds a pair of ours without it knows that it is half-made.
 */
import { equalAddress, formatAddress } from '#core/address/index.ts';
import { isRomanaError, RomanaError } from '#core/errors.ts';
import type { Runner } from '../../exec.ts';
import type { KernelFiles } from '../../files.ts';
import { LINK_GROUP } from '../../owned.ts';
import type { ApplyResult, Change, DesiredLinks, LinkDriver } from '../../ports.ts';
import { type BatchLine, GONE, runBatch } from './batch.ts';
import { type DumpedLink, dumpLinks } from './dump.ts';
import { insideOf, wireInside } from './inside.ts';
import {
  GATEWAY6_METRIC,
  hasFamily,
  invalid,
  isGateway6,
  isOwnGateway6,
  isOwnLink,
  type LinkPlan,
  planLinks,
} from './link-plan.ts';
import { inspectLinks } from './link-status.ts';
import { serially } from './serially.ts';
import { applySysctls, forwardingSysctls, linkSysctls } from './sysctls.ts';

/** How many namespaces are wired at a time: each is one short process. */
const INSIDES_AT_A_TIME = 8;
/** Under these keys stand the failures that belong to no endpoint. */
export const GATEWAY_FAILURE = 'gateway';
export const FORWARDING_FAILURE = 'forwarding';

interface Memory {
  /** Pairs made but not finished: link → inode and alias. */
  readonly made: Map<string, string>;
  /** Insides of links that others made: link → what was found or made right there. */
  readonly checked: Map<string, string>;
}

export function createLinkDriver(runner: Runner, files: KernelFiles): LinkDriver {
  const oneAtATime = serially();
  const memory: Memory = { made: new Map(), checked: new Map() };
  return {
    apply: (desired) => oneAtATime(() => apply(runner, files, memory, desired)),
    inspect: (desired) => oneAtATime(() => inspectLinks(runner, files, desired)),
  };
}

async function apply(
  runner: Runner,
  files: KernelFiles,
  memory: Memory,
  desired: DesiredLinks,
): Promise<ApplyResult> {
  const dump = await dumpLinks(runner);
  const { plans, strays, failures } = planLinks(desired, dump, files, memory.made);
  const changes: Change[] = [];
  const batch = async (lines: readonly BatchLine[]): Promise<void> => {
    if (lines.length === 0) return;
    const result = await runBatch(runner, lines);
    changes.push(...result.changes);
    for (const [owner, error] of result.failures) if (!failures.has(owner)) failures.set(owner, error);
  };
  const attempt = (owner: string, write: () => Change[]): void => {
    if (failures.has(owner)) return;
    try {
      changes.push(...write());
    } catch (error) {
      if (!isRomanaError(error)) throw error;
      failures.set(owner, error);
    }
  };
  const sound = ({ want }: LinkPlan): boolean => !failures.has(want.endpoint);

  attempt(FORWARDING_FAILURE, () => applySysctls(files, forwardingSysctls(desired.families)));
  await batch([
    ...gatewayLines(desired, dump),
    ...strays.map(removeLine),
    ...staleGateways(desired, dump, plans),
    ...plans.flatMap(makeLines),
  ]);
  for (const plan of plans) {
    const error = failures.get(plan.want.endpoint);
    if (error !== undefined) failures.set(plan.want.endpoint, explain(plan, error));
    else if (isNew(plan)) memory.made.set(plan.want.link, `${plan.inside?.inode ?? ''} ${plan.alias ?? ''}`);
  }
  for (const { want } of plans) {
    attempt(want.endpoint, () => applySysctls(files, linkSysctls(want.link, hasFamily(want, 6))));
  }
  await batch(plans.filter(sound).flatMap((plan) => setUpLines(plan, desired)));
  const insides = plans.filter(sound).filter((plan) => needsInside(plan, memory));
  await inParallel(insides, INSIDES_AT_A_TIME, async (plan) => {
    const error = await wire(runner, plan, desired, changes);
    if (error !== undefined) failures.set(plan.want.endpoint, error);
    else if (plan.alias === null) memory.checked.set(plan.want.link, insideKey(plan));
  });
  const finishing = plans.filter(sound);
  await batch(finishing.flatMap(finishLines));
  for (const plan of finishing.filter(sound)) memory.made.delete(plan.want.link);
  forget(memory, desired);
  return { changes, failures };
}

async function wire(
  runner: Runner,
  plan: LinkPlan,
  desired: DesiredLinks,
  changes: Change[],
): Promise<RomanaError | undefined> {
  try {
    const inside = insideOf(plan, desired);
    if (inside === null) return undefined;
    const result = await wireInside(runner, inside, isNew(plan));
    changes.push(...result.changes);
    return result.error;
  } catch (error) {
    // The namespace went away meanwhile, or a tool failed in it: a matter of this endpoint alone.
    return isRomanaError(error) ? error : new RomanaError('internal', String(error), { cause: error });
  }
}

function isNew({ action }: LinkPlan): boolean {
  return action === 'make' || action === 'remake';
}

function needsInside(plan: LinkPlan, memory: Memory): boolean {
  if (plan.inside === null) return false;
  if (plan.alias === null) return memory.checked.get(plan.want.link) !== insideKey(plan);
  return plan.action !== 'keep' || plan.host?.mtu !== plan.want.mtu;
}

function insideKey({ want, host, inside }: LinkPlan): string {
  return [host?.index, inside?.inode, inside?.ifname, ...want.addresses.map(formatAddress)].join(' ');
}

/** 169.254.1.1/32 with scope link on lo is ours; it goes when IPv4 is forwarded no more. */
function gatewayLines({ gateway4, families }: DesiredLinks, dump: readonly DumpedLink[]): BatchLine[] {
  const text = `${formatAddress(gateway4)}/32`;
  const held = dump
    .find(({ name }) => name === 'lo')
    ?.addresses.find((entry) => entry.length === 32 && equalAddress(entry.address, gateway4));
  const object = `${text} dev lo`;
  const owner = GATEWAY_FAILURE;
  const words = [text, 'dev', 'lo'];
  if (families.includes(4)) {
    if (held !== undefined) return [];
    const change = { action: 'create', kind: 'address', object } as const;
    return [{ words: ['address', 'add', ...words, 'scope', 'link'], owner, change }];
  }
  if (held?.scope !== 'link') return [];
  const change = { action: 'remove', kind: 'address', object } as const;
  return [{ words: ['address', 'del', ...words], owner, change, harmless: GONE }];
}

function removeLine(link: Pick<DumpedLink, 'name'>): BatchLine {
  return {
    words: ['link', 'del', 'dev', link.name],
    owner: link.name,
    change: { action: 'remove', kind: 'link', object: link.name },
    harmless: GONE,
  };
}

/** Our fe80::1 on links that are no endpoint's any more, or of one that has lost its IPv6 address. */
function staleGateways(
  desired: DesiredLinks,
  dump: readonly DumpedLink[],
  plans: readonly LinkPlan[],
): BatchLine[] {
  const wanted = new Set(desired.links.filter((want) => hasFamily(want, 6)).map(({ link }) => link));
  const goes = new Set(plans.filter(({ action }) => action === 'remake').map(({ want }) => want.link));
  return dump
    .filter(({ name }) => !wanted.has(name) && !goes.has(name))
    .filter((link) => !isOwnLink(link) || desired.links.some((want) => want.link === link.name))
    .filter(({ addresses }) => addresses.some((entry) => isOwnGateway6(entry, desired.gateway6)))
    .map(({ name }) => {
      const object = `${formatAddress(desired.gateway6)}/64 dev ${name}`;
      return {
        words: ['address', 'del', ...object.split(' ')],
        owner: name,
        change: { action: 'remove', kind: 'address', object },
        harmless: GONE,
      };
    });
}

function makeLines(plan: LinkPlan): BatchLine[] {
  const { want, inside } = plan;
  if (!isNew(plan) || inside === null) return [];
  const add: BatchLine = {
    words:
      `link add ${want.link} mtu ${want.mtu} group ${LINK_GROUP} type veth peer name ${inside.ifname} netns ${inside.path}`.split(
        ' ',
      ),
    owner: want.endpoint,
    change: { action: 'create', kind: 'link', object: want.link },
  };
  return plan.action === 'remake'
    ? [{ ...removeLine({ name: want.link }), owner: want.endpoint }, add]
    : [add];
}

function setUpLines(plan: LinkPlan, { gateway6 }: DesiredLinks): BatchLine[] {
  const { want } = plan;
  const host = isNew(plan) ? undefined : plan.host;
  const lines: BatchLine[] = [];
  if (host?.up !== true) {
    // Part of making a link; on one that exists it is a change of its own.
    const change =
      host === undefined ? null : ({ action: 'update', kind: 'link', object: want.link } as const);
    lines.push({ words: ['link', 'set', 'dev', want.link, 'up'], owner: want.endpoint, change });
  }
  if (hasFamily(want, 6) && !(host?.addresses.some((entry) => isGateway6(entry, gateway6)) ?? false)) {
    const object = `${formatAddress(gateway6)}/64 dev ${want.link}`;
    lines.push({
      words: [
        'address',
        'add',
        ...object.split(' '),
        'nodad',
        'scope',
        'link',
        'metric',
        String(GATEWAY6_METRIC),
      ],
      owner: want.endpoint,
      change: { action: 'create', kind: 'address', object },
    });
  }
  return lines;
}

function finishLines(plan: LinkPlan): BatchLine[] {
  const { want, alias } = plan;
  if (alias === null) return [];
  const set = ['link', 'set', 'dev', want.link];
  if (plan.action !== 'keep')
    return [{ words: [...set, 'alias', alias], owner: want.endpoint, change: null }];
  if (plan.host?.mtu === want.mtu) return [];
  const change = { action: 'update', kind: 'link', object: want.link } as const;
  return [{ words: [...set, 'mtu', String(want.mtu)], owner: want.endpoint, change }];
}

function explain({ want, inside }: LinkPlan, error: RomanaError): RomanaError {
  if (inside === null || error.code !== 'kernel_refused') return error;
  if (error.message.includes('File exists')) {
    return invalid(
      `The network namespace ${inside.path} has a link ${inside.ifname} already that is not of ${want.endpoint}.`,
    );
  }
  if (/Invalid argument$|Invalid "netns"/.test(error.message)) {
    return invalid(`${inside.path} is no network namespace: ${error.message}`);
  }
  return error;
}

function forget(memory: Memory, desired: DesiredLinks): void {
  const wanted = new Set(desired.links.map(({ link }) => link));
  for (const map of [memory.made, memory.checked]) {
    for (const link of map.keys()) if (!wanted.has(link)) map.delete(link);
  }
}

async function inParallel<T>(
  items: readonly T[],
  width: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const queue = items.values();
  const worker = async (): Promise<void> => {
    for (const item of queue) await work(item);
  };
  await Promise.all(Array.from({ length: Math.min(width, items.length) }, worker));
}
