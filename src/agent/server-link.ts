/**
 * The agent's way to the control plane: HTTPS with the host's certificate. Until there is one, reports fail and the stream waits;
 * a renewed certificate is used from the next request on.
 */
import { createClient } from '#contract/client.ts';
import type * as m from '#contract/model.ts';
import { RomanaError } from '#core/errors.ts';
import type { Cancel, Clock, Log, Random, Timers } from '#core/ports.ts';
import { type Connection, connect } from '#net/https.ts';
import { type FollowedEvent, type OpenStream, watch } from '#net/watch.ts';
import type { ControlPlane } from './agent.ts';
import { type Identity, join, loadIdentity, renew, renewalTime } from './identity.ts';
import type { StateFiles } from './saved-view.ts';

export interface ServerLinkOptions {
  readonly host: string;
  readonly server: string;
  readonly ca: string;
  /** Read when it is needed: it may be put in place later. */
  readonly joinToken: () => string | null;
  readonly files: StateFiles;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Log;
}

const firstRetryMs = 500;
const lastRetryMs = 30_000;
const renewalCheckMs = 3_600_000;

export class ServerLink implements ControlPlane {
  readonly #options: ServerLinkOptions;
  #connection: Connection | null = null;
  #cancelTimer: Cancel = () => undefined;
  #failures = 0;
  #closed = false;

  constructor(options: ServerLinkOptions) {
    this.#options = options;
  }

  /** Loads or obtains the certificate, trying until it succeeds, and keeps it fresh. Returns at once. */
  start(): void {
    void this.#identify();
  }

  close(): void {
    this.#closed = true;
    this.#cancelTimer();
    this.#connection?.close();
  }

  report(report: m.HostReport): Promise<m.HostReportAnswer> {
    if (this.#connection === null) return Promise.reject(notJoined());
    return createClient(this.#connection).hostReport({ params: { name: this.#options.host }, body: report });
  }

  follow(
    since: m.Position | null,
    onEvent: (event: FollowedEvent) => void,
    onDown: (error: RomanaError) => void,
  ): Cancel {
    const { clock, timers, random } = this.#options;
    const open: OpenStream = (path, sink) => {
      if (this.#connection !== null) return this.#connection.openStream(path, sink);
      return timers.after(0, () => sink.end(notJoined()));
    };
    return watch({ open, since, onEvent, onDown, timers, random, clock, maxDelayMs: 5_000 });
  }

  async #identify(): Promise<void> {
    try {
      const identity = (await loadIdentity(this.#options.files)) ?? (await this.#join());
      this.#use(identity);
      this.#failures = 0;
      await this.#renewWhenDue(identity);
      this.#later(renewalCheckMs);
    } catch (error) {
      this.#failures++;
      const reason =
        error instanceof RomanaError
          ? { code: error.code, reason: error.message }
          : { reason: String(error) };
      this.#options.log.warn(reason, 'no certificate from the control plane yet; trying again');
      this.#later(
        Math.min(lastRetryMs, firstRetryMs * 2 ** Math.min(this.#failures, 8)) *
          (0.5 + this.#options.random.fraction() / 2),
      );
    }
  }

  async #join(): Promise<Identity> {
    const { host, server, ca, files, log } = this.#options;
    const token = this.#options.joinToken();
    if (token === null) {
      throw new RomanaError(
        'join_token_invalid',
        `This host has no certificate and no join token; make one with \`romana host join-token ${host}\` and put it into joinTokenFile.`,
      );
    }
    const identity = await join({ host, server, ca, token, files });
    log.info({ host }, 'joined the control plane');
    return identity;
  }

  async #renewWhenDue(identity: Identity): Promise<void> {
    const { clock, host, files, log } = this.#options;
    const connection = this.#connection;
    if (connection === null || clock.now() < renewalTime(identity.cert)) return;
    const client = createClient(connection);
    this.#use(await renew(host, (csr) => client.renew({ params: { name: host }, body: { csr } }), files));
    log.info({ host }, 'certificate renewed');
  }

  #use(identity: Identity): void {
    const { server, ca } = this.#options;
    const old = this.#connection;
    this.#connection = connect({ server, ca, certificate: identity });
    old?.close();
    if (this.#closed) this.#connection.close();
  }

  #later(ms: number): void {
    if (!this.#closed) this.#cancelTimer = this.#options.timers.after(ms, () => void this.#identify());
  }
}

function notJoined(): RomanaError {
  return new RomanaError('unavailable', 'This host has not joined the control plane yet; its log says why.');
}
