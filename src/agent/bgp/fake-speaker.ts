/** A BGP daemon in memory, as far as the agent can tell: its sessions, and what it was told last. It outlives agents. */
import type { Cidr } from '#core/address/index.ts';
import { RomanaError } from '#core/errors.ts';
import type { BgpIntent } from '#core/routing/model.ts';
import type { Change } from '../ports.ts';
import type { Speaker, SpeakerSession, SpeakerStatus } from '../speaker.ts';

export class FakeSpeaker implements Speaker {
  readonly capabilities: Speaker['capabilities'];
  daemon: SpeakerStatus['daemon'] = 'up';
  intent: BgpIntent | null = null;
  announced: readonly Cidr[] = [];
  /** Devices without a session, or `device/family`. */
  readonly down = new Set<string>();
  /** Prefixes that a device announces to us. */
  prefixesIn: number | null = 2;
  /** Every call with what it was about. */
  readonly calls: string[] = [];
  /** While set, calls do not end. */
  hold: Promise<void> | null = null;

  constructor(capabilities: Partial<Speaker['capabilities']> = {}) {
    const all = {
      fib: false,
      keepsRoutes: true,
      bfd: true,
      unnumbered: true,
      passwords: true,
      ttlSecurity: true,
    };
    this.capabilities = { ...all, ...capabilities };
  }

  async apply(intent: BgpIntent): Promise<{ changes: Change[]; failures: Map<string, RomanaError> }> {
    this.calls.push('apply');
    await this.hold;
    if (this.daemon !== 'up') throw this.#away();
    const same = JSON.stringify([this.intent, this.announced]) === JSON.stringify([intent, intent.announce]);
    this.intent = intent;
    this.announced = intent.announce;
    const change: Change = { action: 'update', kind: 'route', object: 'speaker' };
    return { changes: same ? [] : [change], failures: new Map() };
  }

  async withdraw(): Promise<void> {
    this.calls.push('withdraw');
    await this.hold;
    if (this.daemon !== 'up') throw this.#away();
    this.announced = [];
  }

  async status(): Promise<SpeakerStatus> {
    this.calls.push('status');
    await this.hold;
    if (this.daemon !== 'up')
      return { daemon: this.daemon, version: null, sessions: [], announced: null, problem: 'It is away.' };
    return {
      daemon: 'up',
      version: '1.0',
      sessions: this.#sessions(),
      announced: this.announced,
      problem: null,
    };
  }

  /** Killed and started again, without its files. */
  forget(): void {
    this.intent = null;
    this.announced = [];
  }

  #sessions(): SpeakerSession[] {
    return (this.intent?.peers ?? []).flatMap(({ name, address, link, asn, families }) =>
      (address === null ? ([4] as const) : families).map((family): SpeakerSession => {
        const gone = this.down.has(name) || this.down.has(`${name}/${family}`);
        const neighbour = address === null ? (link ?? '') : family === 4 ? '192.0.2.1' : '2001:db8::1';
        return {
          peer: name,
          neighbour,
          asn,
          state: gone ? 'active' : 'established',
          seconds: 10,
          prefixesIn: gone ? null : this.prefixesIn,
          prefixesOut: gone ? null : this.announced.length,
          lastError: gone ? 'Hold timer expired' : '',
        };
      }),
    );
  }

  #away(): RomanaError {
    return new RomanaError('speaker_unavailable', 'It is away.');
  }
}
