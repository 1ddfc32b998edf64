/** Arguments, options and a document as the parts of a request. Pure: the one place that knows how the three go together. */
import { usage } from './exit.ts';
import type { CliOption, CommandSpec } from './spec.ts';
import { readValue } from './values.ts';

export interface RequestParts {
  readonly params: Readonly<Record<string, string>>;
  readonly query: Readonly<Record<string, unknown>>;
  readonly body: Readonly<Record<string, unknown>> | undefined;
}

export interface Given {
  /** The argument; undefined when there was none. */
  readonly name?: string | undefined;
  /** Flag (`--cidr`) → its occurrences. */
  readonly options: ReadonlyMap<string, readonly string[]>;
  /** The content of `-f FILE`. Options win over it. */
  readonly document?: Readonly<Record<string, unknown>> | undefined;
}

export function buildRequest(spec: CommandSpec, given: Given): RequestParts {
  const body: Record<string, unknown> = { ...given.document };
  const key = readKey(spec, given, body);
  const params: Record<string, string> = {};
  for (const [part, value] of Object.entries(key)) {
    if (spec.route.params.includes(part)) params[part] = value;
    else body[part] = value;
  }
  const query: Record<string, unknown> = {};
  for (const option of spec.options) {
    const texts = given.options.get(option.flag);
    if (texts === undefined || option.in === 'path' || option.in === 'attachment') continue;
    if (option.flag === '--flat') {
      if (given.options.has('--layout')) throw usage('--flat cannot go together with --layout.');
      if (texts.at(-1) === 'true') body[option.field] = null;
    } else (option.in === 'query' ? query : body)[option.field] = readValue(option, texts);
  }
  const attachment = readAttachment(given.options);
  if (attachment !== undefined) body['attachment'] = attachment;
  if (spec.route.body) checkBody(spec, body);
  return { params, query, body: spec.route.body ? body : undefined };
}

/**
 * The parts of the name, from the argument `T/S/NAME`, from options (`--tenant T`) or from the document, in this order of rank. Parts
 * are taken out of `document`. Said twice in different words is a mistake, not a choice.
 */
function readKey(spec: CommandSpec, given: Given, document: Record<string, unknown>): Record<string, string> {
  const { key } = spec;
  if (key.length === 0) return {};
  const form = key.map((part) => part.toUpperCase()).join('/');
  const written = given.name?.split('/') ?? [];
  if (written.length > key.length || written.some((part) => part === '')) {
    throw usage(`${JSON.stringify(given.name)} is not of the form ${form}.`);
  }
  const found: Record<string, string> = {};
  key.forEach((part, index) => {
    const fromArgument = written[index - (key.length - written.length)];
    const fromOption = index === key.length - 1 ? undefined : given.options.get(`--${part}`)?.at(-1);
    const fromDocument = document[part];
    delete document[part];
    if (fromArgument !== undefined && fromOption !== undefined && fromArgument !== fromOption) {
      throw usage(`The ${part} is ${fromArgument} in the argument, but ${fromOption} in --${part}.`);
    }
    const value = fromArgument ?? fromOption ?? (typeof fromDocument === 'string' ? fromDocument : undefined);
    if (value === undefined || value === '') {
      const ways = index === key.length - 1 ? 'as the argument' : `with --${part}, or write ${form}`;
      throw usage(`The ${part === 'name' ? `name of the ${spec.noun}` : part} is missing: give it ${ways}.`);
    }
    found[part] = value;
  });
  return found;
}

/** The kind follows from what is named: a namespace, a link, or both. */
function readAttachment(options: Given['options']): Record<string, string> | undefined {
  const [netns, ifname, link] = ['--netns', '--ifname', '--link'].map((flag) => options.get(flag)?.at(-1));
  if (options.has('--detach')) {
    if (netns !== undefined || link !== undefined || ifname !== undefined) {
      throw usage('--detach cannot go together with --netns, --ifname or --link.');
    }
    return { kind: 'none' };
  }
  if (ifname !== undefined && netns === undefined) {
    throw usage('--ifname names a link inside a network namespace: give --netns too.');
  }
  const inside = ifname === undefined ? {} : { ifname };
  if (netns !== undefined && link !== undefined)
    return { kind: 'existing-netns-peer', link, netns, ...inside };
  if (netns !== undefined) return { kind: 'veth-netns', netns, ...inside };
  if (link !== undefined) return { kind: 'existing-link', link };
  return undefined;
}

function checkBody(spec: CommandSpec, body: Readonly<Record<string, unknown>>): void {
  const missing = spec.options.filter((o) => o.in === 'body' && o.required && body[o.field] === undefined);
  if (missing.length > 0) throw usage(`Missing: ${missing.map(shown).join(', ')}.`);
  if (spec.verb === 'update' && Object.keys(body).length === 0) {
    const ways = spec.options.filter((o) => o.in === 'body' || o.in === 'attachment').map((o) => o.flag);
    throw usage(`Nothing to change: give at least one of ${ways.join(', ')}.`);
  }
}

function shown(option: CliOption): string {
  return option.placeholder === null ? option.flag : `${option.flag} ${option.placeholder}`;
}
