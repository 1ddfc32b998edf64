/**
 * A running lab as an object: `romana lab` is its first user, tests are the others. It must be started inside network and mount
 * namespaces of its own, with an empty private /run; it undoes nothing, all of it vanishes with them.
 *
 * 1. What it says about endpoints comes from the control plane and the agents, what it counts comes from the kernel.
 * 2. Server and agents are processes like any other: they may be stopped, killed and started again at any time.
 */
import { join } from 'node:path';
import { speakerProcesses } from '#agent/drivers/speakers.ts';
import { createRunner, type Runner } from '#agent/exec.ts';
import type { SpeakerPlace } from '#agent/speaker.ts';
import { type Client, createClient, errorOfAnswer } from '#contract/client.ts';
import type { Attachment, Endpoint } from '#contract/model.ts';
import { RomanaError } from '#core/errors.ts';
import { type Connection, connect, connectUnix } from '#net/https.ts';
import { routed } from './converge.ts';
import { type Counts, type KernelRoute, kernelCounts, kernelRoutes } from './counts.ts';
import { Daemons } from './daemons.ts';
import { type ClientFile, makeFolders, readClientFile, writeAgentConfig, writeLauncher } from './files.ts';
import { type Furniture, furnish, makeHost } from './furnish.ts';
import { addNamespaces, buildUnderlay, deleteNamespace, netnsPath, runIn } from './network.ts';
import { fabricText, type HostPlan, type LabPlan } from './plan.ts';
import { type ProbeRequest, type ProbeResult, Prober } from './probe.ts';
import { Process, until } from './processes.ts';
import { Switches } from './switches.ts';
import { type Addressing, addressing, familiesOf, networksFor } from './topology.ts';
import { underlay } from './underlay.ts';

export const STATE_DIR = '/run/romana-lab';

export interface LabSetup extends Furniture {
  readonly plan: LabPlan;
  /** What starts `romana`: program and first arguments. */
  readonly command: readonly string[];
  readonly stateDir?: string;
  /** Instead of networks: what a topology file says. */
  readonly topology?: Addressing;
  readonly say?: (line: string) => void;
  /** Switches of the site's own making: what becomes of each exported text. It is not told to the control plane. */
  readonly siteSwitches?: (text: string) => string;
}
export interface EndpointWish {
  readonly tenant: string;
  readonly segment: string;
  /** Also the name of its namespace. */
  readonly name: string;
  readonly host: string;
  readonly networks?: readonly string[];
  readonly addresses?: readonly string[];
  readonly endpointId?: number;
  readonly sourcePrefixes?: readonly string[];
}
export interface LabProbeWish extends Omit<ProbeRequest, 'netns'> {
  /** Name of the namespace to send from. */
  readonly from: string;
}

export class Lab {
  readonly plan: LabPlan;
  readonly stateDir: string;
  readonly run: Runner = createRunner();
  /** Of hosts and switches, by their names. */
  readonly daemons: Daemons;
  readonly #switches: Switches;
  readonly #addressing: Addressing;
  readonly #growth: number;
  readonly #command: readonly string[];
  readonly #say: (line: string) => void;
  readonly #agents = new Map<string, Process>();
  readonly #endpoints = new Set<string>();
  readonly #prober = new Prober();
  #server: Process | undefined;
  #connection: Connection | undefined;
  #client: Client | undefined;

  private constructor(setup: LabSetup) {
    this.plan = setup.plan;
    this.stateDir = setup.stateDir ?? STATE_DIR;
    this.#command = setup.command;
    this.#addressing = setup.topology ?? addressing(null);
    this.#growth = setup.growth ?? 1;
    this.#say = setup.say ?? (() => undefined);
    this.daemons = new Daemons(this.stateDir);
    this.#switches = new Switches(this.run, this.plan, this.daemons, setup.siteSwitches);
  }

  /** Everything but endpoints: underlay, server, objects, switches' routes, agents that are ready. */
  static async start(setup: LabSetup): Promise<Lab> {
    const lab = new Lab(setup);
    try {
      await lab.#build(setup);
      return lab;
    } catch (error) {
      await lab.stop();
      throw error;
    }
  }

