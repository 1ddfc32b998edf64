/** The route tables of VPCs on AWS. See README.md. */
export { createVpcControl, type VpcTerms } from './control.ts';
