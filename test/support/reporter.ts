/** Test events as lines of JSON, for `scripts/test.ts` to count. Only leaves count: a suite is what its tests are. */
import type { TestEvent } from 'node:test/reporters';

export interface TestLine {
  readonly name: string;
  readonly file: string;
  readonly outcome: 'pass' | 'fail' | 'skip';
  readonly ms: number;
  readonly problem: string;
}

export default async function* report(source: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  for await (const event of source) {
    if (event.type !== 'test:pass' && event.type !== 'test:fail') continue;
    const { data } = event;
    const error: unknown = 'error' in data.details ? data.details.error : undefined;
    // A test that holds tests fails with "1 subtest failed", which is told already.
    const cause: unknown = error instanceof Error ? error.cause : undefined;
    const failed = event.type === 'test:fail';
    if (data.details.type === 'suite' && !failed) continue;
    if (failed && isSubtestFailure(error)) continue;
    const skipped =
      (data.skip !== undefined && data.skip !== false) || (data.todo !== undefined && data.todo !== false);
    const line: TestLine = {
      name: data.name,
      file: data.file ?? '',
      outcome: failed ? 'fail' : skipped ? 'skip' : 'pass',
      ms: data.details.duration_ms,
      problem: failed ? textOf(cause ?? error) : '',
    };
    yield `${JSON.stringify(line)}\n`;
  }
}

function isSubtestFailure(error: unknown): boolean {
  return (
    typeof error === 'object' &&
    error !== null &&
    'failureType' in error &&
    error.failureType === 'subtestsFailed'
  );
}

function textOf(error: unknown): string {
  if (error instanceof Error) return error.stack ?? error.message;
  return typeof error === 'string' ? error : JSON.stringify(error);
}
