/** Reads what `romana plan propose -o json` printed. */
import { addressPlan, type Layout, parseCidr } from '../../address/index.ts';
import { isRomanaError, RomanaError } from '../../errors.ts';
import { vpcGrain } from './costs.ts';
import { checkInput, fieldsOf, readCount } from './input.ts';
import type { PlanAnswer, PlanInput, Proposal, StandingPlan } from './types.ts';
import { widthsOf } from './whatif.ts';

/** The standing plan of an answer's proposal, with the sizes of today. */
export function standingPlan(answer: PlanAnswer, proposal: Proposal): StandingPlan {
  return standing(answer.input, {
    networks: proposal.networks.map(({ layout }) => layout),
    zoneSlots: proposal.levels.find(({ level }) => level === 'zone')?.slots ?? 1,
    rackSlots: proposal.levels.find(({ level }) => level === 'rack')?.slots ?? 1,
    idsPerHost: proposal.idsPerHost,
  });
}

function standing(
  input: PlanInput,
  chosen: {
    networks: readonly Layout[];
    zoneSlots: number;
    rackSlots: number;
    idsPerHost: number;
  },
): StandingPlan {
  const { growth: _, networks, budgets, ...sizes } = input;
  const checked = checkInput(input);
  const plan: StandingPlan = {
    sizes,
    budgets,
    networks: networks.map(({ name, cidr }, index) => ({ name, cidr, layout: chosen.networks[index]! })),
    zoneSlots: chosen.zoneSlots,
    rackSlots: chosen.rackSlots,
    idsPerHost: chosen.idsPerHost,
    vpcPer: vpcGrain(
      checked.planned,
      checked.networks.map(({ cidr }) => cidr.address.family),
      budgets.vpcRoutes,
    ),
  };
  for (const network of plan.networks) widthsOf(plan, network);
  return plan;
}

/** `document` is believed in nothing. `choice` counts proposals from 1. Throws input_invalid. */
export function readStandingPlan(document: unknown, choice: number): StandingPlan {
  const fields = fieldsOf(document, 'The plan');
  const { input } = checkInput(fields['input']);
  const { proposals } = fields;
  if (!Array.isArray(proposals) || !Number.isInteger(choice) || choice < 1 || choice > proposals.length) {
    throw refuse(
      'proposals',
      `The plan has ${Array.isArray(proposals) ? proposals.length : 'no'} proposals, none with number ${choice}.`,
    );
  }
  const path = `proposals.${choice - 1}`;
  const proposal = fieldsOf((proposals as unknown[])[choice - 1], path);
  const networks = readList(proposal['networks'], `${path}.networks`);
  const levels = readList(proposal['levels'], `${path}.levels`);
  if (networks.length !== input.networks.length) {
    throw refuse(`${path}.networks`, 'The proposal has not the networks of its input.');
  }
  const slots = (name: string, there: boolean): number => {
    if (!there) return 1;
    const level = levels.find((one) => one['level'] === name);
    if (level === undefined) throw refuse(`${path}.levels`, `The proposal has no level ${name}.`);
    return readCount(level, 'slots', 1);
  };
  return standing(input, {
    networks: networks.map((network, index) =>
      readLayout(network['layout'], input.networks[index]!.cidr, `${path}.networks.${index}.layout`),
    ),
    zoneSlots: slots('zone', input.zones !== null),
    rackSlots: slots('rack', input.racks !== null),
    idsPerHost: readCount(proposal, 'idsPerHost', 1),
  });
}

function refuse(path: string, message: string): RomanaError {
  return new RomanaError('input_invalid', message, { details: { path } });
}

function readList(value: unknown, path: string): Readonly<Record<string, unknown>>[] {
  if (!Array.isArray(value)) throw refuse(path, `${path} must be a list.`);
  return (value as unknown[]).map((entry, index) => fieldsOf(entry, `${path}.${index}`));
}

function readLayout(value: unknown, cidr: string, path: string): Layout {
  const fields = fieldsOf(value, path);
  const layout = {
    host: readCount(fields, 'host', 1, 32),
    tenant: readCount(fields, 'tenant', 1, 32),
    segment: readCount(fields, 'segment', 1, 32),
    endpoint: readCount(fields, 'endpoint', 1, 128),
  };
  try {
    addressPlan(parseCidr(cidr), layout);
  } catch (error) {
    throw isRomanaError(error) ? refuse(path, error.message) : error;
  }
  return layout;
}
