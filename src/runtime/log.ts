import type { Clock, Log } from '#core/ports.ts';
import { systemClock } from './clock.ts';

export const logLevels = ['debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof logLevels)[number];

interface Options {
  readonly level?: LogLevel;
  /** Fields of every line, e.g. `{ part: 'agent', host: 'h1' }`. */
  readonly base?: Readonly<Record<string, unknown>>;
  readonly clock?: Pick<Clock, 'now'>;
  /** Takes one line with its newline. Default: standard error, so that standard output stays for answers. */
  readonly write?: (line: string) => void;
}

/** Lines as pino writes them: `{"level":"info","time":"…","msg":"…", …fields}`. */
export function createLog(options: Options = {}): Log {
  const { level = 'info', base = {}, clock = systemClock, write = toStderr } = options;
  const least = logLevels.indexOf(level);
  const at = (name: LogLevel): Log['info'] => {
    if (logLevels.indexOf(name) < least) return () => undefined;
    return (fields, message) => {
      try {
        write(`${line(name, clock.now(), { ...base, ...fields }, message)}\n`);
      } catch {
        // A full disk or a closed pipe under the log must not stop the program that logs.
      }
    };
  };
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}

function line(level: LogLevel, now: number, fields: Record<string, unknown>, msg: string): string {
  const head = { level, time: new Date(now).toISOString(), msg };
  try {
    return JSON.stringify({ ...fields, ...head }, plain);
  } catch {
    // A cycle, or a toJSON that throws.
    return JSON.stringify({ ...head, unprintable: Object.keys(fields) });
  }
}

/** What JSON leaves out or refuses: errors (no own enumerable fields), bigints, maps and sets. */
function plain(_key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return String(value);
  if (value instanceof Error) {
    return {
      ...Object.fromEntries(Object.entries(value)),
      name: value.name,
      message: value.message,
      stack: value.stack,
      cause: value.cause,
    };
  }
  if (value instanceof Set) return [...value];
  if (value instanceof Map) return [...value];
  return value;
}

function toStderr(text: string): void {
  process.stderr.write(text);
}
