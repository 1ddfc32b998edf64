/** Durable allocations of an agent. See README.md. */

export { FakeFs } from './fake-fs.ts';
export type { JournalRecord, Json } from './format.ts';
export { type JournalFile, type JournalFs, realFs } from './fs.ts';
export * from './journal.ts';
