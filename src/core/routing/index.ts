/** From fabrics and hosts to routes. See README.md. */

export * from './diff.ts';
export * from './explain.ts';
export * from './fabric.ts';
export { Lookup } from './lookup.ts';
export type * from './model.ts';
export { planRouting } from './plan.ts';
export { LINK_LOCAL } from './routes.ts';
