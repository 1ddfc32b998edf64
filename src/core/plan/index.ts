/** How a network's host field is divided. See groups.ts. */

export * from './groups.ts';
