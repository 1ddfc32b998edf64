/** `romana plan`: layouts and topologies for sizes, and what a change does to them. Asks no server. */
import { type Command, Option } from 'commander';
import { isRomanaError } from '#core/errors.ts';
import type {
  CountRules,
  Fabric,
  PlanAnswer,
  PlanInput,
  PlanNetworkInput,
  StandingPlan,
} from '#core/plan/planner/index.ts';
import { readDocument } from '../document.ts';
import { asUsage, exitCodes, type UsageError, usage } from '../exit.ts';
import { dump, formatOf, type OutputOptions } from '../output.ts';
import { readInteger } from '../values.ts';
import type { World } from '../world.ts';
import { group, withOutput } from './common.ts';

interface SizeOptions {
  readonly hosts?: string;
  readonly racks?: string;
  readonly zones?: string;
  readonly tenants?: string;
  readonly segments?: string;
  readonly endpointsPerHost?: string;
  readonly endpointsPerSegment?: string;
  readonly growth?: string;
  readonly growthHosts?: string;
  readonly growthTenants?: string;
  readonly growthEndpoints?: string;
  readonly network?: readonly string[];
  readonly fabric?: string;
  readonly maxRoutesPerHost?: string;
  readonly maxRoutesPerSwitch?: string;
  readonly maxVpcRoutes?: string;
}

interface ProposalOption {
  readonly proposal?: string;
}

interface ProposeOptions extends SizeOptions, OutputOptions, ProposalOption {
  readonly top?: string;
  readonly asTopology?: boolean;
}

interface ChangeOptions extends ProposalOption {
  readonly file?: string;
  readonly addHosts?: string;
  readonly addRack?: string;
  readonly addZone?: string;
  readonly addTenants?: string;
}

const sizesGroup = 'Sizes today:';
const growthGroup = 'Growth:';
const budgetGroup = 'Budgets of routes:';

function withSizes(command: Command): Command {
  const size = (flags: string, text: string): Option => new Option(flags, text).helpGroup(sizesGroup);
  const factor = (flags: string, text: string): Option => new Option(flags, text).helpGroup(growthGroup);
  const budget = (flags: string, text: string): Option => new Option(flags, text).helpGroup(budgetGroup);
  return command
    .addOption(size('--hosts <N>', 'Hosts of all racks together'))
    .addOption(size('--racks <N>', 'Racks of all zones together (default: no racks)'))
    .addOption(size('--zones <N>', 'Zones (default: no zones)'))
    .addOption(size('--tenants <N>', 'Tenants'))
    .addOption(size('--segments <N>', 'Segments of one tenant (default: 1)'))
    .addOption(size('--endpoints-per-host <N>', 'The most endpoints of one host'))
    .addOption(
      size('--endpoints-per-segment <N>', 'The most endpoints of one segment on one host (default: all)'),
    )
    .addOption(
      size('--network <CIDR>', 'Range, or NAME=RANGE; give one of each family for dual stack').argParser(
        (value: string, before: string[] | undefined) => [...(before ?? []), value],
      ),
    )
    .addOption(
      factor('--growth <FACTOR>', 'Plan for so many times the hosts, tenants and endpoints (default: 1)'),
    )
    .addOption(factor('--growth-hosts <FACTOR>', 'Other growth of hosts and racks'))
    .addOption(factor('--growth-tenants <FACTOR>', 'Other growth of tenants'))
    .addOption(factor('--growth-endpoints <FACTOR>', 'Other growth of endpoints of a host'))
    .addOption(
      budget(
        '--fabric <FABRIC>',
        'l2, l3-static or vpc: only its budgets count (default: any that keeps them)',
      ),
    )
    .addOption(budget('--max-routes-per-host <N>', 'Default: no limit'))
    .addOption(budget('--max-routes-per-switch <N>', 'Default: no limit'))
    .addOption(budget('--max-vpc-routes <N>', 'Of one VPC route table and family (default: 50)'));
}

function readInput(options: SizeOptions): PlanInput {
  const optional = (flag: string, text: string | undefined): number | null =>
    text === undefined ? null : readInteger(flag, text);
  const needed = (flag: string, text: string | undefined): number => {
    if (text === undefined) throw usage(`${flag} is missing.`);
    return readInteger(flag, text);
  };
  const growth = readFactor('--growth', options.growth, 1);
  return {
    hosts: needed('--hosts', options.hosts),
    racks: optional('--racks', options.racks),
    zones: optional('--zones', options.zones),
    tenants: needed('--tenants', options.tenants),
    segments: optional('--segments', options.segments) ?? 1,
    endpointsPerHost: needed('--endpoints-per-host', options.endpointsPerHost),
    endpointsPerSegment: optional('--endpoints-per-segment', options.endpointsPerSegment),
    growth: {
      hosts: readFactor('--growth-hosts', options.growthHosts, growth),
      tenants: readFactor('--growth-tenants', options.growthTenants, growth),
      endpoints: readFactor('--growth-endpoints', options.growthEndpoints, growth),
    },
    budgets: {
      fabric: (options.fabric ?? null) as Fabric | null,
      routesPerHost: optional('--max-routes-per-host', options.maxRoutesPerHost),
      routesPerSwitch: optional('--max-routes-per-switch', options.maxRoutesPerSwitch),
      vpcRoutes: optional('--max-vpc-routes', options.maxVpcRoutes) ?? 50,
    },
    networks: readNetworks(options.network ?? []),
  };
}

