/** From fabric and hosts to routes. See l2.ts. */

export * from './l2.ts';
