/** What the command of an operation takes: derived from the route table, with shorter names where the table has lists. */
import { routes } from '#contract/generated/routes.ts';
import type { OperationId } from '#contract/operations.ts';
import type { Route, RouteOption } from '#contract/route.ts';
import type { ValueRule } from './values.ts';

export interface CliOption extends ValueRule {
  readonly field: string;
  /** `attachment` is a part of the attachment, `path` a path parameter, `filter` narrows a list. */
  readonly in: 'body' | 'query' | 'path' | 'attachment';
  readonly required: boolean;
  readonly description: string;
  /** What stands for the value in help; null: a flag. */
  readonly placeholder: string | null;
}

/** Stands for a layout of null. */
const flat: CliOption = {
  flag: '--flat',
  field: 'layout',
  in: 'body',
  kind: 'boolean',
  nullable: false,
  choices: [],
  required: false,
  placeholder: null,
  description: 'No layout: the addresses say nothing, and none is given out yet; instead of --layout',
};

export interface CommandSpec {
  readonly id: OperationId;
  readonly route: Route;
  readonly noun: string;
  readonly verb: string;
  /** The parts of the object's name, outermost first: its one argument is these joined by `/`. Empty: takes no argument. */
  readonly key: readonly string[];
  readonly options: readonly CliOption[];
}

/** Lists are given one by one: `--address A --address B`; a comma works too. */
const singular: Readonly<Record<string, string>> = {
  '--addresses': '--address',
  '--networks': '--network',
  '--tenants': '--tenant',
  '--labels': '--label',
  '--uplinks': '--uplink',
  '--source-prefixes': '--source-prefix',
};

const placeholders: Readonly<Record<string, string>> = {
  address: 'ADDRESS',
  addresses: 'ADDRESS',
  cidr: 'CIDR',
  reserved: 'CIDR',
  sourcePrefixes: 'CIDR',
  layout: 'H/T/S/E',
  labels: 'KEY=VALUE',
  uplinks: 'DEVICE[=ADDRESS,…][@LINK]',
  group: 'GROUP',
  expiresInSeconds: 'SECONDS',
  quarantineSeconds: 'SECONDS',
};

const fallbackDescriptions: Readonly<Record<string, string>> = {
  id: 'Id to take; default: the lowest free one',
  addresses: "The host's own (underlay) addresses",
  sourcePrefixes: 'Further source prefix the endpoint may send from',
  expiresInSeconds: 'How long it is valid',
  reserved: 'Range never given out',
  quarantineSeconds: 'Seconds a released address rests before reuse',
};

const attachmentOptions: readonly CliOption[] = [
  attachmentOption('netns', 'PATH', 'Network namespace to wire to, e.g. /run/netns/web'),
  attachmentOption('ifname', 'NAME', 'Name of the link inside the namespace (default: eth0)'),
  attachmentOption('link', 'NAME', 'Existing link on the host, e.g. the tap of a VM; with --netns: its peer'),
];
const detach: CliOption = {
  ...attachmentOption('detach', 'NAME', 'Wire nothing: address only'),
  kind: 'boolean',
  placeholder: null,
};

function attachmentOption(field: string, placeholder: string, description: string): CliOption {
  const flag = `--${field}`;
  return {
    flag,
    field,
    in: 'attachment',
    kind: 'string',
    nullable: false,
    choices: [],
    required: false,
    placeholder,
    description,
  };
}

function fromRoute(noun: string, option: RouteOption): CliOption {
  const flag = singular[option.option] ?? option.option;
  const about =
    option.description.startsWith('Name: ') || option.description === ''
      ? (fallbackDescriptions[option.field] ?? `Only of this ${option.field}`)
      : option.description;
  const scalar = ['string', 'number'].includes(typeof option.default) && option.default !== '';
  return {
    flag,
    field: option.field,
    in: option.in,
    kind: option.kind,
    nullable: option.nullable,
    choices: option.choices,
    required: option.required,
    placeholder: option.kind === 'boolean' ? null : placeholderOf(noun, option),
    description: scalar ? `${about} (default: ${String(option.default)})` : about,
  };
}

function placeholderOf(noun: string, option: RouteOption): string {
  if (option.kind === 'enum') return option.choices.join('|');
  if (noun === 'host' && option.field === 'group') return 'GROUP';
  return placeholders[option.field] ?? (option.kind === 'integer' ? 'N' : 'NAME');
}

function parentOption(field: string): CliOption {
  const description = `The ${field}, when the argument does not name it`;
  return {
    flag: `--${field}`,
    field,
    in: 'path',
    kind: 'string',
    nullable: false,
    choices: [],
    required: false,
    placeholder: 'NAME',
    description,
  };
}

function specOf(id: OperationId, route: Route, noun: string, verb: string): CommandSpec {
  // The name of a new object is a field of its body; it is the argument all the same.
  const named = route.options.some((option) => option.in === 'body' && option.field === 'name');
  const key = named ? [...route.params, 'name'] : route.params;
  const options = route.options.flatMap((option) => {
    if (option.in === 'body' && option.field === 'name') return [];
    if (option.kind === 'layout') return [{ ...fromRoute(noun, option), nullable: false }, flat];
    if (option.field !== 'attachment') return [fromRoute(noun, option)];
    return verb === 'update' ? [...attachmentOptions, detach] : attachmentOptions;
  });
  return { id, route, noun, verb, key, options: [...key.slice(0, -1).map(parentOption), ...options] };
}

export const specs: readonly CommandSpec[] = (Object.entries(routes) as [OperationId, Route][]).flatMap(
  ([id, route]) => (route.cli === null ? [] : [specOf(id, route, route.cli[0], route.cli[1])]),
);
