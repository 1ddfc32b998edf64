/** Plans as text for people. Everything here is also in `-o json`. */
import { formatLayout } from '#core/address/index.ts';
import {
  counted,
  countText,
  type Exhaustion,
  type PlanAnswer,
  type PlanSizes,
  type Proposal,
  type ProposedNetwork,
  partLabel,
  type WhatIfAnswer,
  type WhatIfPart,
} from '#core/plan/planner/index.ts';
import { type Cell } from './columns.ts';
import { table } from './output.ts';

type Draw = (titles: readonly string[], rows: readonly (readonly Cell[])[]) => string;
const plain: Draw = (_, rows) => table(undefined, rows);

/** The verdict first, then proposal number `shown` in full, the others in a line each. */
export function proposalText(answer: PlanAnswer, shown: number, headers = true): string {
  const draw = headers ? table : plain;
  const { input, planned, proposals } = answer;
  const grows = [input.growth.hosts, input.growth.tenants, input.growth.endpoints].some((g) => g > 1);
  const proposal = proposals[shown - 1];
  const sharing = answer.fits && proposal?.networks.some(({ sharedTenants }) => sharedTenants > 0) === true;
  const blocks = [
    [
      `Asked:    ${sizesText(input)}\n`,
      ...(grows ? [`Planned:  ${sizesText(planned)}\n`] : []),
      `Answer:   ${verdict(answer, proposal)}\n`,
    ].join(''),
    list('Assumed', answer.assumptions),
    list(sharing ? 'Why tenants share' : 'Why', answer.reasons),
    list(sharing ? 'What would spare that' : 'What would help', answer.advice),
    proposal === undefined ? '' : oneProposal(answer, proposal, shown, draw),
    others(answer, shown, draw),
    `Routes to other hosts and groups, most on one device (own endpoints not counted):\n${routesText(answer, draw)}`,
    answer.fits ? commands(proposal) : '',
  ];
  return blocks.filter((block) => block !== '').join('\n');
}

function list(title: string, texts: readonly string[]): string {
  return texts.length === 0 ? '' : `${title}:\n${texts.map((text) => `  - ${text}\n`).join('')}`;
}

function verdict(answer: PlanAnswer, proposal: Proposal | undefined): string {
  if (!answer.fits || proposal === undefined)
    return answer.proposals.length > 0 ? 'no: the addresses fit, the routes do not' : 'no: nothing fits';
  const shared = proposal.networks.filter(({ sharedTenants }) => sharedTenants > 0);
  if (shared.length === 0) return `yes: ${layoutsText(proposal)}`;
  const which = shared
    .map(({ name, sharedTenants }) => `${countText(sharedTenants)} of them in ${name}`)
    .join(', ');
  return `yes, but not all tenants get an id of their own (${which} share one): ${layoutsText(proposal)}`;
}

function layoutsText({ networks, idsPerHost }: Proposal): string {
  const texts = networks.map(({ cidr, layout }) => `${cidr} ${formatLayout(layout)}`);
  return `${texts.join(', ')}${idsPerHost === 1 ? '' : `, ${idsPerHost} ids per host`}`;
}

function sizesText(sizes: PlanSizes): string {
  return [
    counted(sizes.hosts, 'hosts') +
      (sizes.racks === null ? '' : ` in ${counted(sizes.racks, 'racks')}`) +
      (sizes.zones === null ? '' : ` ${sizes.racks === null ? 'in' : 'of'} ${counted(sizes.zones, 'zones')}`),
    `${counted(sizes.tenants, 'tenants')} of ${counted(sizes.segments, 'segments')}`,
    `${counted(sizes.endpointsPerHost, 'endpoints')} on a host`,
  ].join(', ');
}

