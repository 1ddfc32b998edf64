/** How many host ids hold the endpoints of one segment, with room to spare. Agents ask by it, and the server takes back by it. */
import { maxId } from '../address/index.ts';

/** `margins`: more than 1 for whoever gives up ids, so that the next endpoint does not ask for them again. */
export function idsFor(endpointBits: number, endpoints: number, margins = 1): number {
  const size = maxId(endpointBits);
  const margin = Math.max(Math.floor(size / 4), Math.min(16, Math.floor(size / 2)));
  const spare = endpoints === 0 ? 0 : Math.floor(margin * margins);
  return Math.max(1, Math.ceil((endpoints + spare) / size));
}
