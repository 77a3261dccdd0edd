/*
 * The region of memory that the keeper shares with one client (wire/ring.h, ARCHITECTURE.md "The ring"). The client may write
 * anything into it at any time: what is read from it here is read once, into private memory, and then checked; what the
 * keeper knows of a slot it knows by itself.
 */
#ifndef SIDEKEY_KEEPER_RING_H
#define SIDEKEY_KEEPER_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "../wire/ring.h"

struct kp_ring {
    struct ring_region *region;
    int bell;                     /* an eventfd; the client writes it, epoll sees it */
    _Atomic uint32_t seen[RING_SLOTS]; /* the turn that was taken last */
    atomic_bool held[RING_SLOTS]; /* its request is being handled, or is parked */
    atomic_bool dead;             /* its connection has ended: nobody looks any more */
    atomic_bool owned;            /* some worker polls it: see poll.h */
    _Atomic uint64_t idle_since;  /* ns: when its last owner saw it become idle; 0: unknown */
    _Atomic unsigned woke;        /* so many answers in a row had to wake a sleeper */
    _Atomic unsigned next;        /* slot to look at first: the one that was served last */
    _Atomic unsigned passed[RING_SLOTS]; /* so often its request was left to another processor's worker */
    struct kp_subject {
        bool known;
        uint8_t bytes[RING_SUBJECT_BYTES];
    } subjects[RING_SLOTS]; /* of who holds the slot */
};

/* How many regions there may be: each costs a descriptor. Before the first client. */
void kp_ring_limit(unsigned most);

/* A region that neither side can shrink, and its bell. `memfd` is the caller's to hand over and to close. 0, or a negative
 * errno: there is no room for one (-EMFILE past kp_ring_limit), and the client goes on with its socket. */
int kp_ring_open(struct kp_ring **out, int *memfd);

/* Unmaps. Whoever might still look holds the connection, which calls this with its last reference. */
void kp_ring_close(struct kp_ring *ring);

/* What a client reads: whether somebody looks at its slots (else it rings), and the epoch of its bindings. */
void kp_ring_set_polled(struct kp_ring *ring, bool polled);
void kp_ring_set_epoch(struct kp_ring *ring, uint64_t epoch);

/* Whether a slot has a request that nobody has taken. */
bool kp_ring_has_work(struct kp_ring *ring);

/* Takes the next slot that is ready, rather one whose client does not sleep on another processor than this, and copies its frame
 * out, once: its type, and its body to `body` (RING_FRAME_BYTES and a subject of room). Its number, or -1 when none is ready. `length` is that of the body, or -1 when the client wrote what is no frame.
 * The slot is the caller's until it is answered. `later` is ring_pause's zero, for who has just looked in vain, or 0. `patient`: who looks again soon
 * leaves the other ones for some looks. */
int kp_ring_take(struct kp_ring *ring, size_t later, bool patient, uint16_t *type, uint8_t *body, int *length);

/* Marks a request that was taken and will take long: nobody needs to be woken for it. */
void kp_ring_running(struct kp_ring *ring, unsigned slot);

/* Where what a reply has past its line may be written before it is answered, and how much was. Only what its client may read whether
 * or not all goes well, and gains nothing by changing: ciphertext. */
struct kp_straight {
    uint8_t *to; /* NULL: nowhere */
    size_t length;
};
struct kp_straight kp_ring_straight(const struct kp_ring *ring, unsigned slot);

/* Puts a reply (a frame as for the socket, at most RING_BODY_MAX of body) into a slot that was taken and wakes who sleeps on it. Any thread, any lock.
 * `there`: so much was written straight on, and is not taken from the frame. */
void kp_ring_answer(struct kp_ring *ring, unsigned slot, const uint8_t *frame, size_t length, size_t there);

/* Wakes one worker, as the client does. */
void kp_ring_ring(struct kp_ring *ring);

#endif
