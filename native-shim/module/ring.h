/*
 * The ring as the module uses it (wire/ring.h, ARCHITECTURE.md "The ring"): a turn takes a slot, writes a frame into its
 * payload, posts it and waits for the reply. No system call, no lock and no allocation while a worker of the keeper looks;
 * a child of fork has no mapping of its parent's region at all. What stands in the region is read once and then checked.
 */
#ifndef SIDEKEY_MODULE_RING_H
#define SIDEKEY_MODULE_RING_H

#include "connection.h"

#include "../wire/ring.h"

struct sk_link;

/* What is asked for tells how long an answer takes: the agent's or none of these, a symmetric operation, a curve's or a public
 * RSA key's, a private RSA key's by its size. */
enum sk_pace_class { SK_PACE_OTHER, SK_PACE_SHORT, SK_PACE_CURVE, SK_PACE_LONG, SK_PACE_LONGER, SK_PACE_LONGEST, SK_PACES };

/* Kept until the link goes, and its region mapped as long, so that a pointer to it may be looked at by who has no lock. Nobody
 * counts its users: who is in a turn has a slot. Once it is dead and all slots can be had, they are kept, and the next connection
 * has the ring, its region in the old one's place. */
struct sk_ring {
    struct sk_ring *next;
    atomic_bool dead;
    atomic_bool retired; /* all its slots were had after that */
    _Atomic(struct ring_region *) region;
    struct sk_descriptor bell, socket; /* the socket is the connection's: to see that it hung up */
    bool bell_is_ours;                 /* when it died, the host had not closed our descriptors */
    _Atomic uint64_t generation;
    atomic_uint queued; /* threads that wait for a slot */
    struct sk_ring_slot {
        _Alignas(64) _Atomic uint32_t holder; /* enum sk_holder */
        uint32_t turn;                        /* of the last request: whose slot it is counts on */
        bool has_subject;
        uint8_t subject[RING_SUBJECT_BYTES]; /* as the keeper notes it with this slot */
    } slots[RING_SLOTS];
};

/* Nobody, a thread, or the keeper: a request that was given up at its deadline, to be taken back once it is answered. */
enum sk_holder { SK_HOLDER_NONE, SK_HOLDER_THREAD, SK_HOLDER_KEEPER };

/* How long it is worth while to spin, and when a long answer is due, by what is asked for: learnt. */
struct sk_pace {
    atomic_uint budget_us[SK_PACES], due_us[SK_PACES];
    atomic_uint skipped;
    atomic_bool spinning;     /* one thread, for a short answer: the others nap */
    atomic_uint napping;      /* of those */
    atomic_uint waiting_slow; /* threads whose answers take long: their answers need processors, too */
    atomic_uint crowded;      /* of so many waits to come none spins */
    atomic_uint processors;   /* that this process may use */
};

/* One request by the ring. */
struct sk_turn {
    struct sk_ring *ring;
    struct ring_region *region;
    unsigned slot;
    uint32_t number;     /* its turn of the slot, once posted */
    bool posted;         /* and not answered */
    bool sleeps;         /* the caller's word, before it is posted: its answer will not be waited for awake */
    bool rang;           /* with this request, and has not slept since */
    bool again;          /* its subject was left out */
    uint16_t type;
    size_t at;           /* what was put into, or taken of, the body */
    size_t length;       /* of the reply's body */
    uint16_t status;     /* the reply's */
    uint64_t epoch;      /* of the bindings, before it was asked */
    uint8_t head[RING_LINE_BYTES]; /* the frame's beginning, in private memory */
    int64_t deadline;    /* 0: none was needed yet */
};

/* Asks a keeper that was just greeted for its ring. NULL in `out`: none is to be had (an answer like any other). SK_IO_BROKEN:
 * the connection is lost. SIDEKEY_RING=0 in the environment asks for none: for tests. */
enum sk_io sk_ring_open(struct sk_connection *c, struct sk_link *l, int64_t deadline, struct sk_ring **out);

/* Under the link's lock: the connection is lost. Who waits finds out within 20 ms. */
void sk_ring_kill(struct sk_ring *ring);
void sk_ring_free(struct sk_ring *ring);

/* Whether nobody is in a turn of a dead ring any more, and nobody will be. */
bool sk_ring_retire(struct sk_ring *ring);

/* Of a retired ring that has a region again: it lives. */
void sk_ring_revive(struct sk_ring *ring);

/* In the child of a fork: closes the descriptor that it inherited; its memory it never had. */
void sk_ring_forget(struct sk_ring *ring);

/* Takes a slot, the one of number `home` if it can. False: there is no ring, or no slot in time; the socket serves. */
bool sk_ring_enter(struct sk_link *l, uint64_t home, struct sk_turn *t);

/* The same without waiting for a slot. */
bool sk_ring_enter_now(struct sk_link *l, uint64_t home, struct sk_turn *t);

/* Begins the next request of this turn. */
void sk_ring_begin(struct sk_turn *t);

/* The first RING_SUBJECT_BYTES of an operation in one part; they need not travel if the request before had the same. */
void sk_ring_put_subject(struct sk_turn *t, const uint8_t *subject);

/* Appends to the body of the next request, RING_BODY_MAX in all. */
void sk_ring_put(struct sk_turn *t, const void *bytes, size_t length);

/* Moves what was put nearer to the keeper, where it will be read later than now. */
void sk_ring_push(const struct sk_turn *t);

/* Sends what was put. */
void sk_ring_post(struct sk_turn *t, uint16_t type);

/* Writes the bell, where it still is one: see sk_ring_kill. */
void sk_ring_ring(struct sk_ring *ring);

/* Waits for the reply. SK_IO_OK: status and length are there, and the body to take. SK_IO_TIMEOUT: the deadline passed, the slot is given up.
 * SK_IO_BROKEN: the keeper is gone, or what it wrote is no reply; the caller tells the link. */
enum sk_io sk_ring_wait(struct sk_turn *t, struct sk_pace *pace, enum sk_pace_class which);

/* Takes the next `length` bytes of the reply's body, each read once; there must be so many. */
void sk_ring_take(struct sk_turn *t, void *to, size_t length);

/* Gives the slot back, whatever became of it. */
void sk_ring_leave(struct sk_turn *t);

/* The generation of the connection and the epoch of its bindings, without a lock. False: there is no ring. */
bool sk_ring_epoch(struct sk_link *l, uint64_t *generation, uint64_t *epoch);

/* The same, and the keeper that writes the epoch has not hung up: what was read is no dead keeper's last word. */
bool sk_ring_alive(struct sk_link *l, uint64_t *generation, uint64_t *epoch);

/* That epoch, of the ring of a connection that is held. */
uint64_t sk_ring_epoch_in(const struct sk_ring *ring);

/* Whether the keeper is gone. */
bool sk_ring_hung_up(const struct sk_ring *ring);

/* Whether who asks for that will not spin for the answer. */
bool sk_pace_sleeps(const struct sk_pace *pace, enum sk_pace_class which);

/* Tells the keeper to wake who sleeps on the processor where this is called; or that nobody does. */
void sk_ring_announce_sleep(const struct sk_turn *t);
void sk_ring_announce_awake(const struct sk_turn *t);

void sk_pace_init(struct sk_pace *pace);

#endif
