/**
 * What one subscriber is told, as a sequence that is worked out only as fast as it is taken. Between two events the store may move
 * on; nothing is kept for a slow subscriber but the place where it stands.
 */
import { locationOf } from '#contract/location.ts';
import { kinds, type WatchEvent } from '#contract/watch.ts';
import type { Position, Store } from '#store/port.ts';
import { type Feed, itemOf, seenBy } from './feed.ts';
import type { WatchFilter } from './types.ts';

/** Objects read at a time for a snapshot, and changes for a batch. */
const page = 500;

/** Undefined: nothing to tell now; ask again after the next commit. The sequence ends after `behind`. */
export type Stream = Iterator<WatchEvent | undefined, undefined>;

export function* streamOf(
  store: Store,
  feed: Feed,
  filter: WatchFilter,
  since: Position | null,
): Generator<WatchEvent | undefined, undefined> {
  const { incarnation } = store.position();
  let revision: number;
  if (since !== null && resumable(store, feed, since)) {
    ({ revision } = since);
    // Says at once that the position was accepted, also when there is nothing new.
    if (revision === store.position().revision)
      yield { type: 'position', position: { incarnation, revision } };
  } else {
    const taken = yield* snapshot(store, feed, filter);
    if (taken === undefined) return undefined;
    revision = taken;
    yield { type: 'synced', position: { incarnation, revision } };
  }
  for (;;) {
    const items = feed.since(revision, page);
    if (items === 'compacted') {
      yield { type: 'behind' };
      return undefined;
    }
    const last = items.at(-1);
    if (last === undefined) {
      yield undefined;
      continue;
    }
    yield* batch(items, filter);
    ({ revision } = last);
    yield { type: 'position', position: { incarnation, revision } };
  }
}

function resumable(store: Store, feed: Feed, since: Position): boolean {
  const now = store.position();
  return (
    since.incarnation === now.incarnation &&
    since.revision <= now.revision &&
    feed.since(since.revision, 1) !== 'compacted'
  );
}

type Items = Exclude<ReturnType<Feed['since']>, 'compacted'>;

/** Each object at most once: its last change that the subscriber may see, unless it was told a later state already. */
function* batch(
  items: Items,
  filter: WatchFilter,
  told?: ReadonlyMap<string, number>,
): Generator<WatchEvent> {
  const latest = new Map<string, WatchEvent>();
  for (const item of items) {
    const event = seenBy(filter, item);
    if (event === undefined || (told?.get(item.id) ?? 0) >= item.revision) continue;
    // Moves to the end, so that objects come in the order of their last changes.
    latest.delete(item.id);
    latest.set(item.id, event);
  }
  yield* latest.values();
}

/**
 * All objects page by page, then the changes made meanwhile, so that one position holds for the whole. Answers that revision, or
 * undefined when the subscriber was so slow that the changes are not known any more.
 */
function* snapshot(store: Store, feed: Feed, filter: WatchFilter): Generator<WatchEvent, number | undefined> {
  let { revision } = store.position();
  /** Objects of later pages that are newer than the first page: their earlier changes must not follow. */
  const told = new Map<string, number>();
  yield { type: 'snapshot' };
  for (const kind of kinds) {
    if (kind === 'sharedpeer' && filter.host === null) continue;
    const host = kind === 'endpoint' || kind === 'sharedpeer' ? filter.host : null;
    let after: string | undefined;
    for (;;) {
      const options = {
        limit: page,
        ...(after === undefined ? {} : { after }),
        ...(host === null ? {} : { host }),
      };
      const rows = store.read((tx) => tx.list(kind, options));
      for (const { key, value, revision: changed } of rows) {
        const owner = 'host' in value ? locationOf(value) : null;
        const item = itemOf({ revision: changed, kind, key, value, host: owner });
        const event = seenBy(filter, item);
        if (event === undefined) continue;
        if (changed > revision) told.set(item.id, changed);
        yield event;
      }
      after = rows.at(-1)?.key;
      if (rows.length < page) break;
    }
  }
  const enough = store.position().revision;
  while (revision < enough) {
    const items = feed.since(revision, page);
    const last = items === 'compacted' ? undefined : items.at(-1);
    if (items === 'compacted' || last === undefined) {
      yield { type: 'behind' };
      return undefined;
    }
    yield* batch(items, filter, told);
    ({ revision } = last);
  }
  return revision;
}
