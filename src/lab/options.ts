/** What the user may ask of a lab, checked. */
import type { TopologyInput } from '#contract/topology.ts';
import { RomanaError } from '#core/errors.ts';
import { type Daemon, daemons } from '#core/routing/fabric.ts';
import { type FabricChoice, fabrics, plainFabric, tors } from './plan.ts';

export interface LabOptions {
  readonly hosts: number;
  readonly racks: number;
  readonly endpoints: number;
  /** Host ids reserved for each host, in each network. */
  readonly growth: number;
  /** A topology file as read; null: the lab's own networks, and a group for each rack. */
  readonly topology: TopologyInput | null;
  readonly fabric: FabricChoice;
  /** Probe once and leave. */
  readonly once: boolean;
  /** Print the document instead of text. */
  readonly json: boolean;
}
/** As it comes from the command line: numbers may still be text. */
export interface LabInput {
  readonly hosts?: number | string | undefined;
  readonly racks?: number | string | undefined;
  readonly endpoints?: number | string | undefined;
  readonly growth?: number | string | undefined;
  readonly topology?: TopologyInput | null | undefined;
  readonly fabric?: string | undefined;
  readonly daemon?: string | undefined;
  readonly tor?: string | undefined;
  readonly dualHomed?: boolean | undefined;
  readonly once?: boolean | undefined;
  readonly json?: boolean | undefined;
}

export const limits = { hosts: 32, racks: 8, endpoints: 400, growth: 16 } as const;

export function labOptions(input: LabInput = {}): LabOptions {
  const hosts = count('hosts', input.hosts, 4, 1);
  const racks = count('racks', input.racks, Math.min(2, hosts), 1);
  const endpoints = count('endpoints', input.endpoints, 12, 2);
  const growth = count('growth', input.growth, 1, 1);
  if (racks > hosts) {
    throw refused('racks', `${racks} racks need at least as many hosts; give --hosts ${racks}.`);
  }
  return {
    hosts,
    racks,
    endpoints,
    growth,
    topology: input.topology ?? null,
    fabric: fabricChoice(input),
    once: input.once ?? false,
    json: input.json ?? false,
  };
}

function fabricChoice({ fabric, daemon, tor, dualHomed }: LabInput): FabricChoice {
  const kind = fabric === undefined ? plainFabric.kind : oneOf('fabric', fabric, fabrics);
  if (daemon !== undefined && kind !== 'bgp')
    throw refused('daemon', 'Hosts run a BGP daemon on the fabric bgp alone; give --fabric bgp as well.');
  const switches = tor === undefined ? null : oneOf('tor', tor, tors);
  return {
    kind,
    daemon: daemon === undefined ? plainFabric.daemon : oneOf<Daemon>('daemon', daemon, daemons),
    tor: kind === 'bgp' ? (switches ?? 'bird') : switches,
    dualHomed: dualHomed ?? false,
  };
}

function oneOf<T extends string>(name: string, given: string, known: readonly T[]): T {
  const found = known.find((one) => one === given);
  if (found !== undefined) return found;
  throw refused(name, `--${name} must be one of ${known.join(', ')}, not '${given}'.`);
}

function refused(path: string, message: string): RomanaError {
  return new RomanaError('input_invalid', message, { details: { path } });
}

function count(
  name: keyof typeof limits,
  given: number | string | undefined,
  normal: number,
  least: number,
): number {
  if (given === undefined) return normal;
  const text = String(given);
  const value = /^\d{1,6}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= least && value <= limits[name]) return value;
  throw refused(name, `--${name} must be a number from ${least} to ${limits[name]}, not '${text}'.`);
}
