/** How a network's host field is divided: by groups (groups.ts), and inside them by hosts (buddy.ts). */

export * from './buddy.ts';
export * from './groups.ts';
