/** Errors as a user of the command line meets them: exit code, one line, a hint. */
import { type ErrorCode, isRomanaError, RomanaError } from '#core/errors.ts';

export const exitCodes = {
  ok: 0,
  failed: 1,
  usage: 2,
  notFound: 3,
  conflict: 4,
  unreachable: 5,
  unauthorised: 6,
} as const;
export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

export const exitMeanings: readonly (readonly [ExitCode, string])[] = [
  [0, 'done'],
  [1, 'refused or failed'],
  [2, 'the command line, a file or the configuration is wrong; nothing was sent'],
  [3, 'no such object'],
  [4, 'conflicts with what exists'],
  [5, 'the server or agent cannot be reached'],
  [6, 'not authenticated, or not allowed'],
];

/** A mistake in the command line or a file it names. Thrown before any request. */
export class UsageError extends RomanaError {
  override name = 'UsageError';
}

export function usage(message: string, code: ErrorCode = 'input_invalid'): UsageError {
  return new UsageError(code, message);
}

/** What `fn` refuses about something the user wrote is a mistake in the command line. */
export function asUsage<T>(fn: () => T): T {
  try {
    return fn();
  } catch (error) {
    if (!isRomanaError(error)) throw error;
    throw new UsageError(error.code, error.message, {
      cause: error,
      ...(error.details && { details: error.details }),
    });
  }
}

export function exitCodeOf(error: unknown): ExitCode {
  if (error instanceof UsageError) return exitCodes.usage;
  if (!isRomanaError(error)) return exitCodes.failed;
  return exitCodeOfCode(error.code, error.status);
}

export function exitCodeOfCode(code: ErrorCode, status: number): ExitCode {
  if (code === 'unavailable' || code === 'timeout') return exitCodes.unreachable;
  if (status === 404) return exitCodes.notFound;
  if (status === 409) return exitCodes.conflict;
  if (status === 401 || status === 403) return exitCodes.unauthorised;
  return exitCodes.failed;
}

const hints: Partial<Record<ErrorCode, string>> = {
  unauthenticated: 'give a token of this server: --token-file, ROMANA_TOKEN, or `token` in the client file',
  forbidden: 'this needs the role admin; `romana token create NAME --role admin` makes such a token',
  not_found: 'the command `list` of the same kind of object shows the names there are',
  revision_conflict: 'show the object again and repeat the change with its new revision',
  internal:
    'this is a defect in Romana; report it, with the log of the server or agent if that gave this answer',
};

interface ErrorBody {
  code: string;
  message: string;
  details?: Readonly<Record<string, unknown>>;
}

export function errorBody(error: unknown): ErrorBody {
  if (isRomanaError(error)) {
    return { code: error.code, message: error.message, ...(error.details && { details: error.details }) };
  }
  return { code: 'internal', message: error instanceof Error ? error.message : String(error) };
}

/** What goes to standard error: the body as JSON, or a line for people and perhaps a hint. */
export function errorText(error: unknown, json: boolean): string {
  const body = errorBody(error);
  if (json) return `${JSON.stringify(body)}\n`;
  const first = body.message.replaceAll(/\s*\n\s*/g, ' ');
  const issues = issueLines(body.details);
  const hint = error instanceof UsageError ? undefined : hints[body.code as ErrorCode];
  return [
    `error: ${first} (${body.code})`,
    ...issues.map((line) => `  ${line}`),
    ...(hint === undefined ? [] : [`hint: ${hint}`]),
    '',
  ].join('\n');
}

/** `details.issues`: one line per refused field, when there are several; `at` is its place in a file. */
function issueLines(details: ErrorBody['details']): string[] {
  const issues = details?.['issues'];
  if (!Array.isArray(issues) || issues.length < 2) return [];
  return issues.flatMap((issue: unknown) => {
    if (typeof issue !== 'object' || issue === null) return [];
    const { at, path, message } = issue as Record<string, unknown>;
    const where = typeof at === 'string' ? at : path;
    if (typeof message !== 'string') return [];
    return [typeof where === 'string' ? `${where}: ${message}` : message];
  });
}
