/**
 * What the agent knows of a BGP speaker: a daemon of the site's on the same host, whose lifetime is its own. The agent writes the daemon's
 * configuration, asks it to read it again, and looks at its sessions; it starts and stops nothing.
 *
 * 1. `apply` is whole-state and idempotent: with a daemon that has the intent already it writes and reloads nothing.
 * 2. A configuration that the daemon's own parser refuses is never put in place.
 * 3. No change of the intent resets a session that is in it before and after, unless the change is of that session itself.
 * 4. `withdraw` takes back every announcement and keeps the sessions: the last act of an agent that may not speak for its ranges.
 */
import type { Cidr } from '#core/address/index.ts';
import type { BgpIntent } from '#core/routing/model.ts';
import type { ApplyResult } from './ports.ts';

export interface SpeakerCapabilities {
  /** It installs what it learns into the kernel; else the agent does. */
  readonly fib: boolean;
  /** What it installed stays while it starts anew; else the agent keeps routes of a worse metric beside it. */
  readonly keepsRoutes: boolean;
  readonly bfd: boolean;
  readonly unnumbered: boolean;
  readonly passwords: boolean;
  readonly ttlSecurity: boolean;
}

export interface SpeakerSession {
  /** Device. */
  readonly peer: string;
  /** Address, or link of an unnumbered session. */
  readonly neighbour: string;
  readonly asn: number;
  readonly state: 'idle' | 'connect' | 'active' | 'opensent' | 'openconfirm' | 'established';
  /** How long it has been in this state; null: the daemon does not say. */
  readonly seconds: number | null;
  readonly prefixesIn: number | null;
  readonly prefixesOut: number | null;
  /** Empty: none known. */
  readonly lastError: string;
}

export interface SpeakerStatus {
  /** `down`: it does not answer; what it did last stays in force. `unfit`: missing, or a version that this driver does not know. */
  readonly daemon: 'up' | 'down' | 'unfit';
  readonly version: string | null;
  readonly sessions: readonly SpeakerSession[];
  /** What the daemon announces now, as far as it says; null: it does not answer. */
  readonly announced: readonly Cidr[] | null;
  /** One sentence for an operator: what is wrong and what to do; null: nothing. */
  readonly problem: string | null;
}

/** Of a daemon that does not answer, or that the driver does not know. */
export function notUp(daemon: 'down' | 'unfit', version: string | null, problem: string): SpeakerStatus {
  return { daemon, version, sessions: [], announced: null, problem };
}

export interface Speaker {
  readonly capabilities: SpeakerCapabilities;
  /** Throws RomanaError speaker_unavailable when the daemon does not answer: its files are in place all the same. */
  apply(intent: BgpIntent): Promise<ApplyResult>;
  withdraw(): Promise<void>;
  status(): Promise<SpeakerStatus>;
}

/** Where the daemon of this host lives. All paths absolute. */
export interface SpeakerPlace {
  /** The agent owns this folder and everything in it: configuration files, what they include, secrets copied into them (mode 0600). */
  readonly dir: string;
  /** The daemon's control socket (bird, gobgp), that of the helper beside it (exabgp), or the folder of its sockets (frr). */
  readonly control: string;
}

/** A daemon as a process supervisor has to start it. Nothing in it needs a shell. */
export interface SpeakerProcess {
  readonly name: string;
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Files that must not be there when it starts: a daemon that was killed leaves them. */
  readonly stale: readonly string[];
  /** Start it only once these exist. */
  readonly needs: readonly string[];
  /** Name of the process that it must not outlive: when that one ends, it is killed and started again too. Absent: none. */
  readonly partOf?: string;
}
