/** The end of an endpoint in its own network namespace: addresses, the gateway, default routes. */
import {
  type Address,
  equalAddress,
  equalCidr,
  formatAddress,
  hostRoute,
  parseCidr,
} from '#core/address/index.ts';
import type { RomanaError } from '#core/errors.ts';
import type { Runner } from '../../exec.ts';
import type { Change, DesiredLinks } from '../../ports.ts';
import { type BatchLine, runBatch } from './batch.ts';
import { type DumpedLink, type DumpedRoute, dumpInside } from './dump.ts';
import { invalid, type LinkPlan } from './link-plan.ts';

export interface Inside {
  readonly endpoint: string;
  readonly path: string;
  readonly ifname: string;
  readonly addresses: readonly Address[];
  /** null: the link is not ours and keeps its MTU. */
  readonly mtu: number | null;
  readonly gateway4: Address;
  readonly gateway6: Address;
}
interface InsideDump {
  readonly links: readonly DumpedLink[];
  readonly routes: readonly DumpedRoute[];
}
/** One thing wanted in there: how to make it, and how to see that it is there. */
export interface InsideStep {
  readonly line: BatchLine;
  readonly present: (dump: InsideDump) => boolean;
}

const DEFAULT4 = parseCidr('0.0.0.0/0');
const DEFAULT6 = parseCidr('::/0');

export function insideSteps(inside: Inside): InsideStep[] {
  const { ifname, path, addresses, mtu } = inside;
  const step = (
    kind: Change['kind'],
    object: string,
    words: string[],
    present: InsideStep['present'],
  ): InsideStep => ({
    line: {
      words,
      owner: inside.endpoint,
      change: { action: 'create', kind, object: `${object} in ${path}` },
    },
    present,
  });
  const linkOf = (dump: InsideDump, name: string): DumpedLink | undefined =>
    dump.links.find((link) => link.name === name);
  const route = (dump: InsideDump, want: Pick<DumpedRoute, 'cidr' | 'via'>): boolean =>
    dump.routes.some(
      (have) =>
        have.table === 'main' &&
        have.link === ifname &&
        equalCidr(have.cidr, want.cidr) &&
        (want.via === null ? have.via === null : have.via !== null && equalAddress(have.via, want.via)),
    );
  const steps = [
    step('link', 'lo up', ['link', 'set', 'dev', 'lo', 'up'], (dump) => linkOf(dump, 'lo')?.up ?? false),
    step(
      'link',
      `${ifname} up`,
      ['link', 'set', 'dev', ifname, 'up', ...(mtu === null ? [] : ['mtu', String(mtu)])],
      (dump) => {
        const link = linkOf(dump, ifname);
        return link !== undefined && link.up && (mtu === null || link.mtu === mtu);
      },
    ),
  ];
  for (const address of addresses) {
    const length = address.family === 4 ? 32 : 128;
    const text = `${formatAddress(address)}/${length}`;
    const nodad = address.family === 4 ? [] : ['nodad'];
    steps.push(
      step(
        'address',
        `${text} dev ${ifname}`,
        ['address', 'replace', text, 'dev', ifname, ...nodad],
        (dump) =>
          (linkOf(dump, ifname)?.addresses ?? []).some(
            (have) => have.length === length && equalAddress(have.address, address),
          ),
      ),
    );
  }
  if (addresses.some(({ family }) => family === 4)) {
    const gateway = formatAddress(inside.gateway4);
    steps.push(
      step('route', gateway, ['route', 'replace', `${gateway}/32`, 'dev', ifname, 'scope', 'link'], (dump) =>
        route(dump, { cidr: hostRoute(inside.gateway4), via: null }),
      ),
      step('route', '0.0.0.0/0', ['route', 'replace', '0.0.0.0/0', 'via', gateway, 'dev', ifname], (dump) =>
        route(dump, { cidr: DEFAULT4, via: inside.gateway4 }),
      ),
    );
  }
  if (addresses.some(({ family }) => family === 6)) {
    const gateway = formatAddress(inside.gateway6);
    steps.push(
      step('route', '::/0', ['route', 'replace', '::/0', 'via', gateway, 'dev', ifname], (dump) =>
        route(dump, { cidr: DEFAULT6, via: inside.gateway6 }),
      ),
    );
  }
  return steps;
}

export function insideOf({ want, inside, alias }: LinkPlan, desired: DesiredLinks): Inside | null {
  if (inside === null) return null;
  return {
    endpoint: want.endpoint,
    path: inside.path,
    ifname: inside.ifname,
    addresses: want.addresses,
    mtu: alias === null ? null : want.mtu,
    gateway4: desired.gateway4,
    gateway6: desired.gateway6,
  };
}

export interface InsideResult {
  readonly changes: readonly Change[];
  readonly error: RomanaError | undefined;
}

/** `fresh`: we have just made the link, so that nothing can be right yet; else only what is missing is written. */
export async function wireInside(runner: Runner, inside: Inside, fresh: boolean): Promise<InsideResult> {
  let steps = insideSteps(inside);
  if (!fresh) {
    const dump = await dumpInside(runner, inside.path);
    if (!dump.links.some(({ name }) => name === inside.ifname)) {
      return {
        changes: [],
        error: invalid(`The network namespace ${inside.path} has no link ${inside.ifname}.`),
      };
    }
    steps = steps.filter(({ present }) => !present(dump));
  }
  const lines = steps.map(({ line }) => line);
  const prefix = ['nsenter', `--net=${inside.path}`, '--'];
  let result = await runBatch(runner, lines, prefix);
  if (result.failures.size > 0 && inside.addresses.some(({ family }) => family === 6)) {
    // Container engines switch IPv6 off in new namespaces.
    const file = `/proc/sys/net/ipv6/conf/${inside.ifname}/disable_ipv6`;
    const enabled = await runner([...prefix, 'tee', file], { stdin: '0\n', okCodes: 'any' });
    if (enabled.code === 0) result = await runBatch(runner, lines, prefix);
  }
  return { changes: result.changes, error: result.failures.get(inside.endpoint) };
}
