/** What a topology file says, after reading. `at` is where it says it. */
import type { Cidr, Layout } from '../../address/index.ts';
import type { ErrorCode } from '../../errors.ts';
import type { Device, Fabric, HostUplink } from '../../routing/fabric.ts';

/** Keys and indexes from the top of the document. */
export type Path = readonly (string | number)[];

export interface Issue {
  readonly path: Path;
  /** The key itself is meant, not its value. */
  readonly key?: true;
  readonly code: ErrorCode;
  readonly message: string;
}

export interface FileNetwork {
  readonly at: Path;
  readonly name: string;
  readonly cidr: Cidr;
  /** Null: a flat network, whose addresses carry no identity. */
  readonly layout: Layout | null;
  /** The layout was worked out of `block_mask`, not stated. */
  readonly derived: boolean;
  /** Undefined, here and below: not stated. A network that exists keeps what it has, a new one gets the default. */
  readonly tenants?: readonly string[];
  readonly infrastructure?: 'allow' | 'deny';
  readonly reserved?: readonly Cidr[];
  readonly quarantineSeconds?: number;
}

export interface FileHost {
  readonly at: Path;
  readonly name: string;
  readonly addresses: readonly string[];
  readonly labels?: Labels;
  readonly allocator?: 'agent' | 'server';
  /** Host ids to reserve in each network; not stated: what its group says. */
  readonly growth?: number;
  readonly uplinks?: readonly HostUplink[];
  readonly asn?: number;
}

export interface FileDevice extends Device {
  readonly at: Path;
}

/** What a topology and a group alike say of the fabric. */
interface FabricStated {
  /** Undefined: as above. */
  readonly fabric?: Fabric;
  readonly devices?: readonly FileDevice[];
}

export type Labels = Readonly<Record<string, string>>;

export interface FileGroup extends FabricStated {
  readonly at: Path;
  readonly name: string;
  readonly assignment: Labels;
  readonly size?: number;
  readonly slots?: number;
  /** Of hosts in it and below it that state none. */
  readonly growth?: number;
  readonly groups: readonly FileGroup[];
  readonly hosts: readonly FileHost[];
}

export interface FileTopology extends FabricStated {
  readonly at: Path;
  readonly name: string;
  /** Null: every network that no other topology names. */
  readonly networks: readonly string[] | null;
  readonly slots?: number;
  readonly groups: readonly FileGroup[];
}

export interface TopologyFile {
  readonly networks: readonly FileNetwork[];
  /** Null: not stated; an apply leaves the topologies as they are. */
  readonly topologies: readonly FileTopology[] | null;
  /** Hosts that no group lists: labels place them. */
  readonly hosts: readonly FileHost[];
}

export interface ReadResult {
  readonly file: TopologyFile;
  readonly issues: readonly Issue[];
  /** What is accepted but perhaps not what was meant. */
  readonly notes: readonly Issue[];
}
