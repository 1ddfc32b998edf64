/** `romana completion SHELL` and the hidden command behind it. */
import { Argument, type Command } from 'commander';
import { complete, shellScripts, shells } from '../complete.ts';
import type { World } from '../world.ts';

export function addCompletion(program: Command, world: World): void {
  program
    .command('completion')
    .summary('Script that lets a shell complete romana command lines')
    .description(
      'Script that lets a shell complete romana command lines, e.g. source <(romana completion bash).',
    )
    .addArgument(new Argument('<shell>').choices(shells))
    .action((shell: (typeof shells)[number]) => world.out(shellScripts[shell]));
  program
    .command('__complete [words...]', { hidden: true })
    .allowUnknownOption()
    .helpOption(false)
    .action(async (words: string[]) => {
      const found = await complete(program, words, world);
      world.out(found.map(({ word, about }) => `${word}\t${about}\n`).join(''));
    });
}
