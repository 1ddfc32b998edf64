/** One invocation: from arguments to exit code. */
import { CommanderError } from 'commander';
import { errorText, exitCodeOf, exitCodes, usage } from './exit.ts';
import { createProgram } from './program.ts';
import type { World } from './world.ts';

export async function run(argv: readonly string[], world: World): Promise<number> {
  let exitCode: number = exitCodes.ok;
  const setExitCode = (code: number): void => {
    exitCode = code;
  };
  const program = createProgram(world, setExitCode, argv[0] ?? '');
  try {
    await program.parseAsync(argv, { from: 'user' });
    return exitCode;
  } catch (error) {
    // Help was asked for: it is the answer. Help because something was missing: that went to standard error.
    if (error instanceof CommanderError && error.exitCode === 0) return exitCodes.ok;
    if (error instanceof CommanderError && error.code === 'commander.help') return exitCodes.usage;
    const shown = error instanceof CommanderError ? usage(commanderText(error, argv)) : error;
    world.err(errorText(shown, wantsJson(argv)));
    return exitCodeOf(shown);
  }
}

function commanderText(error: CommanderError, argv: readonly string[]): string {
  const [first = '', ...more] = error.message.replace(/^error: /, '').split('\n');
  const text = `${first.slice(0, 1).toUpperCase()}${first.slice(1)}`.replace(/\.?$/, '.');
  const words = argv.slice(0, argv.findIndex((word) => word.startsWith('-')) >>> 0).slice(0, 2);
  const command = error.code === 'commander.unknownCommand' ? words.slice(0, -1) : words;
  const where = ['romana', ...command, '--help'].join(' ');
  return [text, ...more, `See: ${where}`].join(' ');
}

/** Known before the command line is understood: a program that asked for JSON gets its errors as JSON, too. */
function wantsJson(argv: readonly string[]): boolean {
  const own = argv.slice(0, argv.indexOf('--') >>> 0);
  return own.some(
    (word, i) =>
      word === '-ojson' ||
      word === '--output=json' ||
      ((word === '-o' || word === '--output') && own[i + 1] === 'json'),
  );
}
