/** A host with any daemon between the two switches, and the stream through it. For the tests of restarts and for their figures. */
import { join } from 'node:path';
import { createSpeaker, speakerPlace, speakerProcesses } from '#agent/drivers/speakers.ts';
import { ROUTE_METRIC_STANDIN } from '#agent/owned.ts';
import type { Speaker } from '#agent/speaker.ts';
import type { Cidr } from '#core/address/index.ts';
import { isRomanaError } from '#core/errors.ts';
import type { Daemon as DaemonName } from '#core/routing/fabric.ts';
import type { BgpIntent } from '#core/routing/model.ts';
import type { Daemon } from '#lab/supervisor.ts';
import { type Netns, removeNetns } from '../../support/namespace.ts';
import {
  allUp,
  applyUntilUp,
  folder,
  intentOf,
  makeUnderlay,
  networks,
  pause,
  start,
  startTor,
  stopAll,
  type Tor,
  type TorOptions,
} from './fabric.ts';
import { type Loss, makeFar, Stream } from './stream.ts';
import { clock, timers } from './stub.ts';

export interface Site {
  readonly host: Netns;
  readonly far: Netns;
  readonly tors: readonly [Tor, Tor];
  readonly daemons: readonly Daemon[];
  readonly speaker: Speaker;
  readonly stream: Stream;
  readonly intent: BgpIntent;
  /** From the start of its daemon to its routes in both switches' kernels. */
  readonly coldSeconds: number;
  end(): Promise<void>;
}

export async function makeSite(
  daemon: DaemonName,
  { tor = {}, intent = {}, peer = {}, alone = false, settleMs = 0 }: SiteOptions = {},
): Promise<Site> {
  const underlay = await makeUnderlay();
  const { host } = underlay;
  const tors = [startTor(underlay.tors[0], 1, tor), startTor(underlay.tors[1], 2, tor)] as const;
  const dir = folder();
  const place = speakerPlace(daemon, dir);
  const speaker = createSpeaker(daemon, {
    run: (argv, options) => host.run(argv, options),
    timers,
    clock,
    place,
  });
  const wanted = intentOf(daemon, intent, peer);
  const { fib, keepsRoutes } = speaker.capabilities;
  const byAgent = fib && (keepsRoutes || alone) ? [] : networks;
  const far = await makeFar(host, underlay.tors, byAgent, fib ? ROUTE_METRIC_STANDIN : 1024);
  // The files first, so that the start of the daemon is all that is waited for.
  await speaker.apply(wanted).catch((error: unknown) => {
    if (!(isRomanaError(error) && error.code === 'speaker_unavailable')) throw error;
  });
  await pause(settleMs);
  const began = performance.now();
  const daemons = start(host, speakerProcesses(daemon, place), join(dir, 'log'));
  for (const tor of tors) while ((await tor.learned()).length !== wanted.announce.length) await pause(10);
  const coldSeconds = (performance.now() - began) / 1000;
  await applyUntilUp(speaker, wanted);
  await allUp(speaker);
  const stream = new Stream(host, far);
  await stream.flowing();
  return {
    host,
    far,
    tors,
    daemons,
    speaker,
    stream,
    intent: wanted,
    coldSeconds,
    async end() {
      stream.end();
      await stopAll([...daemons, ...tors.flatMap((one) => one.daemons)]);
      await Promise.all([host, far, ...underlay.tors].map(removeNetns));
    },
  };
}

export interface SiteOptions {
  /** Time for the switches to be up before the host's daemon starts. */
  readonly settleMs?: number;
  /** Without the routes that the agent keeps beside a daemon that loses its own when it starts anew. */
  readonly alone?: boolean;
  readonly tor?: TorOptions;
  readonly intent?: Partial<BgpIntent>;
  readonly peer?: Parameters<typeof intentOf>[2];
}

/** The process that holds the sessions is killed; what was lost until they were back and everything had settled. */
export async function killed(site: Site): Promise<Loss> {
  await site.stream.look();
  const speaking = site.daemons.find(({ wish }) => /^(bird|bgpd|exabgp|gobgpd)$/.test(wish.name));
  await speaking?.kill();
  await pause(1000);
  await allUp(site.speaker);
  // Longer than any daemon defers its announcements and the removal of what it did not hear again.
  await pause(6000);
  return await site.stream.look();
}

/** Other prefixes to announce; what was lost until well after they were taken. */
export async function changed(site: Site, announce: readonly Cidr[]): Promise<Loss> {
  await site.stream.look();
  await site.speaker.apply({ ...site.intent, announce });
  await pause(1500);
  return await site.stream.look();
}
