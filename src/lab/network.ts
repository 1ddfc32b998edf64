/**
 * Makes the planned namespaces and links. Works only in the network and mount namespace it is called in, which must be private to
 * the lab: nothing here is ever undone, it vanishes with them.
 */
import type { Runner } from '#agent/exec.ts';
import type { NamespacePlan, Wiring } from './underlay.ts';

export const netnsPath = (name: string): string => `/run/netns/${name}`;

/** Runs a program in a named namespace. */
export function runIn(run: Runner, namespace: string): Runner {
  return (argv, options) => run(['ip', 'netns', 'exec', namespace, ...argv], options);
}

async function batch(run: Runner, namespace: string | null, lines: readonly string[]): Promise<void> {
  if (lines.length === 0) return;
  const where = namespace === null ? [] : ['-n', namespace];
  await run(['ip', ...where, '-batch', '-'], { stdin: `${lines.join('\n')}\n`, timeoutMs: 60_000 });
}

export async function addNamespaces(run: Runner, names: readonly string[]): Promise<void> {
  await batch(
    run,
    null,
    names.map((name) => `netns add ${name}`),
  );
}

export async function deleteNamespace(run: Runner, name: string): Promise<void> {
  await run(['ip', 'netns', 'delete', name]);
}

export async function applyPlan(run: Runner, { name, sysctls, lines }: NamespacePlan): Promise<void> {
  if (sysctls.length > 0) await runIn(run, name)(['sysctl', '-q', '-w', ...sysctls]);
  await batch(run, name, lines);
}

/** The namespace that this process is in becomes `control`; all others are made. */
export async function buildUnderlay(run: Runner, wiring: Wiring): Promise<void> {
  await run(['ip', 'netns', 'attach', 'control', String(process.pid)]);
  const others = wiring.namespaces.filter(({ name }) => name !== 'control').map(({ name }) => name);
  await addNamespaces(run, others);
  // before the links, because a link copies the defaults of its namespace when it is made
  for (const { name, sysctls } of wiring.namespaces) await applyPlan(run, { name, sysctls, lines: [] });
  await batch(run, null, wiring.links);
  for (const { name, lines } of wiring.namespaces) await applyPlan(run, { name, sysctls: [], lines });
}
