/**
 * Every limit of the HTTP API: Vault's defaults where it has one. `limits` in the configuration sets eight of
 * them.
 */
export const API_LIMITS = {
  bodyBytes: 32 * 1024 * 1024,
  headerBytes: 16 * 1024,
  /** For requests read before node:http, which gets any longer ones. */
  hotHeadBytes: 4096,
  hotBodyBytes: 256 * 1024,
  /** From the first byte of a request (or the accept) to the end of its headers. */
  headersTimeoutMs: 10_000,
  /** To the end of the body: 90 s, as in Vault. */
  requestTimeoutMs: 90_000,
  /** For the handler: longer than the keeper's deadline, so that the keeper's error is the one reported. */
  handlerTimeoutMs: 30_000,
  /** Idle time between two requests. */
  keepAliveTimeoutMs: 60_000,
  /** Neither read from nor written to: also disconnects a client that never reads its answer. */
  idleSocketTimeoutMs: 120_000,
  /** How often Node checks connections for timeouts. */
  timeoutCheckMs: 1_000,
  connections: 1024,
  /** Out of all connections: one uid leaves some for others. */
  uidConnections: 768,
  /** Per process, like the next three. */
  peerConnections: 256,
  peerInFlight: 128,
  /** Total bodies of requests in flight; a body without an announced length counts as the longest. */
  peerBodyBytes: 512 * 1024 * 1024,
  /** Requests per second. */
  peerRate: 20_000,
  /** Time for requests in flight when the API closes. */
  closeMs: 5_000,
  /**
   * Whoever answers a probe of the socket's path is alive; so, presumably, is whoever has not accepted within
   * this time.
   */
  probeMs: 1_000,
  pathSegmentBytes: 512,
  batchItems: 10_000,
  batchInFlight: 64,
  /** Items of a batch that are sent to their key at once, if all use one key. */
  batchTogether: 256,
  randomBytes: 131_072,
  /** Bytes from a key service, which limits requests and charges for them. */
  serviceRandomBytes: 1024,
  eventConnections: 16,
  /** Events waiting for one reader; with more, it is disconnected. */
  eventBacklogBytes: 1024 * 1024,
  eventPingMs: 30_000,
} as const;

export type ApiLimits = { readonly [name in keyof typeof API_LIMITS]: number };
