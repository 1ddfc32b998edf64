/** Loaded only by commands that read or write YAML. The bundle gives a library imported dynamically no named exports; this has them. */
export { parseDocument, stringify } from 'yaml';
