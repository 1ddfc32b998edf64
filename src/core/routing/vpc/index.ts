/** Routing in a VPC: what its route tables hold, and which hosts forward for others. Pure. May import core/address and core/routing. */
export * from './changes.ts';
export * from './model.ts';
export * from './plan.ts';
export { healthOf } from './routers.ts';
export * from './site.ts';
