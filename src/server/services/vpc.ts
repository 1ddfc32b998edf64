/** The route tables of VPCs, as the program that keeps them tells of them. */
import { isRomanaError } from '#core/errors.ts';
import type { Caller } from '../caller.ts';
import type { VpcControl } from '../vpc.ts';
import type { Services } from './types.ts';

/** `control` absent: this server keeps none. */
export function vpcServices(
  control: Pick<VpcControl, 'plan' | 'status'> | undefined,
): Pick<Services, 'vpcPlan' | 'vpcStatus'> {
  return {
    vpcPlan: async () => (await control?.plan()) ?? { items: [] },
    vpcStatus: async () => control?.status() ?? { items: [] },
  };
}

/** What was found in the tables confirms them, as an operator does a switch (routing.ts). */
export async function confirmTables(
  services: Pick<Services, 'routeConfirm'>,
  vpc: string,
  revision: number,
): Promise<void> {
  try {
    await services.routeConfirm(keeper, { params: { device: vpc }, query: {}, body: { revision } });
  } catch (error) {
    // No group states the VPC any more.
    if (!isRomanaError(error) || error.code !== 'not_found') throw error;
  }
}

const keeper: Caller = { kind: 'token', name: 'vpc', role: 'admin' };
