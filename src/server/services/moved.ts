/** Whether what was worked out of some kinds of objects still holds: endpoints change all the time, hosts and topologies do not. */
import type { Kind } from '#contract/watch.ts';
import type { Store } from '#store/port.ts';

const most = 1000;

/** Whether any object of these kinds changed after revision `since`; also where there are too many changes to look at. */
export function hasMoved(store: Store, since: number, kinds: ReadonlySet<Kind>): boolean {
  if (store.position().revision === since) return false;
  const changes = store.changesSince(since, most);
  return changes === 'compacted' || changes.length >= most || changes.some(({ kind }) => kinds.has(kind));
}