function oneProposal(answer: PlanAnswer, proposal: Proposal, number: number, draw: Draw): string {
  const { networks, levels, runsOut, cost, notes } = proposal;
  const title = `Proposal ${number}: ${layoutsText(proposal)}\n`;
  const fields = draw(
    ['NETWORK', 'FIELD', 'BITS', 'HOLDS', 'TODAY', 'PLANNED', 'AVAILABLE', 'FACTOR'],
    networks.flatMap((network) => fieldRows(answer, network)),
  );
  const perZone = answer.input.zones === null ? '' : ' of a zone';
  const topology = levels.map(
    ({ level, planned, slots, sizes }) =>
      `topology: ${counted(planned, `${level}s`)}${level === 'rack' ? perZone : ''} in ${counted(slots, 'slots')}; a ${level} is ` +
      `${sizes.map(({ network, prefixLength, hostIds }) => `a /${prefixLength} of ${network} (${counted(hostIds, 'host ids')})`).join(', ')}\n`,
  );
  const addresses = networks.map(
    ({ name, addresses: use }) =>
      `addresses: ${name} has ${countText(BigInt(use.total))}; ids 0 and padding lose ${percent(use.lostShare)}, planned endpoints use ${percent(use.plannedShare)}\n`,
  );
  return [
    title,
    indent(fields),
    indent(topology.join('')),
    indent(addresses.join('')),
    indent(kernelText(cost)),
    indent(endsText(runsOut, 'of planned')),
    ...notes.map((note) => `  note: ${note}\n`),
  ].join('');
}

function fieldRows({ input }: PlanAnswer, network: ProposedNetwork): Cell[][] {
  const rows: Cell[][] = network.headroom.map((one) => [
    one.network,
    one.field,
    one.bits,
    partLabel(one.part, input),
    countText(one.today),
    countText(one.planned),
    countText(one.available),
    factorText(one.factor),
  ]);
  if (network.sharedTenants > 0) {
    // The number of tenants with an id is settled, so it is no headroom, but nobody should have to look for it.
    const bits = network.layout.tenant;
    const own = 2 ** bits - 1;
    const row = [
      network.name,
      'tenant',
      bits,
      'tenants with an id of their own',
      countText(Math.min(own, input.tenants)),
      countText(own),
      countText(own),
      '-',
    ];
    rows.splice(
      rows.findIndex(([, field]) => field === 'segment'),
      0,
      row,
    );
  }
  return rows;
}

function kernelText({ rules, elements: { planned } }: Proposal['cost']): string {
  const shared = planned.shared === 0 ? '' : `, shared tenants ${countText(planned.shared)}`;
  return (
    `each host: ${rules === null ? '' : `${counted(rules, 'rules')} whatever the sizes; `}${planned.shared === 0 ? 'at most' : 'about'} ${counted(planned.total, 'set elements')} ` +
    `(endpoints ${countText(planned.endpoints)}, other hosts ${countText(planned.peers)}, identities ${countText(planned.identityPairs)}${shared}, fixed ${planned.fixed})\n`
  );
}

function commands(proposal: Proposal | undefined): string {
  const lines = (proposal?.networks ?? []).map(
    ({ name, cidr, layout }) =>
      `  romana network create ${name} --cidr ${cidr} --layout ${formatLayout(layout)}\n`,
  );
  const file =
    proposal === undefined || proposal.levels.length === 0
      ? ''
      : '  the same command with --as-topology prints networks, zones and racks as a topology file\n';
  return `To use it:\n${lines.join('')}${file}`;
}

function others({ proposals }: PlanAnswer, shown: number, draw: Draw): string {
  if (proposals.length < 2) return '';
  const rows = proposals.flatMap((proposal, index) => {
    const { networks, idsPerHost } = proposal;
    const first = proposal.runsOut.find(({ part }) => part !== 'routes');
    if (index === shown - 1 || first === undefined) return [];
    return [
      [
        index + 1,
        networks.map(({ layout }) => formatLayout(layout)).join(', '),
        idsPerHost,
        countText(Math.max(...networks.map(({ sharedTenants }) => sharedTenants))),
        factorText(first.factor),
        first.text,
      ],
    ];
  });
  const titles = ['NO', 'LAYOUT', 'IDS PER HOST', 'SHARED TENANTS', 'FACTOR', 'RUNS OUT FIRST'];
  return `Other proposals (--proposal NO shows one in full):\n${indent(draw(titles, rows))}`;
}

