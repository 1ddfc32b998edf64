/** Isolation and policy: model, reference evaluator, compiler. See README.md. */
export * from './compile.ts';
export * from './evaluate.ts';
export * from './model.ts';
export * from './shared.ts';