function readFactor(flag: string, text: string | undefined, otherwise: number): number {
  if (text === undefined) return otherwise;
  if (!/^\d{1,4}(\.\d{1,3})?$/.test(text)) {
    throw usage(`${flag}: ${JSON.stringify(text)} is no factor such as 2 or 1.5.`);
  }
  return Number(text);
}

/** Without names they are v4, v6, and from the second of a family on v4-2, v6-2… */
function readNetworks(texts: readonly string[]): PlanNetworkInput[] {
  if (texts.length === 0) throw usage('--network is missing, e.g. --network 10.0.0.0/8.');
  const counts = { v4: 0, v6: 0 };
  return texts.map((text) => {
    const equals = text.indexOf('=');
    if (equals >= 0) return { name: text.slice(0, equals), cidr: text.slice(equals + 1) };
    const family = text.includes(':') ? 'v6' : 'v4';
    counts[family]++;
    return { name: counts[family] === 1 ? family : `${family}-${counts[family]}`, cidr: text };
  });
}

/** The rules of a host with these networks and nothing on it: more endpoints or tenants add elements, no rules. */
export async function ruleCounter(): Promise<CountRules> {
  const [{ buildRuleset }, { GATEWAY4, GATEWAY6 }, { addressPlan, parseCidr }] = await Promise.all([
    import('#agent/rules/build.ts'),
    import('#agent/owned.ts'),
    import('#core/address/index.ts'),
  ]);
  return (networks) => {
    const { chains } = buildRuleset({
      model: {
        networks: networks.map(({ name, cidr, layout }) => ({
          name,
          plan: addressPlan(parseCidr(cidr), layout),
          infrastructure: 'deny',
        })),
        tenants: [],
      },
      endpoints: [],
      peers: [],
      uplinks: ['eth0'],
      endpointLinks: ['rom*'],
      gateways: { 4: GATEWAY4, 6: GATEWAY6 },
      guardOthers: { 4: false, 6: false },
    });
    return [...chains.values()].reduce((sum, { rules }) => sum + rules.length, 0);
  };
}

