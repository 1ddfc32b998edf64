/**
 * Real packets from endpoint to endpoint. `Prober` owns the helper process.
 *
 * 1. A verdict is "allow" only when the answer of this very probe came back; everything else is "deny" with a reason.
 * 2. What the helper could not try (no such namespace) is an error, never a verdict.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Verdict } from '#contract/lab.ts';
import { RomanaError } from '#core/errors.ts';
import { probeHelper } from './probe-helper.ts';

export const PROBE_PORT = 7777;

export interface ProbeRequest {
  /** Path of the namespace to send from. */
  readonly netns: string;
  readonly family: 4 | 6;
  readonly protocol: 'tcp' | 'udp' | 'icmp' | 'icmpv6';
  readonly address: string;
  readonly port?: number;
  readonly timeoutMs?: number;
  readonly tries?: number;
  /** Bytes of the whole IP packet, fragmentation forbidden; icmp and icmpv6 only. */
  readonly size?: number;
}
export interface ProbeResult {
  readonly observed: Verdict;
  readonly reason: string;
}
interface Waiting {
  resolve(words: readonly string[]): void;
  reject(error: Error): void;
}

export class Prober {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<string, Waiting>();
  #next = 0;
  #dead: Error | undefined;

  constructor() {
    const env = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' };
    const argv = ['--pdeathsig', 'KILL', '--', 'perl', '-e', probeHelper];
    this.#child = spawn('setpriv', argv, { env, cwd: '/', stdio: ['pipe', 'pipe', 'pipe'] });
    let complaint = '';
    this.#child.stderr?.on('data', (chunk: Buffer) => {
      complaint = (complaint + chunk.toString('utf8')).slice(-2000);
    });
    this.#child.stdin?.on('error', () => undefined);
    if (this.#child.stdout !== null)
      createInterface(this.#child.stdout).on('line', (line) => this.#take(line));
    this.#child.once('error', (error) => this.#die(error.message));
    this.#child.once('close', () => this.#die(complaint || 'no message'));
  }

  /** Answers TCP and UDP on the probe port in this namespace, both families. */
  async listen(netns: string, port = PROBE_PORT): Promise<void> {
    await this.#ask(`listen ${netns}`, `listen ${netns} ${port}`);
  }

  /** Lets go of all sockets in this namespace, so that it can vanish. */
  async release(netns: string): Promise<void> {
    await this.#ask(`close ${netns}`, `close ${netns}`);
  }

  /** All at once; results in the order of the requests. */
  probe(requests: readonly ProbeRequest[]): Promise<ProbeResult[]> {
    return Promise.all(requests.map((request) => this.#one(request)));
  }

  close(): void {
    this.#child.kill('SIGKILL');
  }

  async #one(request: ProbeRequest): Promise<ProbeResult> {
    const {
      netns,
      family,
      protocol,
      address,
      port = PROBE_PORT,
      timeoutMs = 700,
      tries = 2,
      size = 0,
    } = request;
    const id = String(this.#next++);
    const [verdict = '', ...reason] = await this.#ask(
      `probe ${id}`,
      `probe ${id} ${netns} ${family} ${protocol} ${address} ${port} ${timeoutMs} ${tries} ${size}`,
    );
    if (verdict !== 'allow' && verdict !== 'deny') {
      throw new RomanaError(
        'internal',
        `A probe from ${netns} to ${address} could not be made: ${reason.join(' ')}.`,
      );
    }
    return { observed: verdict, reason: reason.join(' ') };
  }

  #ask(key: string, line: string): Promise<readonly string[]> {
    return new Promise((resolve, reject) => {
      if (this.#dead !== undefined) return reject(this.#dead);
      this.#waiting.set(key, { resolve, reject });
      this.#child.stdin?.write(`${line}\n`);
    });
  }

  #take(line: string): void {
    const [verb = '', subject = '', ...rest] = line.split(' ');
    const verbs: Record<string, string> = {
      result: 'probe',
      listening: 'listen',
      closed: 'close',
      failed: 'listen',
    };
    const key = `${verbs[verb] ?? ''} ${subject}`;
    const waiting = this.#waiting.get(key);
    this.#waiting.delete(key);
    if (verb !== 'failed') waiting?.resolve(rest);
    else
      waiting?.reject(
        new RomanaError('internal', `No probes can be answered in ${subject}: ${rest.join(' ')}.`),
      );
  }

  #die(words: string): void {
    this.#dead ??= new RomanaError('internal', `The probe helper (perl) ended: ${words.trim()}`);
    for (const waiting of this.#waiting.values()) waiting.reject(this.#dead);
    this.#waiting.clear();
  }
}
