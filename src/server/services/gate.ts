/** What is refused until a restored store knows what was given out: everything that could give out an id or an address. */
import type { Store } from '#store/port.ts';
import type { Caller } from '../caller.ts';
import type { Services } from './types.ts';
import { demandHeard } from './waiting.ts';

/** Reports and deletions go on: they are what is waited for. Only the ids of a network lose their meaning at once with it. */
export function gated(store: Store, services: Services): Services {
  type Service<I, A> = (caller: Caller, input: I) => Promise<A>;
  const held =
    <I, A>(service: Service<I, A>, which: (input: I) => boolean = () => true): Service<I, A> =>
    async (caller, input) => {
      if (which(input)) store.read(demandHeard);
      return service(caller, input);
    };
  return {
    ...services,
    networkCreate: held(services.networkCreate),
    networkUpdate: held(services.networkUpdate, ({ body }) => body.tenants !== undefined),
    networkDelete: held(services.networkDelete),
    topologyApply: held(services.topologyApply),
    hostCreate: held(services.hostCreate),
    // Other labels may move a host to another group.
    hostUpdate: held(services.hostUpdate, ({ body }) => body.labels !== undefined),
    hostAddId: held(services.hostAddId),
    tenantCreate: held(services.tenantCreate),
    tenantAddId: held(services.tenantAddId),
    segmentCreate: held(services.segmentCreate),
    segmentAddId: held(services.segmentAddId),
    endpointCreate: held(services.endpointCreate),
  };
}
