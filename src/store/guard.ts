/** Optimistic concurrency: refuse a change of an object that is not any more what the caller saw. */
import { RomanaError } from '#core/errors.ts';
import type { Guard, StoredKind } from './port.ts';

/** `revision` is the object's, 0 when there is none. */
export function checkGuard(kind: StoredKind, key: string, revision: number, guard: Guard): void {
  if (guard.ifRevision === undefined || guard.ifRevision === revision) return;
  const name = key === '' ? kind : `${kind} ${key}`;
  const message =
    revision === 0
      ? `There is no ${name} any more; read it again before changing it.`
      : `The ${name} has revision ${revision}, not ${guard.ifRevision}; read it again before changing it.`;
  throw new RomanaError('revision_conflict', message, { details: { kind, key, revision } });
}
