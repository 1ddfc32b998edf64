/**
 * Allocations per second through the whole control plane: HTTPS, authentication, validation, services, SQLite on disk. The server runs
 * in a process of its own. Run: `node bench/api.ts [seconds per row]`.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { createClient } from '#contract/client.ts';
import { connect } from '#net/https.ts';
import { furnish, readClientFile } from '#server/http/harness.ts';

const seconds = Number(process.argv[2] ?? 5);
const dataDir = mkdtempSync(join(tmpdir(), 'romana-bench-api-'));
const script = fileURLToPath(new URL('../src/server/http/child.ts', import.meta.url));
const child = spawn(process.execPath, [script, dataDir], { stdio: ['pipe', 'pipe', 'inherit'] });

function residentMegabytes(): string {
  const status = readFileSync(`/proc/${child.pid ?? 0}/status`, 'utf8');
  return (Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) / 1024).toFixed(0);
}

try {
  await once(createInterface({ input: child.stdout }), 'line');
  const file = readClientFile(join(dataDir, 'client.yaml'));
  const open = () => connect({ server: file.server, ca: file.ca, token: file.token });
  const first = open();
  await furnish(createClient({ transport: first.transport }), {
    host: 2,
    tenant: 2,
    segment: 2,
    endpoint: 18,
  });
  console.log('clients  allocations/s  p50 ms  p99 ms  server RSS MB');
  for (const clients of [1, 16]) {
    const times: number[] = [];
    const began = performance.now();
    const end = began + seconds * 1000;
    await Promise.all(
      Array.from({ length: clients }, async (_, id) => {
        const connection = open();
        const client = createClient(connection);
        for (let i = 0; performance.now() < end; i += 1) {
          const sent = performance.now();
          await client.endpointCreate({
            params: { tenant: 't1', segment: 's1' },
            body: { name: `e-${clients}-${id}-${i}`, host: 'h1' },
          });
          times.push(performance.now() - sent);
        }
        connection.close();
      }),
    );
    const rate = (times.length / (performance.now() - began)) * 1000;
    times.sort((a, b) => a - b);
    const at = (share: number) => (times[Math.floor(times.length * share)] ?? 0).toFixed(2);
    const cells = [String(clients), rate.toFixed(0), at(0.5), at(0.99), residentMegabytes()];
    console.log(cells.map((cell, i) => cell.padStart([7, 13, 6, 6, 13][i] ?? 0)).join('  '));
  }
  first.close();
} finally {
  child.kill('SIGTERM');
  await once(child, 'exit');
  rmSync(dataDir, { recursive: true });
}
