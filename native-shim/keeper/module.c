/* What a module asks of the keeper beside operations: hello, ring and random; and the ring of the agent. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "conn.h"
#include "crypto.h"
#include "handle.h"
#include "ring.h"
#include "route.h"

static void keep_program(struct kp_conn *conn, struct wire_bytes program)
{
    conn->program_length = (uint32_t)program.length;
    if (program.length)
        memcpy(conn->program, program.data, program.length);
}

/* Known to the agent before its first request can reach it: one lock over both. Refused, it may ask for an earlier version. */
int kp_on_hello(struct kp_request *r)
{
    uint32_t version = wire_read_u32(&r->body);
    struct wire_bytes program = wire_read_bytes(&r->body, KP_PROGRAM_MAX);
    uint32_t latest;
    bool served;

    if (!wire_reader_done(&r->body))
        return STATUS_wire_malformed;
    kp_lock();
    latest = kp.agent ? kp.agent->version : WIRE_VERSION;
    served = version >= WIRE_VERSION_OLDEST && version <= latest;
    wire_write_u32(r->reply, served ? version : latest);
    r->from->version = version;
    keep_program(r->from, program);
    if (served && !r->from->gone) {
        r->from->greeted = true;
        kp_event_client_opened(r->from);
    }
    kp_unlock();
    if (!served)
        return STATUS_wire_version;
    wire_write_u64(r->reply, r->from->number);
    wire_write_u64(r->reply, kp.boot);
    wire_write_u32(r->reply, WIRE_DATA_MAX);
    return STATUS_ok;
}

/* Answers by itself: its reply carries descriptors. */
static int give_ring(struct kp_request *r, uint32_t wanted)
{
    struct wire_header h = {.length = 4, .type = WIRE_ring | WIRE_REPLY, .id = r->header.id};
    uint8_t *frame = r->reply->start - WIRE_HEADER_BYTES;
    struct kp_ring *ring;
    int memfd, given, refused;

    refused = wanted == RING_VERSION ? kp_ring_open(&ring, &memfd) : -EPROTONOSUPPORT;
    if (refused != 0) {
        atomic_store(&r->from->ring_refused, -refused);
        return STATUS_ring_absent;
    }
    h.epoch = atomic_load(&r->from->epoch);
    wire_write_header(frame, &h);
    wire_write_u32(r->reply, RING_VERSION);
    given = kp_conn_give_ring(r->from, ring, memfd, frame, WIRE_HEADER_BYTES + h.length);
    close(memfd);
    if (given == 0)
        return KP_LATER;
    kp_ring_close(ring);
    if (!atomic_load(&r->from->ring))
        atomic_store(&r->from->ring_refused, ENOSPC); /* no watch for its bell */
    r->reply->at = r->reply->start;
    return STATUS_ring_absent;
}

int kp_on_ring(struct kp_request *r)
{
    uint32_t wanted = r->from->version >= 2 ? wire_read_u32(&r->body) : 1;

    return wire_reader_done(&r->body) ? give_ring(r, wanted) : STATUS_wire_malformed;
}

/* A second connection of the process that is attached, and of no other: it may use every cell. It ends with the first one. */
int kp_on_agent_ring(struct kp_request *r)
{
    uint32_t wanted = wire_read_u32(&r->body);
    struct kp_conn *from = r->from;

    if (!wire_reader_done(&r->body))
        return STATUS_wire_malformed;
    kp_lock();
    from->for_ring = kp.agent && !from->gone && kp.agent->peer.pid == from->peer.pid &&
                     kp.agent->peer.uid == from->peer.uid;
    if (from->for_ring) {
        from->version = kp.agent->version;
        from->greeted = true;
    }
    kp_unlock();
    return from->for_ring ? give_ring(r, wanted) : STATUS_ring_absent;
}

int kp_on_random(struct kp_request *r)
{
    uint32_t length = wire_read_u32(&r->body);
    uint8_t *at = r->reply->at + 4;

    if (!wire_reader_done(&r->body))
        return STATUS_wire_malformed;
    if (length > kp_out_max(r->reply))
        return STATUS_arguments_bad;
    wire_write_u32(r->reply, length);
    kp_random(at, length);
    r->reply->at += length;
    return STATUS_ok;
}
