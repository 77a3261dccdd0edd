/*
 * A client, or the agent (bit 7 of the first byte), that writes what it likes into its region: each step of the input is a slot, a turn, a length, and bytes of its
 * frame or of what stands apart from it; after each the keeper looks as a worker does.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "arena.h"
#include "conn.h"
#include "crypto.h"
#include "poll.h"
#include "ring.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { AGENT = 0x80, STEP = 8, FRAME = WIRE_HEADER_BYTES + WIRE_BODY_MAX };

static struct kp_poller poller;

static void open_once(void)
{
    if (poller.in)
        return;
    if (kp_arena_open(false) != 0 || kp_crypto_open() != 0)
        abort();
    kp_state_open(16, 0);
    poller.in = kp_alloc(FRAME);
    poller.out = kp_alloc(FRAME);
}

static struct kp_conn *connect_ring(bool agent, struct kp_ring **ring)
{
    struct kp_peer peer = {.pid = 1};
    struct kp_conn *made = kp_conn_new(agent ? KP_AGENT : KP_CLIENT, -1, &peer), *conn = made ? kp_conn_take(made->number) : NULL;
    int memfd;

    if (!conn || kp_ring_open(ring, &memfd) != 0)
        abort();
    close(memfd);
    conn->greeted = true;
    conn->for_ring = agent;
    atomic_store(&conn->ring, *ring);
    return conn;
}

/* slot | turn | length (u32) | offset / 4 | count, then count bytes at that offset of the frame */
static size_t step(struct ring_region *region, const uint8_t *at, size_t left)
{
    unsigned slot = at[0] % RING_SLOTS;
    struct ring_line *line = &region->request[slot];
    size_t offset = (size_t)at[6] * 4, count = at[7] < left - STEP ? at[7] : left - STEP;
    uint32_t length;

    memcpy(&length, at + 2, sizeof(length));
    for (size_t i = 0; i < count; i++)
        *(offset + i < RING_LINE_BYTES ? &line->head[offset + i] : &region->rest[slot][offset + i - RING_LINE_BYTES]) =
            at[STEP + i];
    atomic_store(&line->mark, ring_mark(at[1], length));
    return STEP + count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kp_ring *ring;
    struct kp_conn *conn;

    open_once();
    conn = connect_ring(size > 0 && data[0] & AGENT, &ring);
    while (size >= STEP && !conn->gone) {
        size_t used = step(ring->region, data, size);

        kp_poll_bell(&poller, conn);
        data += used;
        size -= used;
    }
    kp_conn_close(conn);
    kp_conn_drop(conn);
    kp_poll_wipe(&poller);
    kp_lock();
    if (kp.parked_count || kp.clients || kp.binding_count)
        abort();
    kp.connections = 0;
    kp_unlock();
    if (!kp_arena_check())
        abort();
    return 0;
}
