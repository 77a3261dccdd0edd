/*
 * One connected socket to the keeper, and whole frames on it. No locks: link.c says who writes and who reads.
 */
#ifndef SIDEKEY_MODULE_CONNECTION_H
#define SIDEKEY_MODULE_CONNECTION_H

#include "descriptor.h"

#include "../wire/frame.h"

enum sk_io {
    SK_IO_OK = 0,
    SK_IO_TIMEOUT = -1, /* the deadline passed; for a write, perhaps within a frame */
    SK_IO_BROKEN = -2,  /* hung up, not a frame, or no longer our descriptor */
    SK_IO_ABSENT = -3,  /* no daemon */
    SK_IO_MEMORY = -4,
    SK_IO_REFUSED = -5, /* its socket is there, and nobody answers: it is restarting, or has more callers than places */
    SK_IO_BARRED = -6 /* this process may have no Unix socket: seccomp, RestrictAddressFamilies= */
};

struct sk_absence {
    char path[108]; /* as in sockaddr_un; empty: it would not fit */
    int why;        /* an errno */
};

struct sk_ring;

struct sk_connection {
    struct sk_descriptor socket;
    struct sk_ring *ring; /* link.c's; NULL: none */
    uint64_t generation; /* which of this process's connections it is; from 1 */
    uint32_t version;    /* of the frame, as greeted */
    uint8_t *in;         /* received and not yet taken */
    size_t have;
    /* link.c's, under its lock */
    unsigned users;
    bool writing, reading, broken;
};

/* Connects without waiting. On success `*out` is the caller's, for sk_connection_free; otherwise it is NULL and `absence` says
 * why, except for SK_IO_MEMORY. */
enum sk_io sk_connection_open(struct sk_connection **out, struct sk_absence *absence);

/* Closes the socket if it is still ours, wipes and frees. NULL is allowed. */
void sk_connection_free(struct sk_connection *c);

/* Shuts the socket down for every process and thread that has it, and so wakes the threads that wait on it. */
void sk_connection_hang_up(struct sk_connection *c);

/* Sends the whole frame; `deadline` is a time by sk_now_ms. After SK_IO_TIMEOUT or SK_IO_BROKEN a part may have been sent, so
 * the connection cannot be used any more. Never raises SIGPIPE. */
enum sk_io sk_connection_send(struct sk_connection *c, const uint8_t *frame, size_t length, int64_t deadline);

/* The next frame. `body` is NULL when the body is empty, else the caller's: wipe and free `h->length` bytes. What was
 * received of a frame when the deadline passed is kept for the next call. */
enum sk_io sk_connection_receive(struct sk_connection *c, int64_t deadline, struct wire_header *h, uint8_t **body);

#endif
