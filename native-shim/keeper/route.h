/* From module to agent and back. All with kp_lock held, but for the handlers (handle.h). */
#ifndef SIDEKEY_KEEPER_ROUTE_H
#define SIDEKEY_KEEPER_ROUTE_H

#include "handle.h"
#include "park.h"

/* Parks a request that found no binding and asks the agent for one. KP_LATER, or a status. */
int kp_ask_resolve(struct kp_request *r, const struct kp_place *place, uint8_t operation, uint64_t handle,
                   uint64_t mechanism);

/* An agent is there: it gets what waits. The agent is gone: what only it could answer is answered, the rest waits again. */
void kp_agent_attached(struct kp_conn *agent);
void kp_agent_lost(void);

/* Events; nothing happens when no agent is attached, which asks for lists when it comes. */
void kp_event_client_opened(const struct kp_conn *client);
void kp_event_client_closed(uint64_t client);
void kp_event_cell_ended(uint64_t cell, uint8_t why);

/* As client_opened and client_list have it. */
void kp_write_client(struct wire_writer *w, const struct kp_conn *client);

#endif
