/**
 * What this host knows of the control plane: the objects that the watch stream brought, and up to where. Kept on disk, so that a
 * restart while the control plane is away finds everything in place. Imports contract, core.
 *
 * 1. A view is complete: it comes from `synced`, or from a file written from such a view. A snapshot under way is kept apart until
 *    then, and nobody acts on it.
 * 2. Existence is decided by the last word on a key, however often it is said.
 */
import type * as m from '#contract/model.ts';
import { type Kind, kinds, type WatchedObjects } from '#contract/watch.ts';
import type { FollowedEvent } from '#net/watch.ts';

/** Flat networks concern no host: nobody holds anything in them. */
type Told<K extends Kind> = K extends 'network' ? m.LaidOut : WatchedObjects[K];
export type ViewObjects = { readonly [K in Kind]: ReadonlyMap<string, Told<K>> };
type Tables = { [K in Kind]: Map<string, Told<K>> };

export interface ViewState {
  readonly position: m.Position;
  readonly objects: ViewObjects;
}

function emptyTables(): Tables {
  return {
    network: new Map(),
    topology: new Map(),
    host: new Map(),
    tenant: new Map(),
    segment: new Map(),
    endpoint: new Map(),
    sharedpeer: new Map(),
  };
}

export class View {
  #tables: Tables | null = null;
  #position: m.Position | null = null;
  /** A snapshot that is still coming. */
  #incoming: Tables | null = null;

  /** Null until the first complete state. Objects are immutable; the maps are live. */
  get state(): ViewState | null {
    return this.#tables === null || this.#position === null
      ? null
      : { position: this.#position, objects: this.#tables };
  }

  /** Answers whether anything that others can see has changed. */
  take(event: FollowedEvent): boolean {
    switch (event.type) {
      case 'snapshot':
        this.#incoming = emptyTables();
        return false;
      case 'object':
        if (event.kind === 'network' && event.value.layout === null) return false;
        put(this.#target(), event.kind, event.key, event.value as never);
        return this.#incoming === null;
      case 'gone':
        this.#target()[event.kind].delete(event.key);
        return this.#incoming === null;
      case 'synced':
        if (this.#incoming !== null) this.#tables = this.#incoming;
        this.#incoming = null;
        this.#position = event.position;
        return true;
      case 'position':
        break;
    }
    if (this.#incoming !== null || samePosition(this.#position, event.position)) return false;
    this.#position = event.position;
    return true;
  }

  #target(): Tables {
    return this.#incoming ?? (this.#tables ??= emptyTables());
  }

  toText(): string | null {
    const { state } = this;
    if (state === null) return null;
    const objects = Object.fromEntries(kinds.map((kind) => [kind, [...state.objects[kind]]]));
    return JSON.stringify({ version: 1, position: state.position, objects });
  }

  /** Takes a file of `toText`; a damaged or older one is refused by answering false, and the server's snapshot replaces it. */
  load(text: string): boolean {
    try {
      const file = JSON.parse(text) as {
        version: unknown;
        position: m.Position;
        objects: Record<Kind, [string, never][]>;
      };
      if (
        file.version !== 1 ||
        typeof file.position.incarnation !== 'string' ||
        !Number.isInteger(file.position.revision)
      )
        return false;
      const tables = emptyTables();
      for (const kind of kinds) for (const [key, value] of file.objects[kind]) put(tables, kind, key, value);
      this.#tables = tables;
      this.#position = file.position;
      return true;
    } catch {
      return false;
    }
  }
}

function samePosition(a: m.Position | null, b: m.Position): boolean {
  return a?.incarnation === b.incarnation && a.revision === b.revision;
}

function put<K extends Kind>(tables: Tables, kind: K, key: string, value: Told<K>): void {
  const table: Map<string, Told<K>> = tables[kind];
  table.set(key, value);
}
