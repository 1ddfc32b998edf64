/** From sizes to address plans, and what a change does to one. See README.md. */

export { topologyFile } from './file.ts';
export { fabrics } from './input.ts';
export { counted, countText, partLabel } from './parts.ts';
export { type ProposeOptions, propose } from './propose.ts';
export { readStandingPlan, standingPlan } from './read.ts';
export type * from './types.ts';
export { whatIf } from './whatif.ts';
