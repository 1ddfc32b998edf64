/** Who asks. Made by authentication, believed by everything behind it. */

export interface Caller {
  /** `host`: the agent of the host called `name`. */
  readonly kind: 'token' | 'host' | 'anonymous';
  readonly name: string;
  readonly role: 'admin' | 'viewer' | 'agent' | 'none';
}

/** How the caller is named in the audit trail and the change log. */
export function actorOf(caller: Caller): string {
  return `${caller.kind}:${caller.name}`;
}
