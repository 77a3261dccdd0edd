/*
 * The agent's side of the ring (ARCHITECTURE.md, "The agent's ring"): a frame goes to the keeper and its answer comes back within one
 * call, without a system call while a worker of the keeper is looking.
 */
#ifndef SIDEKEY_PEER_RING_H
#define SIDEKEY_PEER_RING_H

#include <node_api.h>

/* ringOpen(path): asks the keeper at its control socket for a ring, without waiting for it; null where nobody can be asked. */
napi_value peer_ring_open(napi_env env, napi_callback_info info);

/*
 * ringCall(ring, bodies): of up to RING_SLOTS frames of cell_operate_many the bodies of the answers, null in the place of one that was
 * refused or took too long; or null for all: the keeper has not given the ring yet, or one is too long for it. What has no answer the
 * caller asks by the socket. The bodies are the caller's to wipe.
 */
napi_value peer_ring_call(napi_env env, napi_callback_info info);

/* ringPost(ring, body): the same, but the keeper may begin while the next one is written. false: it was not sent. The body is copied. */
napi_value peer_ring_post(napi_env env, napi_callback_info info);

/* ringCollect(ring): as ringCall, of what was posted since the last time, RING_SLOTS at most. */
napi_value peer_ring_collect(napi_env env, napi_callback_info info);

/* ringWake(ring): frames are about to come. Harmless at any time. */
napi_value peer_ring_wake(napi_env env, napi_callback_info info);

/* ringClose(ring): harmless when it is closed. */
napi_value peer_ring_close(napi_env env, napi_callback_info info);

#endif