  get families(): readonly (4 | 6)[] {
    return familiesOf(this.#addressing);
  }

  /** For the wish of an endpoint: which networks to take, where a tenant has several of a family. */
  networksFor(tenant: string, turn: number): { readonly networks?: readonly string[] } {
    return this.#addressing.file === null ? {} : { networks: networksFor(this.#addressing, tenant, turn) };
  }

  get client(): Client {
    if (this.#client === undefined)
      throw new RomanaError('unavailable', "The lab's server was never started.");
    return this.#client;
  }

  get processes(): readonly Process[] {
    return [...(this.#server === undefined ? [] : [this.#server]), ...this.#agents.values()];
  }

  host(name: string): HostPlan {
    const host = this.plan.hosts.find((host) => host.name === name);
    if (host === undefined) throw new RomanaError('not_found', `The lab has no host ${name}.`);
    return host;
  }

  /** Runs a program in a namespace: a switch, a host, an endpoint or `control`. */
  exec(namespace: string, argv: readonly string[], options?: Parameters<Runner>[1]): ReturnType<Runner> {
    return runIn(this.run, namespace)(argv, options);
  }

  /** Lets a namespace answer probes; those of endpoints do already. */
  answer(namespace: string): Promise<void> {
    return this.#prober.listen(netnsPath(namespace));
  }

  // ---- switches

  get switches(): readonly string[] {
    return this.#switches.names;
  }

  /** Gives the switches the routes that they need now, as an operator does after a change that is routed. */
  exportRoutes(): Promise<void> {
    return this.#switches.configure(this.client);
  }

  routes(namespace: string): Promise<KernelRoute[]> {
    return kernelRoutes(runIn(this.run, namespace));
  }

  counts(host: string): Promise<Counts> {
    return kernelCounts(runIn(this.run, host));
  }

  probe(wishes: readonly LabProbeWish[]): Promise<ProbeResult[]> {
    return this.#prober.probe(
      wishes.map(({ from, ...wish }) => Object.assign(wish, { netns: netnsPath(from) })),
    );
  }

  // ---- server

  async startServer(): Promise<void> {
    const dir = join(this.stateDir, 'server');
    const listen = [`${this.plan.control4}:7443`, `[${this.plan.control6}]:7443`];
    const flags = [
      '--data-dir',
      dir,
      '--name',
      'control',
      ...listen.flatMap((address) => ['--listen', address]),
    ];
    const server = this.#spawn('server', 'control', ['server', ...flags]);
    this.#server = server;
    this.#connection?.close();
    this.#connection = await until('ready', 60_000, async () => this.#connectServer(), server);
    this.#client = createClient({ transport: this.#connection.transport });
  }

  async stopServer(): Promise<void> {
    await this.#server?.stop();
  }

  async killServer(): Promise<void> {
    await this.#server?.kill();
  }

  async #connectServer(): Promise<Connection | undefined> {
    let file: ClientFile;
    try {
      file = readClientFile(this.stateDir);
    } catch {
      return undefined;
    }
    const connection = connect(file);
    const answer = await connection.transport({ method: 'GET', path: '/readyz' }).catch((error: unknown) => {
      connection.close();
      throw error;
    });
    if (answer.status === 200) return connection;
    connection.close();
    return undefined;
  }

  // ---- agents

  agentSocket(host: string): string {
    return join(this.stateDir, 'hosts', host, 'run', 'agent.sock');
  }

  /** The agent's own API. */
  async agentCall(host: string, method: string, path: string, body?: unknown): Promise<unknown> {
    const connection = connectUnix({ socketPath: this.agentSocket(host) });
    try {
      const answer = await connection.transport({ method, path, ...(body === undefined ? {} : { body }) });
      if (answer.status < 200 || answer.status > 299) throw errorOfAnswer(answer.status, answer.body);
      return answer.body;
    } finally {
      connection.close();
    }
  }

  startAgent(host: string): void {
    const config = join(this.stateDir, 'hosts', host, 'agent.yaml');
    this.#agents.set(host, this.#spawn(`agent of ${host}`, host, ['agent', '--config', config]));
  }

  async agentReady(host: string, timeoutMs = 30_000): Promise<void> {
    await until(
      'ready',
      timeoutMs,
      async () => (await this.agentCall(host, 'GET', '/readyz'), true),
      this.#agents.get(host),
    );
  }

  async stopAgent(host: string): Promise<void> {
    await this.#agents.get(host)?.stop();
  }

  async killAgent(host: string): Promise<void> {
    await this.#agents.get(host)?.kill();
  }

  async restartAgent(host: string): Promise<void> {
    await this.stopAgent(host);
    this.startAgent(host);
    await this.agentReady(host);
  }

  #spawn(name: string, namespace: string, args: readonly string[]): Process {
    const log = join(this.stateDir, 'log', `${name.replaceAll(' ', '-')}.log`);
    return new Process(name, ['ip', 'netns', 'exec', namespace, ...this.#command, ...args], log);
  }

  // ---- endpoints

  /** Makes the namespace and asks whoever allocates on that host; resolves when it is wired, enforced and answers probes. */
  async endpoint(wish: EndpointWish): Promise<Endpoint> {
    const { tenant, segment, name } = wish;
    const host = this.host(wish.host);
    await this.namespaces([name]);
    const attachment: Attachment = { kind: 'veth-netns', netns: netnsPath(name), ifname: 'eth0' };
    const { networks, addresses, sourcePrefixes, endpointId } = wish;
    const body = {
      name,
      attachment,
      ...(networks === undefined ? {} : { networks: [...networks] }),
      ...(addresses === undefined ? {} : { addresses: [...addresses] }),
      ...(sourcePrefixes === undefined ? {} : { sourcePrefixes: [...sourcePrefixes] }),
      ...(endpointId === undefined ? {} : { endpointId }),
    };
    const params = { tenant, segment };
    if (host.allocator === 'agent') {
      await this.agentCall(host.name, 'POST', '/v1/endpoints', { ...params, ...body });
    } else {
      await this.client.endpointCreate({ params, body: { ...body, host: host.name } });
    }
    const endpoint = await this.#endpointReady(wish);
    await this.#prober.listen(netnsPath(name));
    return endpoint;
  }

  /** Removes it through whoever allocated it, and its namespace. */
  async removeEndpoint({ tenant, segment, name, host }: EndpointWish): Promise<void> {
    if (this.host(host).allocator === 'agent') {
      const path = [tenant, segment, name].map(encodeURIComponent).join('/');
      await this.agentCall(host, 'DELETE', `/v1/endpoints/${path}`);
    } else {
      await this.client.endpointDelete({ params: { tenant, segment, name } });
    }
    await this.#prober.release(netnsPath(name));
    this.#endpoints.delete(name);
    await deleteNamespace(this.run, name);
  }

  /** Namespaces for endpoints, those that are not there yet, all by one program. */
  async namespaces(names: readonly string[]): Promise<void> {
    const missing = names.filter((name) => !this.#endpoints.has(name));
    for (const name of missing) this.#endpoints.add(name);
    await addNamespaces(this.run, missing);
  }

  /** An endpoint that the agent made is known to the server a moment later. */
  #endpointReady({ tenant, segment, name, host }: EndpointWish): Promise<Endpoint> {
    const params = { tenant, segment, name };
    const check = async (): Promise<Endpoint | undefined> => {
      const endpoint = await this.client.endpointShow({ params }).catch((error: unknown) => {
        if (error instanceof RomanaError && error.code === 'not_found') return undefined;
        throw error;
      });
      if (endpoint?.phase === 'failed') {
        throw new RomanaError(
          'internal',
          `Endpoint ${tenant}/${segment}/${name} failed: ${endpoint.message}`,
        );
      }
      return endpoint?.phase === 'ready' ? endpoint : undefined;
    };
    return until(`sure that ${tenant}/${segment}/${name} is ready`, 60_000, check, this.#agents.get(host));
  }

  /** Ends what it started. The namespaces stay; they go with the process that holds them. */
  async stop(): Promise<void> {
    this.#prober.close();
    this.#connection?.close();
    await Promise.all([this.daemons.end(), ...this.processes.map((process) => process.kill())]);
  }

  // ---- construction

  async #build(setup: LabSetup): Promise<void> {
    const { hosts, racks, fabric } = this.plan;
    const names = hosts.map(({ name }) => name);
    makeFolders(this.stateDir, names);
    writeLauncher(this.stateDir, this.#command);
    this.#say(`underlay: ${racks.length} racks, ${hosts.length} hosts, ${fabricText(fabric)}`);
    await buildUnderlay(this.run, underlay(this.plan));
    this.#say('control plane');
    await this.startServer();
    await furnish(this.client, this.plan, this.#addressing, setup);
    await this.exportRoutes();
    this.#say('agents');
    const present = names.filter((name) => setup.absent?.includes(name) !== true);
    for (const host of present) await this.#admit(host);
    for (const host of present) this.startAgent(host);
    const patience = 30_000 + 4_000 * present.length;
    await Promise.all(present.map((host) => this.agentReady(host, patience)));
    await routed(this, patience);
  }

  /** One that was absent: made, its routes given to the switches, its agent ready. */
  async join(host: string): Promise<void> {
    await makeHost(this.client, this.host(host), this.#addressing, this.#growth, true);
    await this.exportRoutes();
    await this.#admit(host);
    this.startAgent(host);
    await this.agentReady(host);
    await routed(this, 30_000);
  }

  async #admit(host: string): Promise<void> {
    const { token } = await this.client.hostJoinToken({ params: { name: host }, body: {} });
    writeAgentConfig(this.stateDir, host, token, this.#startSpeaker(host));
  }

  /** As the host's supervisor does; it waits for the configuration that the agent writes. */
  #startSpeaker(host: string): SpeakerPlace | null {
    const { kind, daemon } = this.plan.fabric;
    if (kind !== 'bgp') return null;
    const place = this.daemons.place(host, daemon);
    this.daemons.start(host, speakerProcesses(daemon, place));
    return place;
  }
}
