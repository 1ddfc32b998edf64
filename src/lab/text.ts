/** The lab for people: what is where, who reaches whom, what it costs, what to try. Pure. */
import type { LabDocument, LabProbe } from '#contract/lab.ts';
import type { Observation, Placed } from './observe.ts';
import type { FabricChoice } from './plan.ts';
import { pairKind, pairKinds, wholeMatrix } from './spread.ts';

export function table(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const lines = [head, ...rows].map((row) => row.map(String));
  const widths = head.map((_, i) => Math.max(...lines.map((line) => line[i]?.length ?? 0)));
  return lines
    .map((line) =>
      line
        .map((cell, i) => cell.padEnd(widths[i] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

function endpointTable(placed: readonly Placed[]): string {
  const rows = placed.flatMap(({ plan, decoded }, i) =>
    decoded.map(({ address, ids }, j) => [
      j === 0 ? i + 1 : '',
      j === 0 ? `${plan.tenant}/${plan.segment}/${plan.name}` : '',
      j === 0 ? plan.host.name : '',
      address,
      ids?.host ?? '',
      ids?.tenant ?? '',
      ids?.segment ?? '',
      ids?.endpoint ?? '',
    ]),
  );
  return table(['#', 'ENDPOINT', 'HOST', 'ADDRESS', 'host', 'tenant', 'segment', 'endpoint'], rows);
}

function hostTable(hosts: LabDocument['hosts']): string {
  return table(
    ['HOST', 'RACK', 'HOST CIDRS', 'ROUTES', 'RULES', 'ELEMENTS'],
    hosts.map((h) => [h.name, h.rack, [...h.cidrs, ...h.cidrs6].join(' '), h.routes, h.rules, h.elements]),
  );
}

function switchTable(switches: LabDocument['switches']): string {
  return table(
    ['SWITCH', 'ROUTES'],
    switches.map(({ name, routes }) => [name, routes]),
  );
}

function bgpTable(sessions: LabDocument['bgp']): string {
  return table(
    ['HOST', 'PEER', 'NEIGHBOUR', 'STATE', 'ANNOUNCED'],
    sessions.map((s) => [s.host, s.peer, s.neighbour, s.state, s.prefixesOut ?? '-']),
  );
}

const right = (probe: { expected: string; observed: string }): boolean => probe.expected === probe.observed;

/** One cell: `+` passes, `.` is stopped, `!` is not what was expected, `-` the endpoint itself. */
function grid(placed: readonly Placed[], matrix: readonly LabProbe[]): string {
  const names = placed.map(({ plan }) => `${plan.tenant}/${plan.segment}/${plan.name}`);
  const cells = Map.groupBy(matrix, (probe) => `${probe.from} ${probe.to}`);
  const rows = names.map((from, i) => [
    i + 1,
    from,
    ...names.map((to) => {
      const probes = cells.get(`${from} ${to}`) ?? [];
      if (from === to || probes.length === 0) return '-';
      return probes.every(right) ? (probes[0]?.expected === 'allow' ? '+' : '.') : '!';
    }),
  ]);
  return table(['#', 'FROM \\ TO', ...names.map((_, i) => String(i + 1))], rows);
}

function kindTable(placed: readonly Placed[], matrix: readonly LabProbe[]): string {
  const plans = new Map(placed.map(({ plan }) => [`${plan.tenant}/${plan.segment}/${plan.name}`, plan]));
  const kinds = Map.groupBy(matrix, ({ from, to }) => {
    const [a, b] = [plans.get(from), plans.get(to)];
    return a === undefined || b === undefined ? '' : pairKind(a, b);
  });
  const rows = pairKinds.flatMap((kind) => {
    const probes = kinds.get(kind) ?? [];
    if (probes.length === 0) return [];
    const passed = probes.filter((probe) => probe.observed === 'allow').length;
    const wrong = probes.filter((probe) => !right(probe)).length;
    return [[kind, probes[0]?.expected ?? '', probes.length, passed, probes.length - passed, wrong]];
  });
  return table(['PAIRS', 'EXPECTED', 'PROBES', 'PASSED', 'STOPPED', 'WRONG'], rows);
}

/** Every observation that is not what was expected, at most `most` lines. */
export function wrongLines(document: LabDocument, most = 20): string[] {
  const lines = [
    ...document.matrix
      .filter((probe) => !right(probe))
      .map(
        (p) =>
          `${p.from} -> ${p.to} IPv${p.family} ${p.protocol}: expected ${p.expected}, observed ${p.observed}`,
      ),
    ...document.mtu
      .filter((probe) => !right(probe))
      .map(
        (p) =>
          `${p.from} -> ${p.to} IPv${p.family}, ${p.size} bytes unfragmented: expected ${p.expected}, observed ${p.observed}`,
      ),
    ...document.bgp
      .filter(({ state }) => state !== 'established')
      .map(
        ({ host, peer, neighbour, state }) =>
          `BGP session of ${host} with ${peer} (${neighbour}) is ${state}`,
      ),
  ];
  return lines.length <= most ? lines : [...lines.slice(0, most), `and ${lines.length - most} more`];
}

export function reportText({ placed, document, sampled }: Observation): string {
  const { matrix, mtu, hosts, switches, bgp } = document;
  const wrong = wrongLines(document);
  const reach =
    placed.length <= wholeMatrix
      ? [
          grid(placed, matrix),
          '',
          '+ passes   . is stopped   ! is not what was expected   (TCP, UDP and ICMP, IPv4 and IPv6 together)',
          '',
        ]
      : [];
  const size = mtu.find((probe) => probe.expected === 'allow')?.size;
  const mtuText =
    size === undefined
      ? ''
      : `, and packets of the full MTU (${size} bytes) ${mtu.every(right) ? 'cross it unfragmented' : 'do NOT cross it as they should'}`;
  return [
    endpointTable(placed),
    '',
    ...reach,
    kindTable(placed, matrix),
    '',
    hostTable(hosts),
    '',
    switchTable(switches),
    '',
    ...(bgp.length === 0 ? [] : [bgpTable(bgp), '']),
    `${matrix.length} probes${sampled ? ', a sample of all pairs' : ''}${mtuText}.`,
    wrong.length === 0
      ? `Everything is as expected (${document.seconds} s).`
      : ['NOT as expected:', ...wrong].join('\n  '),
  ].join('\n');
}

export function hints(
  placed: readonly Placed[],
  { kind, dualHomed }: Pick<FabricChoice, 'kind' | 'dualHomed'>,
): string {
  // Of two switches each may be the one that a host is cut off from, so they tell the spine of each host.
  const each = kind === 'bgp' && dualHomed ? 'a range per host' : 'an aggregate per rack';
  const [first] = placed;
  const other = placed.find(
    ({ plan }) =>
      plan.tenant === first?.plan.tenant &&
      plan.segment === first.plan.segment &&
      plan.host !== first.plan.host,
  );
  const address = other?.endpoint.addresses[0]?.address;
  return [
    'The lab runs until Ctrl-C. In another terminal:',
    '  romana lab exec -- romana status',
    '  romana lab exec -- romana endpoint list',
    '  romana lab exec -- romana route list     # of hosts and switches, each with the reason why',
    ...(kind === 'bgp' ? ['  romana lab exec -- romana bgp status'] : []),
    '  romana lab shell h1                      # then: ip route show proto 82; nft list table inet romana; romana agent status',
    ...(first !== undefined && address !== undefined
      ? [`  romana lab shell ${first.plan.name} -- ping ${address}`]
      : []),
    `  romana lab exec --in spine -- ip route   # ${each}, however many endpoints there are`,
  ].join('\n');
}
