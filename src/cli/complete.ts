/**
 * Completion of a half-written command line: from the tree of commands, and names of objects from the server. Whatever goes wrong
 * there are just fewer candidates: a shell that completes must never show an error or hang.
 */
import type { Command } from 'commander';
import { type Client, createClient } from '#contract/client.ts';
import { nameOf } from './columns.ts';
import { loadAccess } from './config.ts';
import { formats, type Item } from './output.ts';
import { specs } from './spec.ts';
import type { World } from './world.ts';

export interface Candidate {
  readonly word: string;
  readonly about: string;
}

/** How long a shell waits for names. */
const patienceMs = 1500;

/** Option → noun whose names it takes. */
const named: Readonly<Record<string, string>> = {
  '--host': 'host',
  '--tenant': 'tenant',
  '--segment': 'segment',
  '--network': 'network',
};

/** `words`: what stands after `romana`, the last one being completed (perhaps empty). */
export async function complete(
  program: Command,
  words: readonly string[],
  world: World,
): Promise<Candidate[]> {
  const current = words.at(-1) ?? '';
  const { command, previous } = locate(program, words.slice(0, -1));
  const found = await candidates(command, previous, current, words, world);
  return found.filter(({ word }) => word.startsWith(current));
}

/** The command that the words lead to, and the option that still waits for its value. */
function locate(
  program: Command,
  words: readonly string[],
): { command: Command; previous: string | undefined } {
  let command = program;
  let previous: string | undefined;
  for (const word of words) {
    if (previous !== undefined) previous = undefined;
    else if (word.startsWith('-')) previous = takesValue(command, word) ? word : undefined;
    else command = command.commands.find((child) => child.name() === word) ?? command;
  }
  return { command, previous };
}

function takesValue(command: Command, flag: string): boolean {
  const option = command.options.find((known) => known.long === flag || known.short === flag);
  return option !== undefined && (option.required || option.optional);
}

async function candidates(
  command: Command,
  previous: string | undefined,
  current: string,
  words: readonly string[],
  world: World,
): Promise<Candidate[]> {
  const spec = specs.find((known) => known.noun === command.parent?.name() && known.verb === command.name());
  if (previous !== undefined) {
    const option = command.options.find((known) => known.long === previous || known.short === previous);
    if (option?.long === '--output') return formats.map((word) => ({ word, about: '' }));
    const ours = spec?.options.find((known) => known.flag === previous)?.choices;
    const choices = ours ?? option?.argChoices ?? [];
    if (choices.length > 0) return choices.map((word) => ({ word, about: '' }));
    if (option?.long === '--device') return devicesOf(words, world);
    const noun = named[previous];
    return noun === undefined ? [] : namesOf(noun, words, world);
  }
  if (current.startsWith('-')) {
    return command.options
      .filter((option) => !option.hidden)
      .map((option) => ({ word: option.long ?? option.short ?? '', about: option.description }));
  }
  if (command.commands.length > 0) {
    return command
      .createHelp()
      .visibleCommands(command)
      .map((child) => ({ word: child.name(), about: child.summary() }));
  }
  if (spec === undefined) {
    const [first] = command.registeredArguments;
    return first?.name() === 'host' ? namesOf('host', words, world) : [];
  }
  const wants = spec.key.length > 0 && spec.verb !== 'create';
  return wants ? namesOf(spec.noun, words, world) : [];
}

/** Switches and routers, wherever a topology lists them. */
async function devicesOf(words: readonly string[], world: World): Promise<Candidate[]> {
  const inside = ({ devices = [], groups = [] }: Listing): Item[] => [...devices, ...groups.flatMap(inside)];
  const items = await asked(words, world, async (client) => {
    const { further = [], ...first } = await client.topologyShow();
    return [first, ...further].flatMap(inside);
  });
  return items.map((item) => ({ word: String(item['name']), about: '' }));
}

interface Listing {
  readonly devices?: readonly Item[] | undefined;
  readonly groups?: readonly Listing[] | undefined;
}

/** Of a segment with `--tenant` in the line only the last part. */
async function namesOf(noun: string, words: readonly string[], world: World): Promise<Candidate[]> {
  const list = specs.find((spec) => spec.noun === noun && spec.verb === 'list');
  if (list === undefined) return [];
  const tenant = valueOf(words, '--tenant');
  const short = noun === 'segment' && (tenant !== undefined || words.includes('--segment'));
  const items = await asked(words, world, async (client) => {
    const method = client[list.id] as (input: unknown) => Promise<{ items: Item[] }>;
    return (await method({ query: tenant === undefined ? {} : { tenant } })).items;
  });
  return items.map((item) => ({ word: short ? String(item['name']) : nameOf(noun, item), about: '' }));
}

function asked(
  words: readonly string[],
  world: World,
  question: (client: Client) => Promise<Item[]>,
): Promise<Item[]> {
  return withTimeout(async () => {
    const access = await loadAccess(
      { config: valueOf(words, '--config'), server: valueOf(words, '--server') },
      world,
    );
    const connection = await world.connect(access);
    try {
      return await question(createClient({ transport: connection.transport }));
    } finally {
      connection.close();
    }
  });
}

async function withTimeout(read: () => Promise<Item[]>): Promise<Item[]> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<Item[]>((resolve) => {
    timer = setTimeout(() => resolve([]), patienceMs);
  });
  try {
    return await Promise.race([read(), late]);
  } catch {
    return [];
  } finally {
    clearTimeout(timer);
  }
}

function valueOf(words: readonly string[], flag: string): string | undefined {
  const at = words.indexOf(flag);
  return at === -1 ? undefined : words[at + 1];
}

export const shells = ['bash', 'zsh', 'fish'] as const;

/** What a shell evaluates once: from then on it asks `romana __complete`. */
export const shellScripts: Readonly<Record<(typeof shells)[number], string>> = {
  bash: `_romana() {
  local line
  COMPREPLY=()
  while IFS= read -r line; do COMPREPLY+=("\${line%%$'\\t'*}"); done < <(romana __complete -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -o default -F _romana romana
`,
  zsh: `#compdef romana
_romana() {
  local -a found
  local line
  while IFS= read -r line; do found+=("\${\${line%%$'\\t'*}//:/\\\\:}:\${line#*$'\\t'}"); done < <(romana __complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)
  _describe romana found
}
compdef _romana romana
`,
  fish: `function __romana_complete
  set -l words (commandline --tokenize --cut-at-cursor --current-process) (commandline --current-token --cut-at-cursor)
  romana __complete -- $words[2..-1] 2>/dev/null
end
complete --command romana --no-files --arguments '(__romana_complete)'
`,
};
