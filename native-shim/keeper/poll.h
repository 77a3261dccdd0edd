/*
 * Who looks at the rings. A worker that a bell has woken serves that ring, then owns it and keeps looking for some tens of
 * microseconds after its last request (some hundreds after one of a busy agent's); with nothing left to look at it sleeps. At most one worker less than there are
 * processors looks without being woken, so with one processor nobody does. While its owner is away with something slow a
 * ring is not polled, and its bell wakes another worker.
 */
#ifndef SIDEKEY_KEEPER_POLL_H
#define SIDEKEY_KEEPER_POLL_H

#include "state.h"

enum { KP_POLLED_MAX = 64 }; /* rings that one worker polls */

struct kp_poller {
    uint8_t *in, *out;          /* frames: the worker's, arena memory */
    size_t dirty_in, dirty_out; /* how far they are to be wiped before the worker sleeps */
    unsigned count;
    bool slow; /* what it has served last took long */
    struct kp_polled {
        struct kp_conn *conn; /* a reference */
        uint64_t idle_since;  /* ns; 0: it was busy when last looked at */
        uint64_t linger_ns;   /* how long it is looked at after its last request */
    } rings[KP_POLLED_MAX];
};

/* Counts the processors that this process may use. */
void kp_poll_open(void);

/* A bell has rung. Takes no reference. */
void kp_poll_bell(struct kp_poller *p, struct kp_conn *conn);

/* Looks at the rings it owns for a while. False: it owns none, and may sleep. */
bool kp_poll_look(struct kp_poller *p);

/* Around work that takes long: its rings ring their bells meanwhile. */
void kp_poll_leave(struct kp_poller *p);
void kp_poll_return(struct kp_poller *p);

/* Before the worker sleeps. */
void kp_poll_wipe(struct kp_poller *p);

#endif
