/** The route tables of VPCs, as the program that keeps them tells of them. */
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
