/** Words the refusal of a full block: an operator must see why it is full and what would help. */

import { RomanaError } from '../errors.ts';

export interface FullBlock {
  readonly cidr: string;
  /** Ids that the field can hold. */
  readonly size: number;
  readonly used: number;
  readonly reserved: number;
  readonly quarantined: number;
  /** When the next quarantined id is free; undefined when none is resting. */
  readonly waitMs: number | undefined;
}

export function blockFull(network: string, blocks: readonly FullBlock[]): RomanaError {
  const sum = (of: (block: FullBlock) => number): number => blocks.reduce((n, block) => n + of(block), 0);
  const waits = blocks.flatMap((block) => (block.waitMs === undefined ? [] : [block.waitMs]));
  const waitMs = waits.length === 0 ? undefined : Math.min(...waits);
  const size = sum((b) => b.size);
  const used = sum((b) => b.used);
  const reserved = sum((b) => b.reserved);
  const quarantined = sum((b) => b.quarantined);
  const block = blocks.map((b) => b.cidr).join(', ');
  const help: string[] = [];
  if (waitMs !== undefined) help.push(`wait ${Math.ceil(waitMs / 1000)} s`);
  if (used > 0) help.push('delete endpoints');
  help.push(
    'give the host a further id with `romana host add-id`',
    'give the segment one with `romana segment add-id`',
    'use a network with a wider endpoint field',
  );
  const hint = help.join(', or ');
  return new RomanaError(
    'block_full',
    `No free address in ${block} of network ${network}: of ${size} ids ${used} are used, ${reserved} reserved and ` +
      `${quarantined} released but still resting; ${hint}.`,
    {
      details: {
        network,
        block,
        size,
        used,
        reserved,
        quarantined,
        hint,
        ...(waitMs === undefined ? {} : { waitMs }),
        blocks: blocks.map((b) => ({
          block: b.cidr,
          size: b.size,
          used: b.used,
          reserved: b.reserved,
          quarantined: b.quarantined,
        })),
      },
    },
  );
}