/** Addresses and routes apart: a budget of routes matters where its fabric is in use. */
function endsText(ends: readonly Exhaustion[], size: string): string {
  const factor = (end: Exhaustion): string => `(${factorText(end.factor)} ${size})`;
  const parts = ends.filter(({ part }) => part !== 'routes');
  const routes = ends.find(({ part }) => part === 'routes');
  return [
    ...parts
      .slice(0, 2)
      .map((end, i) => `${i === 0 ? 'runs out first' : 'then'}: ${end.text} ${factor(end)}\n`),
    ...(routes === undefined ? [] : [`first budget to end: ${routes.text} ${factor(routes)}\n`]),
  ].join('');
}

function routesText({ routes }: PlanAnswer, draw: Draw): string {
  return indent(
    draw(
      ['FABRIC', 'DEVICE', 'TODAY', 'PLANNED', 'BUDGET', 'ROUTES FOR'],
      routes.map(({ fabric, device, today, planned, budget, fits, what }) => [
        fabric,
        device,
        countText(today),
        countText(planned),
        budgetText(budget, fits),
        what,
      ]),
    ),
  );
}

function budgetText(budget: number | null, fits: boolean): string {
  return budget === null ? '-' : `${countText(budget)}${fits ? '' : ' exceeded'}`;
}

export function whatIfText(answer: WhatIfAnswer, headers = true): string {
  const draw = headers ? table : plain;
  const { before, after, parts, routes, elements, fits, problems, runsOut } = answer;
  const no = fits ? 'It fits, but not on every fabric' : 'It does not fit';
  const blocks = [
    `Before: ${sizesText(before)}\nAfter:  ${sizesText(after)}\n`,
    problems.length === 0 ? 'It fits.\n' : list(no, problems),
    draw(
      ['NETWORK', 'HOLDS', 'BEFORE', 'AFTER', 'AVAILABLE', 'FITS'],
      parts.map((one) => [
        one.network,
        partLabel(one.part, answer.before),
        countText(one.before),
        countText(one.after),
        countText(one.available),
        fitText(one),
      ]),
    ),
    `Routes to other hosts and groups, most on one device:\n${indent(
      draw(
        ['FABRIC', 'DEVICE', 'BEFORE', 'AFTER', 'CHANGE', 'BUDGET', 'ROUTES FOR'],
        routes.map((one) => [
          one.fabric,
          one.device,
          countText(one.before),
          countText(one.after),
          one.after === one.before ? 'none' : `+${countText(one.after - one.before)}`,
          budgetText(one.budget, one.fits),
          one.what,
        ]),
      ),
    )}`,
    [
      `set elements of a host: ${countText(elements.before.total)} before, ${countText(elements.after.total)} after\n`,
      endsText(runsOut, 'of what is used then'),
      ...answer.notes.map((note) => `note: ${note}\n`),
    ].join(''),
  ];
  return blocks.join('\n');
}

function fitText({ part, fits }: WhatIfPart): string {
  return fits ? 'yes' : part === 'tenants' ? 'shared' : 'no';
}

function indent(text: string): string {
  return text.replaceAll(/^(?=.)/gm, '  ');
}

function factorText(factor: number): string {
  return factor >= 100 ? `${countText(Math.floor(factor))}x` : `${factor.toFixed(2)}x`;
}

function percent(share: number): string {
  return share > 0 && share < 0.001 ? 'under 0.1 %' : `${(share * 100).toFixed(1)} %`;
}
