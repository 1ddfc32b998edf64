/** The route tables of VPCs on AWS. See README.md. */
import type { VpcControl, VpcParts } from '#server/vpc.ts';
import { createVpcControl } from './control.ts';

export { createVpcControl, type VpcTerms } from './control.ts';

/** With the terms of a server's configuration. */
export function vpcOfServer(
  parts: VpcParts,
  terms: { readonly everySeconds: number; readonly silentAfterSeconds: number },
): VpcControl {
  const { everySeconds, silentAfterSeconds } = terms;
  return createVpcControl(parts, { everyMs: everySeconds * 1000, silentAfterMs: silentAfterSeconds * 1000 });
}
