/* From module to agent and back. All with kp_lock held, but for the handlers (handle.h). */
#ifndef SIDEKEY_KEEPER_ROUTE_H
#define SIDEKEY_KEEPER_ROUTE_H

#include "handle.h"
#include "park.h"

/* What the agent is asked for: a binding, or leave for one use of one that is there. */
struct kp_asked {
    const struct kp_place *place;
    uint64_t handle, mechanism;
    uint8_t operation, why; /* WIRE_WHY_ */
};

/* Parks the request and asks the agent. KP_LATER, or a status. */
int kp_ask_resolve(struct kp_request *r, const struct kp_asked *asked);

/* An agent is there: it gets what waits. The agent is gone: what only it could answer is answered, the rest waits again. */
void kp_agent_attached(struct kp_conn *agent);
void kp_agent_lost(void);

/* Events; nothing happens when no agent is attached, which asks for lists when it comes. */
void kp_event_client_opened(const struct kp_conn *client);
void kp_event_client_closed(uint64_t client);
void kp_event_client_refused(const struct kp_conn *client);
/* How a use ended that the agent gave leave for; nothing when it does not ask. */
void kp_event_use_ended(const struct kp_leave *leave, int status);
void kp_event_cell_ended(uint64_t cell, uint8_t why);

/* As client_opened and client_list have it. */
void kp_write_client(struct wire_writer *w, const struct kp_conn *client);

#endif
