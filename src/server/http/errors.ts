/** Whatever was thrown, as an answer: status and `{code, message, details}`. Nothing internal leaves the server. */
import type { z } from 'zod';
import { codeOf } from '#contract/shape.ts';
import { isRomanaError, RomanaError } from '#core/errors.ts';

/** One sentence that names each field that is wrong (at most five) and how. */
export function inputError(error: z.ZodError): RomanaError {
  const problems = error.issues.map((issue) => ({
    path: issue.path.join('.'),
    message: issue.code === 'unrecognized_keys' ? `unknown field ${issue.keys.join(', ')}` : issue.message,
  }));
  const shown = problems
    .slice(0, 5)
    .map(({ path, message }) => (path === '' ? message : `${path}: ${message}`));
  const more = problems.length > 5 ? ` (and ${problems.length - 5} more)` : '';
  return new RomanaError('input_invalid', `${shown.join('; ')}${more}`, {
    details: { problems: problems.slice(0, 50) },
  });
}

const ofFastify: Readonly<Record<string, () => RomanaError>> = {
  FST_ERR_CTP_INVALID_JSON_BODY: () => new RomanaError('input_invalid', 'The body is not JSON.'),
  FST_ERR_CTP_EMPTY_JSON_BODY: () => new RomanaError('input_invalid', 'The body is empty; send JSON.'),
  FST_ERR_CTP_INVALID_MEDIA_TYPE: () =>
    new RomanaError('input_invalid', 'Send the body as content-type application/json.'),
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: () =>
    new RomanaError('input_invalid', 'The body is not as long as its content-length says.'),
  FST_ERR_CTP_BODY_TOO_LARGE: () => new RomanaError('request_too_large', 'The body is longer than 1 MiB.'),
  FST_ERR_MAX_PARAM_LENGTH: () => new RomanaError('not_found', 'No object has a name of this length.'),
  FST_ERR_BAD_URL: () => new RomanaError('input_invalid', 'The path is not properly escaped.'),
};

/** Defects become `internal` with an empty text; the caller of this function logs them. */
export function asRomanaError(error: unknown): RomanaError {
  if (isRomanaError(error)) return error;
  const known = ofFastify[codeOf(error)];
  if (known !== undefined) return known();
  if (error instanceof Error && 'statusCode' in error && error.statusCode === 400)
    return new RomanaError('input_invalid', 'The request is malformed.');
  return new RomanaError('internal', 'The server met a defect of its own; its log has the details.', {
    cause: error,
  });
}

export function errorBody(error: RomanaError): { code: string; message: string; details?: unknown } {
  return {
    code: error.code,
    message: error.message,
    ...(error.details === undefined ? {} : { details: error.details }),
  };
}
