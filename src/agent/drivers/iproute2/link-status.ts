/** What the link driver wants and finds, row by row, for `romana agent status`. Looks inside the namespaces too. */
import { equalAddress, formatAddress } from '#core/address/index.ts';
import { isRomanaError } from '#core/errors.ts';
import type { Runner } from '../../exec.ts';
import type { KernelFiles } from '../../files.ts';
import type { DesiredLinks, ObjectStatus } from '../../ports.ts';
import { dumpInside, dumpLinks } from './dump.ts';
import { insideOf, insideSteps } from './inside.ts';
import { hasFamily, isGateway6, type LinkPlan, planLinks } from './link-plan.ts';
import { forwardingSysctls, linkSysctls, type Sysctl, sysctlName } from './sysctls.ts';

export async function inspectLinks(
  runner: Runner,
  files: KernelFiles,
  desired: DesiredLinks,
): Promise<ObjectStatus[]> {
  const dump = await dumpLinks(runner);
  const { plans, strays, failures } = planLinks(desired, dump, files, new Map());
  const rows: ObjectStatus[] = sysctlRows(files, forwardingSysctls(desired.families));
  if (desired.families.includes(4)) {
    const held = dump
      .find(({ name }) => name === 'lo')
      ?.addresses.some(({ address, length }) => length === 32 && equalAddress(address, desired.gateway4));
    rows.push(presence('address', `${formatAddress(desired.gateway4)}/32 dev lo`, held ?? false));
  }
  for (const want of desired.links) {
    const error = failures.get(want.endpoint);
    if (error === undefined) continue;
    rows.push({ kind: 'link', object: want.link, desired: want.endpoint, actual: error.message, ok: false });
  }
  for (const link of strays) {
    rows.push({ kind: 'link', object: link.name, desired: null, actual: link.alias, ok: false });
  }
  for (const plan of plans) {
    rows.push(...hostRows(plan, files, desired), ...(await insideRows(runner, plan, desired)));
  }
  return rows;
}

function hostRows(plan: LinkPlan, files: KernelFiles, { gateway6 }: DesiredLinks): ObjectStatus[] {
  const { want, host, alias } = plan;
  const wanted = `up${alias === null ? '' : ` mtu ${want.mtu} alias ${alias}`}`;
  const actual =
    host === undefined
      ? null
      : `${host.up ? 'up' : 'down'}${alias === null ? '' : ` mtu ${host.mtu} alias ${host.alias}`}`;
  const rows: ObjectStatus[] = [
    { kind: 'link', object: want.link, desired: wanted, actual, ok: wanted === actual },
    ...sysctlRows(files, linkSysctls(want.link, hasFamily(want, 6))),
  ];
  if (hasFamily(want, 6)) {
    const held = host?.addresses.some((entry) => isGateway6(entry, gateway6)) ?? false;
    rows.push(presence('address', `${formatAddress(gateway6)}/64 dev ${want.link}`, held));
  }
  return rows;
}

async function insideRows(runner: Runner, plan: LinkPlan, desired: DesiredLinks): Promise<ObjectStatus[]> {
  const inside = insideOf(plan, desired);
  if (inside === null) return [];
  try {
    const dump = await dumpInside(runner, inside.path);
    return insideSteps(inside).map(({ line, present }) =>
      presence(line.change?.kind ?? 'link', line.change?.object ?? line.words.join(' '), present(dump)),
    );
  } catch (error) {
    if (!isRomanaError(error)) throw error;
    return [
      { kind: 'link', object: inside.path, desired: 'a network namespace', actual: error.message, ok: false },
    ];
  }
}

function presence(kind: ObjectStatus['kind'], object: string, ok: boolean): ObjectStatus {
  return { kind, object, desired: 'present', actual: ok ? 'present' : null, ok };
}

function sysctlRows(files: KernelFiles, sysctls: readonly Sysctl[]): ObjectStatus[] {
  return sysctls.flatMap(({ path, value, optional }) => {
    const actual = files.read(path) ?? null;
    if (actual === null && optional) return [];
    return [
      { kind: 'sysctl' as const, object: sysctlName(path), desired: value, actual, ok: actual === value },
    ];
  });
}
