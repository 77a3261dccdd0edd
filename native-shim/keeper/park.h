/*
 * Requests that wait for the agent: no thread waits with them. Each has a deadline and is answered by then. All functions
 * are called with kp_lock held.
 */
#ifndef SIDEKEY_KEEPER_PARK_H
#define SIDEKEY_KEEPER_PARK_H

#include "state.h"

struct kp_parked {
    TAILQ_ENTRY(kp_parked) entry;
    uint64_t id, client, deadline;
    struct kp_holder *holder; /* the client's, which outlives this */
    struct wire_header request; /* the module's */
    bool resolve;               /* waits for a binding, then runs again; else it is the agent's to answer */
    bool sent;                  /* to the agent that is attached */
    unsigned attempts;
    unsigned slot; /* where it came from: see kp_conn_answer */
    uint8_t *body; /* resolve: the module's, to run again. Else what the agent is to get. Frame memory. */
    size_t length;
    uint8_t ask[64]; /* resolve: what the agent is to get */
    size_t ask_length;
    uint8_t *material; /* create: the secret components, for cell_import. Frame memory. */
    size_t material_length;
};

/* A new entry with a number and a deadline, at the end of the queue; STATUS_busy when there are too many. The caller fills
 * in the rest before it gives up the lock. */
int kp_park(struct kp_conn *client, const struct wire_header *request, struct kp_parked **out);

struct kp_parked *kp_parked_find(uint64_t id);
struct kp_parked *kp_parked_first(void);
struct kp_parked *kp_parked_next(struct kp_parked *p);

/* Out of the queue, still the caller's: for kp_parked_free. */
void kp_parked_take(struct kp_parked *p);
void kp_parked_free(struct kp_parked *p);

/* Answers with a status and frees. */
void kp_parked_answer(struct kp_parked *p, int status);
void kp_parked_drop_client(uint64_t client);
uint64_t kp_park_expire(uint64_t now_ms);

#endif
