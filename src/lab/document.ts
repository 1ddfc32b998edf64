/** The document of `--once --json`. Its schema is part of the contract; its JSON Schema is docs/schemas/lab.json. */
export { LabDocument } from '#contract/lab.ts';
