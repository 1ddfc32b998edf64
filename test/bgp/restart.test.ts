/**
 * What it costs a stream through a host when its speaker is given something else to announce, or is killed: not one datagram,
 * with FRR by the routes that the agent keeps beside it.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inPrivateNamespaces } from '../support/namespace.ts';
import { cidrs, own } from './support/fabric.ts';
import { changed, killed, makeSite } from './support/restart.ts';

if (inPrivateNamespaces(import.meta.url, { timeoutMs: 420_000 })) {
  for (const daemon of ['bird', 'frr', 'exabgp', 'gobgp'] as const) {
    test(`${daemon}: another announcement and a kill -9 lose nothing`, async () => {
      const site = await makeSite(daemon);
      try {
        const added = [...own, ...cidrs('10.12.0.0/16', 'fd10:12::/32')];
        for (const announce of [added, own]) assert.equal((await changed(site, announce)).lost, 0);
        for (let time = 0; time < 2; time++) assert.equal((await killed(site)).lost, 0, `kill ${time + 1}`);
      } finally {
        await site.end();
      }
    });
  }
}
