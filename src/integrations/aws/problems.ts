/** Failures of the provider in words for an operator. */
import { CloudFailure } from './api.ts';

export interface SiteProblem {
  readonly code: string;
  readonly message: string;
  readonly about: string;
}

const services: Readonly<Record<string, string>> = { GetServiceQuota: 'servicequotas' };

/** As policies name it. */
export function permissionOf(action: string): string {
  return `${services[action] ?? 'ec2'}:${action}`;
}

/** `consequence`: what does not happen because of it. */
export function problemOf(failure: CloudFailure, consequence: string, about: string): SiteProblem {
  const { kind, action, code } = failure;
  const permission = permissionOf(action);
  const words = wordsOf(failure);
  if (kind === 'denied') {
    const message = `AWS refuses ${permission} (${code}), so ${consequence}: allow it to the server's role.`;
    return { code: 'permission_missing', message, about: permission };
  }
  if (kind === 'credentials') {
    const message = `AWS does not accept the server's credentials, or there are none (${code}: ${words}), so ${consequence}.`;
    return { code: 'credentials_missing', message, about: permission };
  }
  if (failure.general) {
    const message = `AWS does not answer ${action} (${code}), so ${consequence}; it is tried again.`;
    return { code: kind === 'throttled' ? 'api_throttled' : 'api_unreachable', message, about: permission };
  }
  if (kind === 'full') {
    const message = `AWS has no room for another route (${code}), so ${consequence}; the next round plans for what the table has room for.`;
    return { code: 'table_full', message, about };
  }
  if (kind === 'gone') {
    const message = `AWS does not know what the change is about (${code}: ${words}), so ${consequence}; the next round looks again.`;
    return { code: 'target_gone', message, about };
  }
  return {
    code: 'api_refused',
    message: `AWS refuses ${action} (${code}: ${words}), so ${consequence}.`,
    about,
  };
}

/** The first sentence: refusals carry long encoded texts behind it. */
export function wordsOf({ message }: Error): string {
  const [first = ''] = message.split(/ Encoded authorization|\n/);
  return first.length > 300 ? `${first.slice(0, 300)}…` : first.replace(/\.$/, '');
}

/** What can be done without. General failures are not: they are thrown. */
export function lesser(error: unknown, consequence: string): SiteProblem {
  if (!(error instanceof CloudFailure) || (error.general && error.action !== 'GetServiceQuota')) throw error;
  return problemOf(error, consequence, permissionOf(error.action));
}
