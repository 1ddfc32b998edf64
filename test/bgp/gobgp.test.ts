/** GoBGP as the host's speaker, between a BIRD switch and an FRR switch that run what Romana exports for them. */
import { inPrivateNamespaces } from '../support/namespace.ts';
import { stubTests } from './support/stub.ts';

if (inPrivateNamespaces(import.meta.url, { timeoutMs: 420_000 }))
  stubTests('gobgp', { configuration: 'gobgpd.toml' });
