/** `romana server`: puts store, services, watch, authentication and HTTP together, and takes them apart in order. */
import { join } from 'node:path';
import { stringify } from 'yaml';
import { formatAddress, tryParseAddress } from '#core/address/index.ts';
import type { Clock, Log } from '#core/ports.ts';
import { version } from '#core/version.ts';
import { createLog, systemClock, systemRandom, systemTimers } from '#runtime/index.ts';
import { type Auth, createAuth } from './auth/auth.ts';
import type { ServerConfig } from './config.ts';
import { privateDirectory, readPrivateFile, writePrivateFile } from './files.ts';
import { type ListenAddress, startHttp } from './http/app.ts';
import { openPki, type Pki } from './pki/files.ts';
import { ReclaimLoop, recordedEndpoints, reportedEndpoints } from './reclaim.ts';
import { openStore } from './restored.ts';
import { Comparison } from './services/comparison.ts';
import { FabricReports } from './services/fabric-reports.ts';
import { createServices } from './services/index.ts';
import { releaseLeak } from './services/ipam-check.ts';
import { confirmTables } from './services/vpc.ts';
import type { VpcControl, VpcParts } from './vpc.ts';
import { WatchHub } from './watch/hub.ts';
import { WithdrawalLoop } from './withdrawal.ts';

export interface RunningServer {
  /** Addresses and real ports. */
  readonly listening: readonly ListenAddress[];
  /** File with server, authority and admin token, for the command line. */
  readonly clientFile: string;
  /** Ends watch streams, lets running requests finish (5 s), closes the store. Twice is once. */
  stop(): Promise<void>;
}
export interface Surroundings {
  readonly clock?: Clock;
  readonly log?: Log;
  /** The store was restored from a copy: nothing is given out until the hosts have said what they hold. For one start. */
  readonly newIncarnation?: boolean;
  /** Makes what keeps the route tables of VPCs. Absent: nobody does. */
  readonly vpc?: (parts: VpcParts, terms: ServerConfig['vpc']) => VpcControl;
}

const graceMs = 5_000;

/** What the certificate is for: this machine, where we listen, and what the operator says. */
function certificateNames(config: ServerConfig): string[] {
  const wildcard = new Set(['0.0.0.0', '::']);
  const listened = config.listen.map(({ host }) => host).filter((host) => !wildcard.has(host));
  const canonical = [...config.names, ...listened].map((name) => {
    const address = tryParseAddress(name);
    return address === undefined ? name.toLowerCase() : formatAddress(address);
  });
  return [...new Set(['localhost', '127.0.0.1', '::1', ...canonical])].sort();
}

/** The address that a client on this machine dials. */
export function serverUrl({ host, port }: ListenAddress): string {
  const reachable = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host;
  return `https://${reachable.includes(':') ? `[${reachable}]` : reachable}:${port}`;
}

function clientText(server: string, pki: Pki, token: string): string {
  return stringify({ server, ca: pki.authority.certificate, token });
}

/** Keeps the token of an existing file, and brings address and authority up to date. A lost or emptied file gets a new admin token. */
async function writeClientFile(path: string, server: string, pki: Pki, auth: Auth): Promise<void> {
  const before = readPrivateFile(path);
  const token = /^token: (romana_\S+)$/m.exec(before ?? '')?.[1];
  const text = clientText(server, pki, token ?? (await auth.issueAdminToken()));
  if (text !== before) writePrivateFile(path, text);
}

/**
 * Starts a server and resolves when it listens. Throws `store_busy` when another server uses the data directory, and clear errors
 * for files that are broken, open to others or expired.
 */
export async function runServer(
  config: ServerConfig,
  surroundings: Surroundings = {},
): Promise<RunningServer> {
  const clock = surroundings.clock ?? systemClock;
  const log = surroundings.log ?? createLog({ level: config.logLevel, base: { part: 'server' } });
  privateDirectory(config.dataDir);
  // first of all: it is the lock on the data directory
  const store = await openStore({
    path: join(config.dataDir, 'romana.db'),
    clock,
    log,
    restored: surroundings.newIncarnation === true,
  });
  try {
    const pki = openPki(join(config.dataDir, 'pki'), certificateNames(config), clock.now());
    const auth = createAuth({ store, clock, random: systemRandom, log, authority: pki.authority });
    await auth.prune();
    const hub = new WatchHub({ store, clock, timers: systemTimers });
    const comparison = new Comparison(() => clock.monotonic());
    const fabric = new FabricReports();
    const vpc = surroundings.vpc?.(
      {
        store,
        clock,
        timers: systemTimers,
        random: systemRandom,
        log,
        heard: (host) => fabric.heard(host),
        // the store is locked by this process: whoever wrote before is gone, and need not be waited for
        holder: 'server',
        routed: (name, revision) => confirmTables(services, name, revision),
      },
      config.vpc,
    );
    const services = createServices({
      store,
      clock,
      timers: systemTimers,
      random: systemRandom,
      log,
      version,
      comparison,
      fabric,
      ...(vpc === undefined ? {} : { vpc }),
    });
    const steady = clock.now() - clock.monotonic();
    const reclaim = new ReclaimLoop({
      store,
      clock,
      timers: systemTimers,
      log,
      sources: [recordedEndpoints(store), reportedEndpoints(store, comparison)],
      release: (tx, leak) => releaseLeak(tx, leak, Math.round(steady + clock.monotonic())),
    });
    const withdrawal = new WithdrawalLoop({ store, clock, timers: systemTimers, log, reports: fabric });
    const http = await startHttp(
      { store, services, hub, auth, pki, clock, log, version, reclaim },
      config.listen,
    );
    const clientFile = join(config.dataDir, 'client.yaml');
    const [first] = http.listening;
    try {
      if (first !== undefined) await writeClientFile(clientFile, serverUrl(first), pki, auth);
    } catch (error) {
      await http.stop(0);
      throw error;
    }
    reclaim.start();
    withdrawal.start();
    vpc?.start();
    log.info({ listening: http.listening, revision: store.position().revision }, 'server runs');
    let stopped: Promise<void> | undefined;
    return {
      listening: http.listening,
      clientFile,
      stop() {
        reclaim.stop();
        withdrawal.stop();
        stopped ??= Promise.all([http.stop(graceMs), vpc?.stop()]).then(() => {
          store.close();
          log.info({}, 'server stopped');
        });
        return stopped;
      },
    };
  } catch (error) {
    store.close();
    throw error;
  }
}
