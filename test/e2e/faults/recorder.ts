/**
 * What the kernel of a namespace says has changed, as `nft monitor` and `ip monitor` tell it. Marks made by the recorder itself, and
 * seen to arrive, are what tells "nothing happened" from "nothing has arrived yet".
 */
import assert from 'node:assert/strict';
import type { Lab } from '#lab/harness.ts';
import { type Background, background, eventually } from './support.ts';

export interface Recording {
  /** All events between the start and now. */
  rules(): readonly string[];
  routes(): readonly string[];
  /** Links and addresses. */
  links(): readonly string[];
}

export class Recorder {
  readonly #lab: Lab;
  readonly #namespace: string;
  readonly #rules: Background;
  readonly #network: Background;
  #marks = 0;
  #begun = { rules: 0, network: 0 };

  private constructor(lab: Lab, namespace: string) {
    this.#lab = lab;
    this.#namespace = namespace;
    const inside = ['ip', 'netns', 'exec', namespace, 'stdbuf', '-oL'];
    this.#rules = background([...inside, 'nft', 'monitor']);
    this.#network = background([...inside, 'ip', '-o', 'monitor', 'label', 'link', 'address', 'route']);
  }

  static async start(lab: Lab, namespace: string): Promise<Recorder> {
    const recorder = new Recorder(lab, namespace);
    // A monitor that is not listening yet misses a mark; one that is shows it.
    await eventually('both monitors listen', () => recorder.#mark(1_000));
    recorder.#begun = {
      rules: recorder.#rules.output().length,
      network: recorder.#network.output().length,
    };
    return recorder;
  }

  /** Ends the recording when all that happened before this call has arrived. */
  async stop(): Promise<Recording> {
    await this.#mark(10_000);
    const rules = lines(this.#rules.output().slice(this.#begun.rules));
    const network = lines(this.#network.output().slice(this.#begun.network));
    for (const { process } of [this.#rules, this.#network]) process.kill('SIGKILL');
    await Promise.all([this.#rules.ended, this.#network.ended]);
    const routes = network.filter((line) => line.startsWith('[ROUTE]'));
    return {
      rules: () => rules,
      routes: () => routes,
      links: () => network.filter((line) => !line.startsWith('[ROUTE]')),
    };
  }

  async #mark(timeoutMs: number): Promise<void> {
    const n = ++this.#marks;
    const table = `recorder_mark_${n}`;
    const address = `127.77.77.${n}`;
    const exec = (...argv: string[]): Promise<unknown> => this.#lab.exec(this.#namespace, argv);
    await exec('nft', 'add', 'table', 'inet', table);
    await exec('nft', 'delete', 'table', 'inet', table);
    await exec('ip', 'address', 'add', `${address}/32`, 'dev', 'lo');
    await exec('ip', 'address', 'del', `${address}/32`, 'dev', 'lo');
    await eventually(
      'the mark arrives',
      async () => {
        assert.match(this.#rules.output(), new RegExp(`delete table inet ${table}\\b`));
        assert.match(this.#network.output(), new RegExp(`\\[ADDR\\]Deleted .*${address}/32`));
        assert.match(this.#network.output(), new RegExp(`\\[ROUTE\\]Deleted .*${address} `));
      },
      timeoutMs,
    );
  }
}

function lines(text: string): string[] {
  return text
    .split('\n')
    .filter((line) => line.trim() !== '')
    .filter((line) => !/recorder_mark_|127\.77\.77\.|^# new generation/.test(line));
}
