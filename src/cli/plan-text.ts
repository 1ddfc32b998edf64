/** Plans as text for people. Everything here is also in `-o json`. */
import { formatLayout } from '#core/address/index.ts';
import {
  type Exhaustion,
  type PlanAnswer,
  type PlanSizes,
  type Proposal,
  partLabel,
  type WhatIfAnswer,
} from '#core/plan/planner/index.ts';
import { table } from './output.ts';

export function proposalText(answer: PlanAnswer): string {
  const { input, planned, proposals } = answer;
  const grows = [input.growth.hosts, input.growth.tenants, input.growth.endpoints].some((g) => g > 1);
  const blocks = [
    [
      `Asked:   ${sizesText(input)}\n`,
      ...(grows ? [`Planned: ${sizesText(planned)}\n`] : []),
      ...answer.assumptions.map((text) => `Assumed: ${text}\n`),
    ].join(''),
    ...(answer.fits ? [] : [['Nothing fits:\n', ...answer.reasons.map(bullet)].join('')]),
    ...proposals.map((proposal, index) => oneProposal(answer, proposal, index + 1)),
    `Routes to other hosts and groups, most on one device (own endpoints not counted):\n${routesText(answer)}`,
    ...(answer.advice.length === 0 ? [] : [['What would help:\n', ...answer.advice.map(bullet)].join('')]),
  ];
  return blocks.join('\n');
}

function bullet(text: string): string {
  return `  - ${text}\n`;
}

function sizesText(sizes: PlanSizes): string {
  const count = (n: number, one: string): string => `${grouped(n)} ${n === 1 ? one : `${one}s`}`;
  return [
    count(sizes.hosts, 'host') +
      (sizes.racks === null ? '' : ` in ${count(sizes.racks, 'rack')}`) +
      (sizes.zones === null ? '' : ` of ${count(sizes.zones, 'zone')}`),
    `${count(sizes.tenants, 'tenant')} of ${count(sizes.segments, 'segment')}`,
    `${count(sizes.endpointsPerHost, 'endpoint')} on a host`,
  ].join(', ');
}

function oneProposal(answer: PlanAnswer, proposal: Proposal, number: number): string {
  const { idsPerHost, networks, levels, runsOut, cost, notes } = proposal;
  const head = `${number}. ${networks.map(({ cidr, layout }) => `${cidr} ${formatLayout(layout)}`).join(', ')}${
    idsPerHost === 1 ? '' : `, ${idsPerHost} ids per host`
  }${number === 1 && answer.fits ? ' (recommended)' : ''}\n`;
  const fields = table(
    ['NETWORK', 'FIELD', 'BITS', 'HOLDS', 'TODAY', 'PLANNED', 'AVAILABLE', 'FACTOR'],
    networks.flatMap(({ headroom }) =>
      headroom.map((one) => [
        one.network,
        one.field,
        one.bits,
        partLabel(one.part, answer.input),
        grouped(one.today),
        grouped(one.planned),
        grouped(one.available),
        factorText(one.factor),
      ]),
    ),
  );
  const topology = levels.map(
    ({ level, planned, slots, sizes }) =>
      `topology: ${planned} ${level}s${level === 'rack' && answer.input.zones !== null ? ' per zone' : ''} in ${grouped(slots)} slots; a ${level} is ` +
      `${sizes.map(({ network, prefixLength, hostIds }) => `a /${prefixLength} of ${network} (${grouped(hostIds)} host ids)`).join(', ')}\n`,
  );
  const addresses = networks.map(
    ({ name, addresses: use }) =>
      `addresses: ${name} has ${grouped(BigInt(use.total))}; ids 0 and padding lose ${percent(use.lostShare)}, planned endpoints use ${percent(use.plannedShare)}\n`,
  );
  const { planned } = cost.elements;
  const kernel =
    `each host: ${cost.rules === null ? '' : `${cost.rules} rules whatever the size; `}at most ${grouped(planned.total)} set elements ` +
    `(endpoints ${grouped(planned.endpoints)}, other hosts ${grouped(planned.peers)}, identities ${grouped(planned.identityPairs)}, ` +
    `shared ${grouped(planned.shared)}, fixed ${planned.fixed})\n`;
  return [
    head,
    indent(fields),
    indent(topology.join('')),
    indent(addresses.join('')),
    indent(kernel),
    indent(endsText(runsOut)),
    ...notes.map((note) => `  note: ${note}\n`),
  ].join('');
}

function endsText(ends: readonly Exhaustion[]): string {
  const [first, ...rest] = ends;
  if (first === undefined) return '';
  const next = rest[0];
  return [
    `runs out first: ${first.text} (${factorText(first.factor)})\n`,
    ...(next === undefined ? [] : [`runs out next: ${next.text} (${factorText(next.factor)})\n`]),
  ].join('');
}

function routesText({ routes }: PlanAnswer): string {
  return indent(
    table(
      ['FABRIC', 'DEVICE', 'TODAY', 'PLANNED', 'BUDGET', 'ROUTES FOR'],
      routes.map(({ fabric, device, today, planned, budget, fits, what }) => [
        fabric,
        device,
        grouped(today),
        grouped(planned),
        budgetText(budget, fits),
        what,
      ]),
    ),
  );
}

function budgetText(budget: number | null, fits: boolean): string {
  return budget === null ? '-' : `${grouped(budget)}${fits ? '' : ' exceeded'}`;
}

export function whatIfText(answer: WhatIfAnswer): string {
  const { before, after, parts, routes, elements } = answer;
  const blocks = [
    `Before: ${sizesText(before)}\nAfter:  ${sizesText(after)}\n${answer.fits ? 'It fits.' : 'It does not fit.'}\n`,
    ...(answer.problems.length === 0 ? [] : [`Problems:\n${answer.problems.map(bullet).join('')}`]),
    table(
      ['NETWORK', 'HOLDS', 'BEFORE', 'AFTER', 'AVAILABLE', 'FITS'],
      parts.map((one) => [
        one.network,
        partLabel(one.part, answer.before),
        grouped(one.before),
        grouped(one.after),
        grouped(one.available),
        one.fits,
      ]),
    ),
    table(
      ['FABRIC', 'DEVICE', 'BEFORE', 'AFTER', 'CHANGE', 'BUDGET', 'ROUTES FOR'],
      routes.map((one) => [
        one.fabric,
        one.device,
        grouped(one.before),
        grouped(one.after),
        one.after === one.before ? 'none' : `+${grouped(one.after - one.before)}`,
        budgetText(one.budget, one.fits),
        one.what,
      ]),
    ),
    [
      `set elements of a host: at most ${grouped(elements.before.total)} → ${grouped(elements.after.total)}\n`,
      ...answer.notes.map((note) => `note: ${note}\n`),
      endsText(answer.runsOut),
    ].join(''),
  ];
  return blocks.join('\n');
}

function indent(text: string): string {
  return text.replaceAll(/^(?=.)/gm, '  ');
}

function factorText(factor: number): string {
  return factor >= 100 ? `${grouped(Math.floor(factor))}x` : `${factor.toFixed(2)}x`;
}

function percent(share: number): string {
  return share > 0 && share < 0.001 ? 'under 0.1 %' : `${(share * 100).toFixed(1)} %`;
}

/** 16777216 → 16 777 216; beyond 10^15 as a power, since nobody counts the digits. */
function grouped(value: number | bigint): string {
  if (value >= 1e15) return Number(value).toExponential(1);
  return String(value).replaceAll(/\B(?=(\d{3})+$)/g, ' ');
}
