/**
 * How much the expensive tests do: a seeded slice by default, the stated volumes with `npm run test:full` (ROMANA_TEST_SIZE=full).
 * The one place to change a size.
 */
export const full = process.env['ROMANA_TEST_SIZE'] === 'full';

export const sizes = {
  /** Runs of a property, where a test does not say its own. */
  propertyRuns: full ? 1000 : 100,
  /** The simulated cluster: random events, and endpoints that come or go while others must stay untouched. */
  simulation: full ? { hosts: 50, events: 30_000, churn: 3_000 } : { hosts: 24, events: 1_000, churn: 100 },
  /** Operations of the many clients that allocate and release at once. */
  linearizability: full ? 100_000 : 3_000,
} as const;