/** The planner names fields, the user wrote options. */
function withFlags<T>(fn: () => T): T {
  return asUsage(() => {
    try {
      return fn();
    } catch (error) {
      const path = isRomanaError(error) ? error.details?.['path'] : undefined;
      if (!isRomanaError(error) || typeof path !== 'string' || !error.message.startsWith(path)) throw error;
      const flag = flagOf[path] ?? `--${path.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
      throw usage(`${flag}${error.message.slice(path.length)}`);
    }
  });
}

const flagOf: Readonly<Record<string, string>> = {
  routesPerHost: '--max-routes-per-host',
  routesPerSwitch: '--max-routes-per-switch',
  vpcRoutes: '--max-vpc-routes',
};

async function proposeFrom(options: SizeOptions, top: number): Promise<PlanAnswer> {
  const input = readInput(options);
  const { propose } = await import('#core/plan/planner/index.ts');
  const countRules = await ruleCounter();
  return withFlags(() => propose(input, { top, countRules }));
}

async function standingFrom(
  world: World,
  options: SizeOptions & ChangeOptions,
): Promise<{ plan: StandingPlan } | { refused: PlanAnswer }> {
  const choice = choiceOf(options);
  const { readStandingPlan, standingPlan } = await import('#core/plan/planner/index.ts');
  if (options.file !== undefined) {
    const clash = Object.keys(options).find((name) => sizeNames.has(name));
    if (clash !== undefined) throw usage('--file holds the sizes: give either the file or sizes.');
    const document = await readDocument(options.file, () => world.stdin());
    return { plan: asUsage(() => readStandingPlan(document, choice)) };
  }
  const answer = await proposeFrom(options, choice);
  const proposal = answer.proposals[choice - 1];
  if (!answer.fits) return { refused: answer };
  if (proposal === undefined) throw noProposal(choice, answer);
  return { plan: standingPlan(answer, proposal) };
}

function choiceOf({ proposal }: ProposalOption): number {
  const choice = proposal === undefined ? 1 : readInteger('--proposal', proposal);
  if (choice < 1) throw usage('--proposal: they are counted from 1.');
  return choice;
}

function noProposal(choice: number, { proposals }: PlanAnswer): UsageError {
  return usage(
    `--proposal ${choice}: there ${proposals.length === 1 ? 'is one proposal' : `are ${proposals.length} proposals`}.`,
  );
}

const sizeNames: ReadonlySet<string> = new Set([
  'hosts',
  'racks',
  'zones',
  'tenants',
  'segments',
  'endpointsPerHost',
  'endpointsPerSegment',
  'growth',
  'growthHosts',
  'growthTenants',
  'growthEndpoints',
  'network',
  'fabric',
  'maxRoutesPerHost',
  'maxRoutesPerSwitch',
  'maxVpcRoutes',
]);

async function writeAnswer(
  world: World,
  answer: PlanAnswer,
  options: OutputOptions & ProposalOption,
): Promise<void> {
  const format = formatOf(options);
  const choice = choiceOf(options);
  if (answer.fits && answer.proposals.length < choice) throw noProposal(choice, answer);
  const [{ proposalText }, { formatLayout }] = await Promise.all([
    import('../plan-text.ts'),
    import('#core/address/index.ts'),
  ]);
  if (options.quiet === true) {
    const networks = answer.fits ? (answer.proposals[choice - 1]?.networks ?? []) : [];
    return world.out(networks.map(({ cidr, layout }) => `${cidr} ${formatLayout(layout)}\n`).join(''));
  }
  world.out(format === 'table' ? proposalText(answer, choice, options.headers) : await dump(answer, format));
}

/** Standard output is meant for a file: when nothing fits, the reasons go elsewhere. */
async function writeFile(world: World, answer: PlanAnswer, options: ProposeOptions): Promise<void> {
  const [{ proposalText }, { topologyFile }] = await Promise.all([
    import('../plan-text.ts'),
    import('#core/plan/planner/index.ts'),
  ]);
  const choice = choiceOf(options);
  if (!answer.fits) return world.err(proposalText(answer, choice));
  const proposal = answer.proposals[choice - 1];
  if (proposal === undefined) throw noProposal(choice, answer);
  const file = withFlags(() => topologyFile(answer.input, proposal));
  world.out(await dump(file, options.output === 'json' ? 'json' : 'yaml'));
}

export function addPlanCommands(program: Command, world: World, setExitCode: (code: number) => void): void {
  const plan = group(program, 'plan', 'Layouts and topologies for given sizes');
  const propose = plan
    .command('propose')
    .summary('The best layouts for given sizes, or why none fits')
    .description(
      'The best layouts and topologies for given sizes, what they cost and what runs out first; or why nothing fits and what would. Exit status 1: nothing fits.',
    );
  withOutput(withSizes(propose))
    .option('--top <N>', 'The most proposals (default: 3)')
    .option('--proposal <N>', 'Which of them to show in full (default: 1)')
    .option('--as-topology', 'Print its networks and prefix groups as a topology file instead')
    .action(async (options: ProposeOptions) => {
      formatOf(options);
      const top = options.top === undefined ? 3 : readInteger('--top', options.top);
      if (top < 1) throw usage('--top: at least 1.');
      const answer = await proposeFrom(options, Math.max(top, choiceOf(options)));
      if (options.asTopology === true) await writeFile(world, answer, options);
      else await writeAnswer(world, answer, options);
      if (!answer.fits) setExitCode(exitCodes.failed);
    });
  const whatif = plan
    .command('whatif')
    .summary('What a change does to a plan: what fits, which routes move')
    .description(
      'What a change does to a plan: what still fits, how many routes each kind of device gets, what runs out next. Exit status 1: it does not fit.',
    )
    .option('--file <FILE>', 'Plan that `romana plan propose -o json` printed; - is standard input')
    .option('--proposal <N>', 'Which of its proposals (default: 1)')
    .option('--add-hosts <N>', 'Hosts more, spread over the racks there are')
    .option('--add-rack <N>', 'Racks more, each with as many hosts as the fullest')
    .option('--add-zone <N>', 'Zones more, each with as many racks as the fullest')
    .option('--add-tenants <N>', 'Tenants more');
  withOutput(withSizes(whatif)).action(async (options: SizeOptions & ChangeOptions & OutputOptions) => {
    const format = formatOf(options);
    const added = (flag: string, text: string | undefined): number =>
      text === undefined ? 0 : readInteger(flag, text);
    const change = {
      hosts: added('--add-hosts', options.addHosts),
      racks: added('--add-rack', options.addRack),
      zones: added('--add-zone', options.addZone),
      tenants: added('--add-tenants', options.addTenants),
    };
    const standing = await standingFrom(world, options);
    if ('refused' in standing) {
      await writeAnswer(world, standing.refused, options);
      return setExitCode(exitCodes.failed);
    }
    const [{ whatIf }, { whatIfText }] = await Promise.all([
      import('#core/plan/planner/index.ts'),
      import('../plan-text.ts'),
    ]);
    const answer = asUsage(() => whatIf(standing.plan, change));
    if (options.quiet !== true)
      world.out(format === 'table' ? whatIfText(answer, options.headers) : await dump(answer, format));
    if (!answer.fits) setExitCode(exitCodes.failed);
  });
}
