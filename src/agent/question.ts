/**
 * What was asked for with an endpoint, as the journal keeps it, and whether it is asked for again. Imports contract, core, agent.
 *
 * 1. Nothing is filled in: networks that nobody named are no part of the question, as which ones are the default changes.
 */
import { isDeepStrictEqual } from 'node:util';
import { formatAddress, formatCidr, parseAddress, parseCidr } from '#core/address/index.ts';
import { RomanaError } from '#core/errors.ts';
import type { Held } from './allocator.ts';
import type { LocalEndpointInput } from './endpoints.ts';

type Asked = Omit<LocalEndpointInput, 'tenant' | 'segment' | 'name'>;
type Fields = Readonly<Record<string, unknown>>;

/** In canonical text. */
export function questionOf(asked: Asked): string {
  return JSON.stringify(fieldsOf(asked));
}

/** Of an endpoint that was taken over from the server's records, which tell what it is and not what was asked for. */
export function adoptedQuestion(wiring: Pick<Asked, 'attachment' | 'sourcePrefixes'>): string {
  return JSON.stringify({ adopted: true, ...wiringOf(wiring) });
}

/** Throws `conflict` unless what is asked for is what the endpoint was asked for with. */
export function demandSame({ allocation }: Held, input: Asked): void {
  const asked = fieldsOf(input);
  const recorded = JSON.parse(allocation.question) as Fields;
  const before = recorded['adopted'] === true ? { ...recorded, ...answering(allocation, asked) } : recorded;
  const fields = Object.keys(asked).filter((name) => !isDeepStrictEqual(asked[name], before[name]));
  if (fields.length === 0) return;
  throw new RomanaError(
    'conflict',
    `Endpoint ${allocation.key} exists with other properties (${fields.join(', ')}); delete it first or use another name.`,
    { details: { key: allocation.key, fields } },
  );
}

function fieldsOf(asked: Asked): Fields {
  const { networks = null, addresses = [], endpointId = null } = asked;
  const fixed = addresses.map((text) => formatAddress(parseAddress(text))).sort();
  return { networks, addresses: fixed.length === 0 ? null : fixed, endpointId, ...wiringOf(asked) };
}

function wiringOf({ attachment = { kind: 'none' }, sourcePrefixes = [] }: Partial<Asked>): Fields {
  return { attachment, sourcePrefixes: sourcePrefixes.map((text) => formatCidr(parseCidr(text))).sort() };
}

/** What of the question the addresses answer by being what they are; what was not asked for, anything answers. */
function answering({ addresses }: Held['allocation'], asked: Fields): Fields {
  const wished: unknown[] = Array.isArray(asked['addresses']) ? asked['addresses'] : [];
  const texts = addresses.map(({ address }) => formatAddress(address)).sort();
  const { endpointId } = asked;
  return {
    networks: asked['networks'] === null ? null : addresses.map(({ network }) => network),
    addresses: wished.length === 0 ? null : texts.filter((text) => wished.includes(text)),
    endpointId: addresses.every((one) => one.endpointId === endpointId) ? endpointId : null,
  };
}
