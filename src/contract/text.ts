/** The texts and numbers that the objects of the contract are made of. */
import { z } from 'zod';
import { formatAddress, formatCidr, parseAddress, parseCidr } from '#core/address/index.ts';
import { isRomanaError } from '#core/errors.ts';

/** A zod string that must survive `parse`, whose message is shown to the user; the value is kept in canonical text. */
function canonical(what: string, parse: (text: string) => string) {
  return z
    .string()
    .max(64)
    .transform((text, context) => {
      try {
        return parse(text);
      } catch (error) {
        context.addIssue({ code: 'custom', message: isRomanaError(error) ? error.message : `not ${what}` });
        return z.NEVER;
      }
    });
}

export const addressText = canonical('an IP address', (text) => formatAddress(parseAddress(text))).meta({
  type: 'string',
  examples: ['10.1.1.27'],
});
export const cidrText = canonical('a CIDR', (text) => formatCidr(parseCidr(text))).meta({
  type: 'string',
  examples: ['10.0.0.0/8'],
});

const label = /^[a-z0-9]([-a-z0-9_.]*[a-z0-9])?$/;
const nameRule = 'lower-case letters, digits, and -_. inside; must begin and end with a letter or digit';
/** Names of networks, hosts, tenants and segments: fit for DNS labels, Kubernetes namespaces and OpenStack uuids. */
export const name = z.string().min(1).max(63).regex(label, nameRule).describe(`Name: ${nameRule}`);
export const endpointName = z.string().min(1).max(253).regex(label, nameRule).describe(`Name: ${nameRule}`);
/** A place in the topology, such as `zone1/rack2`. */
export const groupPath = z
  .string()
  .max(512)
  .regex(/^[A-Za-z0-9][-A-Za-z0-9_.]*(\/[A-Za-z0-9][-A-Za-z0-9_.]*)*$/, 'names of prefix groups joined by /')
  .describe('Prefix group, e.g. zone1/rack2');
export const id = z.int().min(1).max(4294967295);
export const labels = z.record(z.string().max(253), z.string().max(253)).describe('Labels of the host');
export const width = z.int().min(0).max(128);
export const linkName = z
  .string()
  .min(1)
  .max(15)
  .regex(
    /^[^\s/:"'%\\]+$/,
    'a Linux link name: at most 15 characters, no space, slash, colon, quote or percent sign',
  )
  .refine((text) => text !== '.' && text !== '..', 'not a link name');
export const netnsPath = z
  .string()
  .max(255)
  .regex(/^\/[^\0\n"]*$/, 'an absolute path of a network namespace, such as /run/netns/web')
  .refine((text) => !text.split('/').includes('..'), 'a path without ..');
