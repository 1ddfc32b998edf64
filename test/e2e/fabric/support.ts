/** Tools of the tests on routed fabrics: who carries which packets, what is lost and for how long, and sessions. */
import assert from 'node:assert/strict';
import type { BgpSession, Endpoint } from '#contract/model.ts';
import type { Lab } from '#lab/harness.ts';
import { addressOf, counted, countIn, eventually, startStream } from '../faults/support.ts';

export const families = [4, 6] as const;

const matchOf = (family: 4 | 6, from: string, to: string): string => {
  const ip = family === 4 ? 'ip' : 'ip6';
  return `${ip} saddr ${from} ${ip} daddr ${to}`;
};

/** Counts in some namespaces what goes from one endpoint to the other. */
export async function watchWay(
  lab: Lab,
  name: string,
  namespaces: readonly string[],
  from: Endpoint,
  to: Endpoint,
): Promise<(namespace: string) => Promise<number>> {
  for (const namespace of namespaces) {
    for (const family of families)
      await countIn(
        lab,
        namespace,
        `${name}${family}`,
        matchOf(family, addressOf(from, family), addressOf(to, family)),
      );
  }
  return async (namespace) =>
    (await Promise.all(families.map((family) => counted(lab, namespace, `${name}${family}`)))).reduce(
      (sum, n) => sum + n,
      0,
    );
}

/** Packets every 10 ms between all of these, both families; `stop` tells the longest time that one of the streams went unanswered. */
export async function outages(
  pairs: readonly (readonly [string, Endpoint])[],
): Promise<{ stop(): Promise<{ longestMs: number; lost: number; sent: number }> }> {
  const streams = await Promise.all(
    pairs.flatMap(([from, to]) => families.map((family) => startStream(from, addressOf(to, family)))),
  );
  return {
    async stop() {
      const results = await Promise.all(streams.map((stream) => stream.stop()));
      const lost = results.map((result) => result.lost.filter((line) => line.endsWith(' old')).length);
      return {
        longestMs: 10 * Math.max(...lost),
        lost: results.reduce((sum, result) => sum + result.lost.length, 0),
        sent: results.reduce((sum, { sent }) => sum + sent, 0),
      };
    },
  };
}

export async function sessionsOf(lab: Lab, host: string): Promise<readonly BgpSession[]> {
  const { items } = await lab.client.bgpStatus({ query: { host } });
  return items[0]?.report?.sessions ?? [];
}

/** Until the host has said that all its sessions are up, to so many switches. */
export function established(lab: Lab, host: string, peers: number): Promise<void> {
  return eventually(
    `sessions of ${host}`,
    async () => {
      const sessions = await sessionsOf(lab, host);
      assert.deepEqual(
        sessions
          .filter(({ state }) => state !== 'established')
          .map(({ peer, lastError }) => `${peer} ${lastError}`),
        [],
      );
      assert.equal(new Set(sessions.map(({ peer }) => peer)).size, peers);
    },
    40_000,
  );
}

/** The routes of a namespace that lie in Romana's networks, one a line, without what a kernel numbers anew. */
export async function romanaRoutes(lab: Lab, namespace: string): Promise<string[]> {
  const answers = await Promise.all(
    ['-4', '-6'].map((family) => lab.exec(namespace, ['ip', '-o', family, 'route', 'show'])),
  );
  return answers
    .flatMap(({ stdout }) => stdout.split('\n'))
    .map((line) => {
      const text = line
        .replace(/ nhid \d+/, '')
        .replaceAll(/[\\\s]+/g, ' ')
        .trim();
      const [start, ...hops] = text.split(' nexthop ');
      return [start, ...hops.sort()].join(' nexthop ');
    })
    .filter((line) => /^(blackhole |unreachable )?(10\.|fd10:)/.test(line))
    .sort();
}

/** A switch that is there and does nothing any more: no carrier is lost, nobody is told. */
export async function killSilently(lab: Lab, name: string): Promise<void> {
  const text = `table inet dead {
    chain in { type filter hook prerouting priority -450; policy drop; iifname "lo" accept; }
    chain out { type filter hook output priority -450; policy drop; oifname "lo" accept; }
  }\n`;
  await lab.exec(name, ['nft', '-f', '-'], { stdin: text });
}

export async function revive(lab: Lab, name: string): Promise<void> {
  await lab.exec(name, ['nft', 'delete', 'table', 'inet', 'dead']);
}
