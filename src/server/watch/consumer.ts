/** A consumer as the contract describes it, for tests: keeps what the events say and complains when they go back in time. */
import assert from 'node:assert/strict';
import type { WatchEvent } from '#contract/watch.ts';
import type { Position } from '#store/port.ts';
import type { Sink } from './types.ts';

export class Consumer implements Sink {
  readonly state = new Map<string, unknown>();
  readonly events: WatchEvent[] = [];
  position: Position | null = null;
  closed = false;
  /** Events taken before the buffer is full; Infinity: never full. */
  room: number;
  #waiting: (() => void) | undefined;
  #unseen: Set<string> | undefined;
  readonly #revisions = new Map<string, number>();

  constructor(room = Infinity) {
    this.room = room;
  }

  send(event: WatchEvent): boolean {
    assert.ok(!this.closed, 'nothing comes after close');
    assert.ok(this.room > 0 || event.type === 'behind', 'nothing comes while the buffer is full');
    this.room--;
    this.events.push(event);
    this.#take(event);
    return this.room > 0;
  }

  drained(callback: () => void): void {
    assert.equal(this.#waiting, undefined);
    this.#waiting = callback;
  }

  close(): void {
    this.closed = true;
  }

  /** The buffer is read: there is room for so many events. */
  drain(room = Infinity): void {
    this.room = room;
    const callback = this.#waiting;
    this.#waiting = undefined;
    callback?.();
  }

  /** A new connection of the same consumer: what it knows stays. */
  reconnect(room = Infinity): void {
    this.closed = false;
    this.room = room;
    this.#waiting = undefined;
  }

  #take(event: WatchEvent): void {
    switch (event.type) {
      case 'snapshot':
        this.position = null;
        this.#unseen = new Set(this.state.keys());
        return;
      case 'object': {
        const id = `${event.kind} ${event.key}`;
        const { revision } = event.value;
        assert.ok(revision >= (this.#revisions.get(id) ?? 0), `${id} goes back in time`);
        this.#revisions.set(id, revision);
        this.state.set(id, event.value);
        this.#unseen?.delete(id);
        return;
      }
      case 'gone':
        this.state.delete(`${event.kind} ${event.key}`);
        return;
      case 'synced':
        for (const id of this.#unseen ?? []) this.state.delete(id);
        this.#unseen = undefined;
        this.position = event.position;
        return;
      case 'position':
        if (this.position !== null) {
          assert.equal(event.position.incarnation, this.position.incarnation);
          assert.ok(event.position.revision >= this.position.revision, 'the position goes back');
        }
        this.position = event.position;
        return;
      case 'behind':
        return;
    }
  }
}
