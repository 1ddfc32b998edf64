/** One invocation against a made-up world: what was asked of the server, what was written, and how it ended. For tests. */
import type { TransportAnswer, TransportRequest } from '#contract/client.ts';
import type { ServerAccess } from './config.ts';
import { run } from './run.ts';
import type { World } from './world.ts';

export interface Outcome {
  readonly code: number;
  readonly out: string;
  readonly err: string;
  readonly requests: readonly TransportRequest[];
  /** How the server was to be reached; undefined: nobody tried. */
  readonly access: ServerAccess | undefined;
}

export interface Setting {
  readonly answer?: (request: TransportRequest) => TransportAnswer;
  readonly stdin?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly home?: string;
}

export async function invoke(argv: readonly string[], setting: Setting = {}): Promise<Outcome> {
  let out = '';
  let err = '';
  let access: ServerAccess | undefined;
  const requests: TransportRequest[] = [];
  const connection = {
    transport: (request: TransportRequest) => {
      requests.push(request);
      return Promise.resolve(setting.answer?.(request) ?? { status: 200, body: {} });
    },
    openStream: () => () => undefined,
    close: () => undefined,
  };
  const world: World = {
    env: setting.env ?? {},
    home: setting.home ?? '/nonexistent',
    columns: 100,
    out: (text) => void (out += text),
    err: (text) => void (err += text),
    stdin: () => Promise.resolve(setting.stdin ?? ''),
    connect: (wanted) => {
      access = wanted;
      return Promise.resolve(connection);
    },
    connectAgent: () => Promise.resolve(connection),
  };
  const code = await run(argv, world);
  return { code, out, err, requests, access };
}
