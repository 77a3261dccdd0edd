/*
 * The ring: one region of shared memory per connected process, made and sealed by the keeper, in which frames travel
 * without a system call. ARCHITECTURE.md, "The ring", has the protocol. Both sides treat what they read here as hostile:
 * read once into private memory, then check, then use.
 */
#ifndef SIDEKEY_WIRE_RING_H
#define SIDEKEY_WIRE_RING_H

#include <stdatomic.h>
#include <stdint.h>

#include "limits.h"

enum {
    RING_VERSION = 1,
    RING_SLOTS = 16,
    RING_SLOT_BYTES = 16384 + 512, /* one frame, request or reply: header, parameters and RING_DATA_MAX of data */
    RING_DATA_MAX = 16384          /* application data in one frame that travels by the ring */
};

/* The state of a slot, and the word that a client sleeps on. free -> taken and ready -> (client's) are made by the client,
 * (ready ->) running -> done by the keeper, which passes over running where that is soon, done -> free by the client. */
enum ring_state { RING_FREE = 0, RING_TAKEN = 1, RING_READY = 2, RING_RUNNING = 3, RING_DONE = 4 };

struct ring_slot {
    _Alignas(64) _Atomic uint32_t state;
    _Atomic uint32_t waiting;      /* client: about to sleep on `state`; keeper: then wake it */
    _Atomic uint32_t length;       /* of the frame in the payload: the request's, then the reply's */
};

struct ring_region {
    _Atomic uint32_t version;
    _Atomic uint32_t slots;
    _Alignas(64) _Atomic uint32_t polled; /* keeper: a worker looks at the slots; else ring the bell after RING_READY */
    _Alignas(64) _Atomic uint64_t epoch;  /* keeper: as in the header of replies */
    struct ring_slot slot[RING_SLOTS];
    _Alignas(4096) uint8_t payload[RING_SLOTS][RING_SLOT_BYTES];
};

#endif
