/** Starts an agent on this host: real clock, kernel and network. The only module of the agent that is not given its world. */
import { RomanaError } from '#core/errors.ts';
import { version } from '#core/version.ts';
import { createLog, systemClock, systemRandom, systemTimers } from '#runtime/index.ts';
import { Agent } from './agent.ts';
import { inlineOrFile, readAgentConfig } from './config.ts';
import { createConntrack } from './drivers/conntrack/conntrack.ts';
import { createKernelEvents } from './drivers/iproute2/events.ts';
import { createKernelFacts } from './drivers/iproute2/facts.ts';
import { createLinkDriver } from './drivers/iproute2/links.ts';
import { createRouteDriver } from './drivers/iproute2/routes.ts';
import { NftablesDriver } from './drivers/nftables/driver.ts';
import { peerProbe } from './drivers/peer-probe.ts';
import { createSpeaker, speakerPlace } from './drivers/speakers.ts';
import { createRunner } from './exec.ts';
import { kernelFiles } from './files.ts';
import { serveLocalApi } from './local-api.ts';
import { ServerLink } from './server-link.ts';
import { openStateFiles } from './state-files.ts';

export interface RunningAgent {
  /** Leaves rules, links and routes in the kernel as they are. */
  stop(): Promise<void>;
}

/** Resolves when the agent looks after the kernel and serves its own API; joining the control plane is tried until it succeeds. */
export async function runAgent(configFile: string): Promise<RunningAgent> {
  const config = readAgentConfig(configFile);
  const log = createLog({ level: config.logLevel, base: { part: 'agent', host: config.host } });
  const ca = inlineOrFile(config.ca, config.caFile, 'certificate authority');
  if (ca === null) {
    throw new RomanaError(
      'input_invalid',
      `${configFile}: give ca or caFile, the certificate authority of the control plane.`,
    );
  }
  const world = { clock: systemClock, timers: systemTimers, random: systemRandom, log };
  const files = await openStateFiles(config.stateDir);
  const { host, server, joinToken, joinTokenFile } = config;
  const link = new ServerLink({
    ...world,
    host,
    server,
    ca,
    files,
    joinToken: () => inlineOrFile(joinToken, joinTokenFile, 'join token'),
  });
  const runner = createRunner({ timers: systemTimers });
  const agent = new Agent({
    ...world,
    host,
    version,
    uplinks: config.uplinks,
    endpointLinks: config.endpointLinks,
    mtu: config.mtu ?? 0,
    resyncMs: config.resyncSeconds * 1000,
    heartbeatMs: config.heartbeatSeconds * 1000,
    speaker: (daemon) => {
      const { dir, control, mode } = config.speaker;
      const place = { ...speakerPlace(daemon, dir), ...(control === undefined ? {} : { control }) };
      return createSpeaker(daemon, { run: runner, timers: systemTimers, clock: systemClock, place, mode });
    },
    peerProbe,
    kernel: {
      rules: new NftablesDriver(runner),
      links: createLinkDriver(runner, kernelFiles),
      routes: createRouteDriver(runner),
      conntrack: createConntrack(runner),
      facts: createKernelFacts(runner, kernelFiles),
      events: createKernelEvents({ timers: systemTimers }),
    },
    controlPlane: link,
    files,
    journal: { dir: `${config.stateDir}/journal` },
  });
  // The kernel is looked after from the saved state at once; who we are to the control plane may take its time.
  await agent.start();
  link.start();
  const api = await serveLocalApi(agent, config.runDir, log);
  return {
    async stop() {
      await api.close();
      await agent.stop();
      link.close();
    },
  };
}
