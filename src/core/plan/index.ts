/** How a network's host field is divided: by groups (groups.ts), and inside them by hosts (buddy.ts). And whose networks are (open.ts). */

export * from './buddy.ts';
export * from './groups.ts';
export * from './open.ts';
