/**
 * The switches of a lab: Linux boxes with static routes, or with BIRD or FRR. Each is given the text that `route export` has for it,
 * as a network engineer would, and nothing else.
 */
import { writeFileSync } from 'node:fs';
import { birdConfigPath, birdProcesses } from '#agent/drivers/bird/processes.ts';
import { frrConfigPath, frrProcesses } from '#agent/drivers/frr/processes.ts';
import type { Runner } from '#agent/exec.ts';
import type { SpeakerPlace, SpeakerProcess } from '#agent/speaker.ts';
import type { Client } from '#contract/client.ts';
import type { Daemons } from './daemons.ts';
import { switchesOf } from './fabric.ts';
import { runIn } from './network.ts';
import type { LabPlan, Tor } from './plan.ts';

export type SwitchFormat = 'iproute2' | Tor;

interface SwitchProgram {
  readonly config: string;
  readonly check: readonly string[];
  /** One after the other. */
  readonly reload: readonly (readonly string[])[];
  readonly processes: readonly SpeakerProcess[];
}

const programs: Record<Tor, (place: SpeakerPlace) => SwitchProgram> = {
  bird: (place) => ({
    config: birdConfigPath(place),
    check: ['bird', '-p', '-c', birdConfigPath(place)],
    reload: [['birdc', '-s', place.control, 'configure']],
    processes: birdProcesses(place),
  }),
  frr: (place) => {
    const config = frrConfigPath(place);
    const folders = ['--confdir', place.dir, '--rundir', place.dir, '--vty_socket', place.control];
    return {
      config,
      check: ['vtysh', '-C', '-f', config],
      // FRR judges what it was told before by its new lists only when it is asked to
      reload: [
        ['/usr/lib/frr/frr-reload.py', '--reload', '--stdout', ...folders, config],
        ...['ipv4', 'ipv6'].map((family) => [
          'vtysh',
          '--vty_socket',
          place.control,
          '-c',
          `clear bgp ${family} unicast * soft in`,
        ]),
      ],
      processes: frrProcesses(place),
    };
  },
};

export class Switches {
  readonly names: readonly string[];
  readonly format: SwitchFormat;
  readonly #run: Runner;
  readonly #daemons: Daemons;
  readonly #texts = new Map<string, string>();

  readonly #change: ((text: string) => string) | undefined;

  constructor(run: Runner, plan: LabPlan, daemons: Daemons, change?: (text: string) => string) {
    this.#run = run;
    this.#change = change;
    this.#daemons = daemons;
    this.names = switchesOf(plan);
    this.format = plan.fabric.tor ?? 'iproute2';
  }

  /** Brings all of them to what the control plane says now, and tells it so. The daemons go on without a break. */
  async configure(client: Client): Promise<void> {
    const { format } = this;
    await Promise.all(
      this.names.map(async (device) => {
        const exported = await client.routeExport({ params: { device }, query: { format } });
        const text = this.#change?.(exported.text) ?? exported.text;
        if (this.#texts.get(device) !== text) {
          await this.#give(device, text);
          this.#texts.set(device, text);
        }
        if (this.#change !== undefined) return;
        await client.routeConfirm({ params: { device }, body: { revision: exported.revision } });
      }),
    );
  }

  async #give(name: string, text: string): Promise<void> {
    if (this.format === 'iproute2') return this.#routes(name, text);
    const place = this.#daemons.place(name, this.format);
    const { config, check, reload, processes } = programs[this.format](place);
    writeFileSync(config, text, { mode: 0o644 });
    await this.#run(check);
    if (!this.#texts.has(name)) return this.#daemons.start(name, processes);
    for (const argv of reload) await this.#run(argv, { timeoutMs: 60_000 });
  }

  /** A file of routes says nothing of those that are no more. */
  async #routes(name: string, text: string): Promise<void> {
    const targets = (lines: string): Map<string, string> =>
      new Map(
        lines.split('\n').flatMap((line) => {
          const match = /^route replace ((?:blackhole |unreachable )?[0-9a-f.:]+\/\d+)/.exec(line);
          return match?.[1] === undefined
            ? []
            : [[match[1].split(' ').at(-1) ?? '', `route delete ${match[1]}`]];
        }),
      );
    const now = targets(text);
    const gone = [...targets(this.#texts.get(name) ?? '')].flatMap(([cidr, line]) =>
      now.has(cidr) ? [] : [line],
    );
    await runIn(this.#run, name)(['ip', '-batch', '-'], { stdin: `${text}\n${gone.join('\n')}\n` });
  }
}
