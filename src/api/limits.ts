/** Every bound of the HTTP API, in one place: Vault's own defaults where it has one. `limits` of the configuration sets eight of them. */
export const API_LIMITS = {
  bodyBytes: 32 * 1024 * 1024,
  headerBytes: 16 * 1024,
  /** Of a request that is read before node:http: longer ones are left to it. */
  hotHeadBytes: 4096,
  hotBodyBytes: 256 * 1024,
  /** From the first byte of a request (or the accept) to the end of its header. */
  headersTimeoutMs: 10_000,
  /** To the end of its body: Vault's 90 s. */
  requestTimeoutMs: 90_000,
  /** For the handler: above the keeper's own deadline, so that the keeper's answer is the one that is heard. */
  handlerTimeoutMs: 30_000,
  /** Idle between two requests. */
  keepAliveTimeoutMs: 60_000,
  /** Neither read from nor written to: also ends a client that never takes its answer. */
  idleSocketTimeoutMs: 120_000,
  /** How often Node looks for connections that are over their time. */
  timeoutCheckMs: 1_000,
  connections: 1024,
  /** Of the connections of all: one uid leaves some for others. */
  uidConnections: 768,
  /** Of one process, as the next three. */
  peerConnections: 256,
  peerInFlight: 128,
  /** Bodies of requests in flight; one whose length is not announced counts as the longest. */
  peerBodyBytes: 512 * 1024 * 1024,
  /** Requests in a second. */
  peerRate: 20_000,
  /** In-flight requests get this long when the API closes. */
  closeMs: 5_000,
  /** Whoever answers a probe of the socket's path is alive; who has not accepted within this time is taken for alive too. */
  probeMs: 1_000,
  pathSegmentBytes: 512,
  batchItems: 10_000,
  batchInFlight: 64,
  /** Items of a batch that go to their key at once, where all use one. */
  batchTogether: 256,
  randomBytes: 131_072,
  /** Of a key service, which is asked for so many at a time and is paid. */
  serviceRandomBytes: 1024,
  eventConnections: 16,
  /** What may wait for a reader of events: more, and it is dropped. */
  eventBacklogBytes: 1024 * 1024,
  eventPingMs: 30_000,
} as const;

export type ApiLimits = { readonly [name in keyof typeof API_LIMITS]: number };
