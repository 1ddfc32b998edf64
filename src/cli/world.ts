/** What one invocation sees of the process, so that tests can run it inside theirs. */
import type { Connection } from '#net/https.ts';
import type { ServerAccess } from './config.ts';

export interface World {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly home: string;
  /** Columns of the terminal, for help texts. */
  readonly columns: number;
  out(text: string): void;
  err(text: string): void;
  /** All of standard input. */
  stdin(): Promise<string>;
  connect(access: ServerAccess): Promise<Connection>;
  connectAgent(socketPath: string): Promise<Connection>;
}
