/** Answers as a table, JSON, YAML, or names alone. */
import { type Cell, columnsOf, fieldsOf, isSecret, nameOf } from './columns.ts';
import { usage } from './exit.ts';
import type { World } from './world.ts';

export type Format = 'table' | 'json' | 'yaml';
export const formats: readonly Format[] = ['table', 'json', 'yaml'];

export interface OutputOptions {
  readonly output?: string | undefined;
  readonly headers?: boolean | undefined;
  readonly quiet?: boolean | undefined;
}

export function formatOf(options: OutputOptions): Format {
  const format = formats.find((known) => known === (options.output ?? 'table'));
  if (format === undefined)
    throw usage(`-o: ${JSON.stringify(options.output)} is none of ${formats.join(', ')}.`);
  return format;
}

export type Item = Readonly<Record<string, unknown>>;

export async function dump(value: unknown, format: 'json' | 'yaml'): Promise<string> {
  if (format === 'json') return `${JSON.stringify(value, null, 2)}\n`;
  const { stringify } = await import('./yaml.ts');
  return stringify(value, { lineWidth: 0 });
}

/** One object: with `quiet` its name, or its secret when it carries one that is shown only now. */
export async function writeObject(
  world: World,
  noun: string,
  value: Item,
  options: OutputOptions,
): Promise<void> {
  const format = formatOf(options);
  if (options.quiet === true) {
    world.out(`${isSecret(value) ? value.token : nameOf(noun, value)}\n`);
  } else if (format === 'table') world.out(pairs(fieldsOf(noun, value)));
  else world.out(await dump(value, format));
}

export async function writeList(
  world: World,
  noun: string,
  answer: Item,
  options: OutputOptions,
): Promise<void> {
  const format = formatOf(options);
  const items = Array.isArray(answer['items']) ? (answer['items'] as Item[]) : [];
  if (options.quiet === true) world.out(items.map((item) => `${nameOf(noun, item)}\n`).join(''));
  else if (format !== 'table') world.out(await dump(answer, format));
  else if (items.length === 0) world.err(emptyText(noun));
  else {
    const columns = columnsOf(noun);
    const rows = items.map((item) => columns.map(([, read]) => read(item)));
    const titles = columns.map(([title]) => title);
    world.out(table(options.headers === false ? undefined : titles, rows));
  }
}

const creation: Readonly<Record<string, string>> = {
  network: 'romana network create NAME --cidr 10.0.0.0/8 --layout 8/8/4/4',
  host: 'romana host create NAME --address ADDRESS',
  tenant: 'romana tenant create NAME',
  segment: 'romana segment create TENANT/NAME',
  endpoint: 'romana endpoint create TENANT/SEGMENT/NAME --host HOST',
  token: 'romana token create NAME --role viewer',
};

function emptyText(noun: string): string {
  const how = creation[noun];
  return `No ${noun}s.${how === undefined ? '' : ` Create one: ${how}`}\n`;
}

/** Columns aligned by two spaces; the last one is never padded, so that no line ends in blanks. Lines are never folded. */
export function table(titles: readonly string[] | undefined, rows: readonly (readonly Cell[])[]): string {
  const text = [...(titles === undefined ? [] : [titles]), ...rows.map((row) => row.map(cellText))];
  const widths: number[] = [];
  for (const row of text) row.forEach((cell, i) => (widths[i] = Math.max(widths[i] ?? 0, cell.length)));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, i) => cell + ' '.repeat((widths[i] ?? 0) - cell.length))
      .join('  ')
      .trimEnd();
  return text.map((row) => `${line(row)}\n`).join('');
}

export function pairs(fields: readonly (readonly [string, Cell])[]): string {
  const width = Math.max(0, ...fields.map(([title]) => title.length)) + 1;
  return fields.map(([title, value]) => `${`${title}:`.padEnd(width)} ${cellText(value)}\n`).join('');
}

/** Control characters would move the cursor or begin a line: an object's text is shown, never obeyed. */
function cellText(value: Cell): string {
  if (value === null || value === undefined || value === '') return '-';
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  return String(value).replaceAll(/\p{Cc}+/gu, ' ');
}
