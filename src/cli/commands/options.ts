/** The options of an operation, between commander and `request.ts`. */
import { type Command, Option } from 'commander';
import type { CliOption, CommandSpec } from '../spec.ts';

export function addOptions(command: Command, spec: CommandSpec): void {
  for (const option of spec.options) command.addOption(commanderOption(option));
}

function commanderOption(option: CliOption): Option {
  const text = `${option.description}${option.required ? ' (required)' : ''}`;
  const flags = option.placeholder === null ? option.flag : `${option.flag} <${option.placeholder}>`;
  const made = new Option(flags, text);
  // Every occurrence is kept: lists are given one by one, and for the rest the last one counts.
  if (option.placeholder !== null) {
    made.argParser((value: string, before: string[] | undefined) => [...(before ?? []), value]);
  }
  return made;
}

/** What was given, by flag. */
export function occurrences(
  spec: CommandSpec,
  options: Readonly<Record<string, unknown>>,
): Map<string, readonly string[]> {
  const given = new Map<string, readonly string[]>();
  for (const option of spec.options) {
    const value = options[attributeOf(option.flag)];
    if (value === true) given.set(option.flag, ['true']);
    else if (Array.isArray(value)) given.set(option.flag, value as string[]);
  }
  return given;
}

/** commander's name of the value of `--expires-in-seconds`. */
function attributeOf(flag: string): string {
  return flag.slice(2).replaceAll(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
}
