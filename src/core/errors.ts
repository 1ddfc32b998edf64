/**
 * The one catalogue of errors. Every refusal that a user, an API client or an orchestrator can meet has a stable code here;
 * nothing invents a code in place, so that documents, exit codes and dashboards can rely on the list.
 */

/** Code → HTTP status and what the code means. The message of each thrown error says what is wrong *here* and what to do. */
export const catalogue = {
  // what the caller wrote
  input_invalid: { status: 400, summary: 'The request, file or argument does not have the required shape.' },
  address_invalid: { status: 400, summary: 'The text is not an IP address in strict notation.' },
  cidr_invalid: { status: 400, summary: 'The text is not a CIDR in strict notation, or has host bits set.' },
  layout_invalid: {
    status: 400,
    summary: 'The layout does not fill the bits of the network exactly, or has a width out of range.',
  },
  id_out_of_range: { status: 400, summary: 'A host, tenant, segment or endpoint id does not fit its field.' },
  address_mismatch: {
    status: 400,
    summary: 'The wanted address does not belong to the host, tenant or segment it is asked for.',
  },
  group_unknown: {
    status: 400,
    summary: 'The topology has no such prefix group, or the group holds groups instead of hosts.',
  },
  topology_invalid: {
    status: 400,
    summary: 'The topology has duplicate names or does not fit the host field.',
  },
  attachment_invalid: {
    status: 400,
    summary: 'The attachment names a link or network namespace that cannot be used.',
  },
  request_too_large: { status: 413, summary: 'The body of the request is longer than 1 MiB.' },
  // who the caller is
  unauthenticated: { status: 401, summary: 'No valid token or client certificate was presented.' },
  certificate_invalid: {
    status: 401,
    summary: 'The client certificate is expired, foreign, revoked or names no known host.',
  },
  join_token_invalid: {
    status: 401,
    summary: 'The join token is wrong, expired, used up or made for another host.',
  },
  too_many_attempts: {
    status: 429,
    summary: 'Too many wrong credentials came from this address lately.',
  },
  forbidden: { status: 403, summary: 'The caller is known but may not do this.' },
  // the state of things
  not_found: { status: 404, summary: 'No object of this name exists.' },
  already_exists: { status: 409, summary: 'Another object of this name exists.' },
  conflict: { status: 409, summary: 'The same name was used before with other properties.' },
  revision_conflict: { status: 409, summary: 'The object changed since the caller read it.' },
  in_use: { status: 409, summary: 'The object still holds others and cannot be deleted or changed.' },
  network_closed: {
    status: 409,
    summary: 'The network is open only to other tenants.',
  },
  network_flat: { status: 409, summary: 'The network is flat: nobody holds ids or addresses in it.' },
  network_overlap: { status: 409, summary: 'The CIDR overlaps an existing network.' },
  address_taken: { status: 409, summary: 'The address belongs to another endpoint.' },
  address_reserved: { status: 409, summary: 'The address lies in a reserved range.' },
  address_quarantined: {
    status: 409,
    summary: 'The address was released a short time ago and is not given out yet.',
  },
  id_retiring: {
    status: 409,
    summary:
      'The id belonged to something deleted, and a host may still hold what carries it; status names the host.',
  },
  id_pending: {
    status: 503,
    summary:
      'A further host id is reserved, but not every device has its route yet; `romana host show` says which.',
  },
  id_taken: { status: 409, summary: 'The id belongs to another host, tenant or segment.' },
  endpoint_removing: {
    status: 409,
    summary: 'The endpoint is being removed; its host has not confirmed yet.',
  },
  host_leaving: {
    status: 409,
    summary: 'The host is draining or fenced; it takes nothing new and is gone when its agent holds nothing.',
  },
  host_joined: {
    status: 409,
    summary: 'The host already has a certificate; a join token may not take it over.',
  },
  allocator_mismatch: {
    status: 409,
    summary: 'The host id is allocated by the other side (agent or server).',
  },
  generation_stale: {
    status: 409,
    summary: 'The report comes from an older incarnation of the store or the agent.',
  },
  route_foreign: {
    status: 409,
    summary: 'Another program on the host has a route to a prefix of Romana; it is never touched.',
  },
  host_unreachable: {
    status: 409,
    summary: 'A host range has no route, because underlay addresses are missing or clash.',
  },

  // what ran out
  block_full: { status: 507, summary: 'Every endpoint id of the block is used, reserved or quarantined.' },
  ids_exhausted: { status: 507, summary: 'Every id of the field (host, tenant or segment) is taken.' },
  host_without_id: { status: 409, summary: 'The host holds no id of this network for this allocator.' },
  // faults of the system
  speaker_unavailable: {
    status: 503,
    summary: 'The BGP daemon of the host does not answer; what it did last stays in force.',
  },
  speaker_refused: {
    status: 500,
    summary: 'The BGP daemon refused its configuration; the one that it has stays in force.',
  },
  speaker_unfit: {
    status: 500,
    summary: 'The BGP daemon is missing, of an unknown version, or cannot do what the fabric asks for.',
  },
  speaker_secret: {
    status: 500,
    summary: 'The file with the password of BGP sessions is missing, unreadable or holds no usable password.',
  },
  store_busy: { status: 503, summary: 'The store is locked by another process.' },
  store_full: { status: 507, summary: 'The disk under the store or journal is full; nothing was changed.' },
  store_corrupt: { status: 500, summary: 'The store or journal is damaged beyond its own repair.' },
  unavailable: { status: 503, summary: 'The server or agent is starting, stopping or cannot be reached.' },
  kernel_refused: { status: 500, summary: 'A kernel tool refused a change; the message holds its words.' },
  preflight_failed: { status: 500, summary: 'The host is not fit to run an agent; each reason is listed.' },
  timeout: { status: 504, summary: 'The operation did not finish in time; it may still take effect.' },
  internal: { status: 500, summary: 'A defect in Romana. The log has the details.' },
} as const satisfies Record<string, { status: number; summary: string }>;

export type ErrorCode = keyof typeof catalogue;

/** A refusal with a stable code. `message` is one sentence for an operator and ends with what to do where that is not obvious. */
export class RomanaError extends Error {
  readonly code: ErrorCode;
  /** Machine-readable facts, e.g. `{ path: 'layout.host' }`. Never secrets. */
  readonly details: Readonly<Record<string, unknown>> | undefined;

  constructor(
    code: ErrorCode,
    message: string,
    options: { details?: Record<string, unknown>; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'RomanaError';
    this.code = code;
    this.details = options.details;
  }

  get status(): number {
    return catalogue[this.code].status;
  }
}

export function isRomanaError(error: unknown): error is RomanaError {
  return error instanceof RomanaError;
}
