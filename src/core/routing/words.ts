/** Why a route exists, in words for people. May import nothing but shapes. */
import type { Why } from './model.ts';

/** `where`: on a host, or on a device. */
export function whyText(why: Why, where: 'host' | 'device'): string {
  switch (why.kind) {
    case 'own':
      return where === 'host'
        ? 'its own range: what no endpoint has is dropped'
        : 'its own part: what nobody below has is dropped';
    case 'host':
      return `range of host ${why.host}`;
    case 'address':
      return `own address of host ${why.host}`;
    case 'granted':
      return `granted to host ${why.host}`;
    case 'group': {
      const topology = why.topology === 'default' ? '' : ` of topology ${why.topology}`;
      const group = why.path === '' ? `all of topology ${why.topology}` : `group ${why.path}${topology}`;
      return where === 'device' ? group : `what no host of its subnet has (${group}) is dropped`;
    }
    case 'network':
      return `network ${why.network}`;
    case 'withdrawn':
    default:
      return `range of host ${why.host}, which nobody reaches`;
  }
}
