/** Who gets which address. See README.md. */

export * from './account.ts';
export { locate } from './block.ts';
export * from './check.ts';
export * from './decide.ts';
export * from './enough.ts';
export * from './live.ts';
export * from './memory.ts';
export * from './numbers.ts';
export { type IdRange, rangeOf } from './ranges.ts';
export * from './reclaim.ts';
export * from './reserve.ts';
export * from './types.ts';
