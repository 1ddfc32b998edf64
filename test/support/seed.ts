/**
 * Loaded before each test file: one seed for all random tests, so that a failure can be run again with ROMANA_SEED=N. A property that
 * states its own seed or number of runs keeps them.
 */
import fc from 'fast-check';
import { sizes } from './sizes.ts';

const seed = Number(process.env['ROMANA_SEED']);
fc.configureGlobal({
  numRuns: sizes.propertyRuns,
  ...(process.env['ROMANA_SEED'] !== undefined && Number.isInteger(seed) && { seed }),
});
