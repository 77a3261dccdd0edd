/*
 * The one connection of the process to the keeper, shared by all its threads. Frequent requests travel by its ring (ring.h),
 * which is much faster than the socket. On the socket each thread writes its own frame; of the threads
 * that wait, one reads and hands the others their replies; nobody holds a lock while waiting. The next
 * thread that needs a lost connection makes a new one. What may safely be sent twice is sent again, four times in all.
 */
#ifndef SIDEKEY_MODULE_LINK_H
#define SIDEKEY_MODULE_LINK_H

#include "condition.h"
#include "connection.h"
#include "ring.h"

#include <pthread.h>
#include <stdatomic.h>

struct sk_waiter;

struct sk_link {
    pthread_mutex_t lock;
    struct sk_condition turn; /* connecting or writing has ended, or the link is closing */
    struct sk_connection *now;
    _Atomic(struct sk_ring *) ring; /* of `now`; NULL: none */
    struct sk_ring *rings;          /* all that were ever made */
    struct sk_pace pace;
    const struct sk_descriptor *trace; /* NULL: none */
    struct sk_waiter *waiters;
    bool connecting, closing;
    enum wire_status absence; /* result of the last attempt by the thread that is connecting; ok: none has ended */
    bool was_good;      /* a connection was there before: its loss is a pause, not an absence */
    int64_t lost_at;    /* when, by sk_now_ms */
    bool refused;       /* the last attempt to connect was; written by the thread that connects, as are the next two */
    bool barred;        /* no later one can succeed */
    int told;           /* the errno that the trace has already */
    int64_t refused_at; /* when the first was, by sk_now_ms; 0: none */
    uint64_t next_id, generation, epoch;
    uint64_t boot;    /* of the keeper that we were last connected to */
    atomic_uint anew; /* how often we reconnected to a keeper that had seen us hang up */
};

enum sk_resend {
    SK_SEND_ONCE,  /* has an effect: never twice */
    SK_SEND_AGAIN, /* harmless twice */
    SK_SEND_BOUND  /* belongs to an operation that the keeper of one connection knows */
};

struct sk_exchange {
    uint8_t *frame; /* header and body; the header is filled in here */
    size_t length;
    uint16_t type;
    enum sk_resend resend;
    bool by_socket; /* its answer may be longer than a slot of the ring */
    int64_t patience_ms; /* how long to wait for a daemon that went away to come back */
    int64_t deadline;
    uint64_t generation; /* in: for SK_SEND_BOUND; out: of the connection that answered */
    uint64_t asked_in;   /* out: the epoch in its ring before the question went out; 0: it has none */
    /* the reply */
    struct wire_header header;
    uint8_t *body; /* the caller's: wipe and free */
};

void sk_link_init(struct sk_link *l);

/* Asks and waits, until `x->deadline` at the latest; any thread, without the lock.
 * Gives the reply's status, or keeper_absent, operation_lost, deadline, wire_version, memory. */
enum wire_status sk_link_ask(struct sk_link *l, struct sk_exchange *x);

/* Asks by the ring only. False: the caller uses the socket, as there is no ring, or the keeper ended and the request may be
 * repeated. */
bool sk_link_ask_by_ring(struct sk_link *l, struct sk_exchange *x, enum wire_status *status);

/* Connects unless it is connected, until the caller's patience ends. On ok, l->now is there. Under the lock, which it leaves to
 * dial and to wait. */
enum wire_status sk_link_connect(struct sk_link *l, const struct sk_exchange *x);

/* Breaks off l->now, which must not be NULL, and wakes all threads that wait for a reply on it. Under the lock. */
void sk_link_drop_now(struct sk_link *l);

/* The generation of the connection and the epoch of its bindings now; 0 when there is none. */
uint64_t sk_link_generation(struct sk_link *l, uint64_t *epoch);

/* The ring of that generation's connection was found broken. */
void sk_link_lost(struct sk_link *l, uint64_t generation);

/* Wakes all waiting threads, which get keeper_absent. Takes the lock. */
void sk_link_close(struct sk_link *l);

/* Frees all rings. No thread may be inside any more. */
void sk_link_free(struct sk_link *l);

#endif
