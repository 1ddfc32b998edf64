/**
 * The change log as events, read from the store once for all subscribers. Only a window of the newest changes is kept; who is
 * further behind reads the log itself. Events are made once and shared: they must not be changed.
 */
import type { Kind, WatchEvent, WatchedObjects } from '#contract/watch.ts';
import type { Change, Store } from '#store/port.ts';
import type { WatchFilter } from './types.ts';

export interface FeedItem {
  readonly revision: number;
  /** Kind and key: what the item is about. */
  readonly id: string;
  readonly kind: Kind;
  readonly key: string;
  readonly host: string | null;
  readonly event: WatchEvent;
  /** For agents of other hosts; the same as `event` for everything but hosts. */
  readonly foreign: WatchEvent;
}

export function itemOf(change: Omit<Change, 'ordinal'>): FeedItem {
  const { revision, kind, key, value, host } = change;
  const event = value === null ? ({ type: 'gone', kind, key } as const) : objectEvent(kind, key, value);
  const foreign =
    kind === 'host' && value !== null
      ? // Labels may tell what runs there; another host's agent needs addresses and ids only.
        objectEvent(kind, key, { ...(value as WatchedObjects['host']), labels: {} })
      : event;
  return { revision, id: `${kind} ${key}`, kind, key, host, event, foreign };
}

function objectEvent(kind: Kind, key: string, value: WatchedObjects[Kind]): WatchEvent {
  return { type: 'object', kind, key, value } as WatchEvent;
}

/** The item as this subscriber may see it; undefined when it may not. */
export function seenBy({ host }: WatchFilter, item: FeedItem): WatchEvent | undefined {
  // What shared peers say is in the endpoints too, for those who see all of them.
  if (host === null) return item.kind === 'sharedpeer' ? undefined : item.event;
  // Flat networks are in no rule, and an older agent could not read them.
  if (item.kind === 'network' && isFlat(item.event)) return undefined;
  if (item.kind === 'endpoint' || item.kind === 'sharedpeer')
    return item.host === host ? item.event : undefined;
  return item.kind === 'host' && item.key !== host ? item.foreign : item.event;
}

function isFlat(event: WatchEvent): boolean {
  return event.type === 'object' && event.kind === 'network' && event.value.layout === null;
}

export class Feed {
  readonly #store: Store;
  readonly #window: number;
  #items: FeedItem[] = [];
  /** The window holds all changes after this revision, up to `#to`. */
  #from: number;
  #to: number;

  constructor(store: Store, window = 4096) {
    this.#store = store;
    this.#window = window;
    this.#from = store.position().revision;
    this.#to = this.#from;
  }

  /** Changes after `revision`, whole revisions, about `limit` of them; none when it is the newest. */
  since(revision: number, limit: number): readonly FeedItem[] | 'compacted' {
    this.#advance();
    if (revision < this.#from) {
      const changes = this.#store.changesSince(revision, limit);
      return changes === 'compacted' ? changes : changes.map(itemOf);
    }
    const start = firstAfter(this.#items, revision);
    let end = Math.min(this.#items.length, start + limit);
    while (
      end > start &&
      end < this.#items.length &&
      this.#items[end]!.revision === this.#items[end - 1]!.revision
    )
      end++;
    return this.#items.slice(start, end);
  }

  #advance(): void {
    const newest = this.#store.position().revision;
    while (this.#to < newest) {
      const changes = this.#store.changesSince(this.#to, this.#window);
      if (changes === 'compacted' || changes.length === 0) {
        this.#items = [];
        this.#from = newest;
        this.#to = newest;
        return;
      }
      this.#items = this.#items.concat(changes.map(itemOf));
      this.#to = changes.at(-1)!.revision;
    }
    if (this.#items.length > 2 * this.#window) {
      // Whole revisions leave: what stays begins after one.
      this.#from = this.#items[this.#items.length - this.#window]!.revision;
      this.#items = this.#items.slice(firstAfter(this.#items, this.#from));
    }
  }
}

/** Index of the first item after the revision. */
function firstAfter(items: readonly FeedItem[], revision: number): number {
  let low = 0;
  let high = items.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (items[middle]!.revision <= revision) low = middle + 1;
    else high = middle;
  }
  return low;
}
