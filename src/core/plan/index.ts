/**
 * How a network's host field is divided: by groups (groups.ts), and inside them by hosts (buddy.ts). Whose networks are (open.ts), and
 * where hosts stand in them (standing.ts).
 */

export * from './buddy.ts';
export * from './groups.ts';
export * from './open.ts';
export * from './standing.ts';
