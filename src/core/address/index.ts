/** IP arithmetic and the address model. See README.md. */

export * from './address.ts';
export * from './cidr.ts';
export * from './cidr-set.ts';
export * from './encode.ts';
export * from './layout.ts';
export { parseInto } from './text.ts';
export type { Words } from './words.ts';
