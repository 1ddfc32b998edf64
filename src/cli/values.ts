/** The text of an option as a JSON value. Shapes only: whether a CIDR or a name is right is for the server to say. */

import type { OptionKind } from '#contract/route.ts';
import { parseLayout } from '#core/address/index.ts';
import { asUsage, usage } from './exit.ts';

/** A value as a body carries it. */
export type Json = string | number | boolean | object | null;

export interface ValueRule {
  readonly flag: string;
  readonly kind: OptionKind;
  readonly nullable: boolean;
  readonly choices: readonly string[];
}

export function readInteger(flag: string, text: string): number {
  const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(value)) throw usage(`${flag}: ${JSON.stringify(text)} is not a whole number.`);
  return value;
}

/** `texts`: the option's occurrences in order; a flag without value is `['true']`. */
export function readValue(rule: ValueRule, texts: readonly string[]): Json {
  const last = texts.at(-1) ?? '';
  if (rule.nullable && last === '') return null;
  switch (rule.kind) {
    case 'string':
      return last;
    case 'integer':
      return readInteger(rule.flag, last);
    case 'boolean':
      return last === 'true';
    case 'strings':
      return texts.flatMap((text) => text.split(',')).filter((part) => part !== '');
    case 'enum':
      if (!rule.choices.includes(last)) {
        throw usage(`${rule.flag}: ${JSON.stringify(last)} is none of ${rule.choices.join(', ')}.`);
      }
      return last;
    case 'keyvalues':
      return readPairs(rule.flag, texts);
    case 'layout':
      return asUsage(() => parseLayout(last));
    case 'uplinks':
      return texts.filter((text) => text !== '').map((text) => readUplink(rule.flag, text));
    case 'json':
      break;
  }
  return readJson(rule.flag, last);
}

function readPairs(flag: string, texts: readonly string[]): Record<string, string> {
  const pairs = new Map<string, string>();
  for (const pair of texts.flatMap((text) => text.split(',')).filter((part) => part !== '')) {
    const [key = '', ...rest] = pair.split('=');
    if (key === '' || rest.length === 0) {
      throw usage(`${flag}: ${JSON.stringify(pair)} is not of the form key=value.`);
    }
    if (pairs.has(key)) throw usage(`${flag}: the key ${JSON.stringify(key)} is given twice.`);
    pairs.set(key, rest.join('='));
  }
  return Object.fromEntries(pairs);
}

/** `leaf1`, `leaf1=192.168.1.1,fd00::1`, `leaf1@eth0`, or all of it. */
function readUplink(flag: string, text: string): object {
  const [, device, addresses = '', link] = /^([^=@]+)(?:=([^@]+))?(?:@(.+))?$/.exec(text) ?? [];
  if (device === undefined)
    throw usage(`${flag}: ${JSON.stringify(text)} is not of the form DEVICE[=ADDRESS,ADDRESS][@LINK].`);
  return {
    device,
    addresses: addresses.split(',').filter((part) => part !== ''),
    ...(link === undefined ? {} : { link }),
  };
}

function readJson(flag: string, text: string): Json {
  try {
    return JSON.parse(text) as Json;
  } catch (error) {
    throw usage(`${flag}: not JSON: ${error instanceof Error ? error.message : ''}.`);
  }
}
