/**
 * The agent's own API on a unix socket, for orchestrators and operators on this host. Who may open the socket (root) may use it.
 *
 *     POST   /v1/endpoints                            allocate, wire, enforce; answers when all three are done
 *     GET    /v1/endpoints                            endpoints that this agent allocated
 *     DELETE /v1/endpoints/TENANT/SEGMENT/ENDPOINT    idempotent
 *     GET    /v1/status                               every owned object, desired and actual
 *     GET    /livez, /readyz, /metrics
 */
import { chmod, mkdir, unlink } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import fastify, { type FastifyInstance } from 'fastify';
import { z } from 'zod';
import { EndpointInput, endpointName, name } from '#contract/model.ts';
import { isRomanaError, RomanaError } from '#core/errors.ts';
import type { Log } from '#core/ports.ts';
import type { Agent } from './agent.ts';
import { agentMetrics } from './metrics.ts';

const LocalEndpoint = EndpointInput.omit({ host: true }).extend({ tenant: name, segment: name });
const EndpointKey = z.strictObject({ tenant: name, segment: name, name: endpointName });

export const socketName = 'agent.sock';

export async function serveLocalApi(agent: Agent, runDir: string, log: Log): Promise<FastifyInstance> {
  const app = fastify({ bodyLimit: 64 * 1024, logger: false });
  app.setErrorHandler((error: Error & { statusCode?: number }, _request, reply) => {
    const refusal = isRomanaError(error)
      ? error
      : (error.statusCode ?? 500) < 500
        ? new RomanaError('input_invalid', error.message)
        : new RomanaError('internal', 'The agent failed; its log says why.');
    if (refusal.status >= 500) log.error({ error }, 'local request failed');
    return reply
      .code(refusal.status)
      .send({ code: refusal.code, message: refusal.message, details: refusal.details });
  });
  app.setNotFoundHandler((request, reply) =>
    reply
      .code(404)
      .send({ code: 'not_found', message: `The agent has no ${request.method} ${request.url}.` }),
  );
  app.post('/v1/endpoints', async (request, reply) =>
    reply.code(201).send(await agent.createEndpoint(check(LocalEndpoint, request.body))),
  );
  app.get('/v1/endpoints', () => ({ items: agent.listEndpoints() }));
  app.delete('/v1/endpoints/:tenant/:segment/:name', async (request, reply) => {
    const key = check(EndpointKey, request.params);
    await agent.removeEndpoint(`${key.tenant}/${key.segment}/${key.name}`);
    return reply.code(204).send();
  });
  app.get('/v1/status', () => agent.status());
  app.get('/livez', () => ({ live: true }));
  app.get('/readyz', (_request, reply) => reply.code(agent.ready ? 200 : 503).send({ ready: agent.ready }));
  app.get('/metrics', async (_request, reply) =>
    reply.type('text/plain; version=0.0.4').send(await agentMetrics(agent)),
  );

  await mkdir(runDir, { recursive: true, mode: 0o700 });
  const path = join(runDir, socketName);
  await removeStale(path);
  await app.listen({ path });
  await chmod(path, 0o600);
  return app;
}

function check<T extends z.ZodType>(schema: T, value: unknown): z.output<T> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const faults = result.error.issues.map((issue) => `${issue.path.join('.') || 'body'}: ${issue.message}`);
  throw new RomanaError('input_invalid', `${faults.join('; ')}.`, { details: { faults } });
}

/** A socket that nobody answers is left over from an agent that was killed; one that answers belongs to a running agent. */
async function removeStale(path: string): Promise<void> {
  const state = await new Promise<'live' | 'stale' | 'none'>((resolve) => {
    const socket = createConnection({ path });
    socket.once('connect', () => {
      socket.destroy();
      resolve('live');
    });
    socket.once('error', (error: Error & { code?: string }) =>
      resolve(error.code === 'ENOENT' ? 'none' : 'stale'),
    );
  });
  if (state === 'live')
    throw new RomanaError(
      'store_busy',
      `Another agent answers on ${path}; stop it, or give this one another runDir.`,
    );
  if (state === 'stale') await unlink(path);
}
