/*
 * The ring: one region of shared memory per connected process, made and sealed by the keeper, in which frames travel
 * without a system call. ARCHITECTURE.md, "The ring", has the protocol. Both sides treat what they read here as hostile:
 * read once into private memory, then check, then use.
 *
 * What a request costs is the journeys of cache lines between two processors. So the lines that a side looks at all the time
 * have one writer, who writes them once; they carry the beginning of the frame, which is all of many; the rest of request and
 * reply share one place; and who holds a slot each side notes in memory of its own, as it does what seldom changes from one request
 * of a slot to the next, so that a short one fits into its line.
 */
#ifndef SIDEKEY_WIRE_RING_H
#define SIDEKEY_WIRE_RING_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "frame.h"

enum {
    RING_VERSION = 3,
    RING_SLOTS = 16,
    RING_HEADER_BYTES = 4,     /* of a frame here: of the header type and status, the length is the mark's */
    RING_LINE_BYTES = 56,      /* of a frame that stand in its line */
    RING_SUBJECT_BYTES = 43,   /* of operate in one part: what stands before its parameter */
    RING_AGAIN = 0x4000,       /* in the type: the body's subject is the one before in this slot, and left out */
    RING_DATA_MAX = 16384,     /* application data in one frame that travels by the ring */
    RING_REST_BYTES = 16384 + 512,
    RING_FRAME_BYTES = RING_LINE_BYTES + RING_REST_BYTES, /* one frame: header, parameters and RING_DATA_MAX of data */
    RING_BODY_MAX = RING_FRAME_BYTES - RING_HEADER_BYTES
};

/* `mark`: a turn, which grows by one with each request of a slot, and above it the length of the frame; written last. The turn
 * alone is the word that a client sleeps on. */
struct ring_line {
    _Alignas(64) _Atomic uint64_t mark;
    uint8_t head[RING_LINE_BYTES];
};

static inline uint64_t ring_mark(uint32_t turn, size_t length) { return turn | (uint64_t)length << 32; }
static inline uint32_t ring_turn(uint64_t mark) { return (uint32_t)mark; }
static inline size_t ring_length(uint64_t mark) { return (size_t)(mark >> 32); }

/* Whether a request has a subject that both sides note with its slot: flags, operation, number, place, handle and mechanism. */
static inline bool ring_has_subject(uint16_t type, const uint8_t *body, size_t length)
{
    return type == WIRE_operate && length >= RING_SUBJECT_BYTES && body[0] == (WIRE_BEGIN | WIRE_FINAL);
}

/* Zero, after some fifty cycles: added to the address of a line, it keeps looks at it apart. Looks that follow at once upon one
 * another take the line away from who is writing it, so that each request and each reply makes its journey twice. */
static inline size_t ring_pause(void)
{
    size_t zero = 0;

    for (unsigned i = 0; i < 16; i++) {
        zero *= zero;
        __asm__ __volatile__("" : "+r"(zero));
    }
    return zero;
}

struct ring_region {
    _Atomic uint32_t version;
    _Atomic uint32_t slots;
    _Alignas(64) _Atomic uint32_t polled; /* keeper: a worker looks at the slots; else ring the bell after a request */
    _Alignas(64) _Atomic uint64_t epoch;  /* keeper: as in the header of replies */
    _Alignas(64) _Atomic uint32_t waiting[RING_SLOTS]; /* client: about to sleep on the reply's turn, on processor n - 1: the keeper wakes it */
    _Alignas(64) _Atomic uint32_t running[RING_SLOTS]; /* keeper: the turn of a request that takes long: no need to ring */
    struct ring_line request[RING_SLOTS]; /* client */
    struct ring_line reply[RING_SLOTS];   /* keeper: the turn of the request that it answers */
    _Alignas(4096) uint8_t rest[RING_SLOTS][RING_REST_BYTES]; /* of the request, then of the reply */
};

#endif
