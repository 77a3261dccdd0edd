#include "dial.h"

#include "trace.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { PROGRAM_NAME_MAX = 64 };

static size_t write_hello(uint32_t version, uint8_t *frame, size_t capacity)
{
    struct wire_header h = {.type = WIRE_hello, .id = 1};
    const char *program = program_invocation_short_name ? program_invocation_short_name : "";
    struct wire_writer w;

    wire_writer_init(&w, frame + WIRE_HEADER_BYTES, capacity - WIRE_HEADER_BYTES);
    wire_write_u32(&w, version);
    wire_write_bytes(&w, program, strnlen(program, PROGRAM_NAME_MAX));
    h.length = (uint32_t)wire_written(&w);
    wire_write_header(frame, &h);
    return WIRE_HEADER_BYTES + h.length;
}

/* `version`: in, what was asked for; out, what the keeper named. */
static enum wire_status read_hello(const struct wire_header *h, const uint8_t *body, uint32_t *version, uint64_t *boot)
{
    struct wire_reader r;
    uint32_t asked = *version, data_max;

    if (h->type != (WIRE_hello | WIRE_REPLY) || h->id != 1)
        return STATUS_wire_malformed;
    wire_reader_init(&r, body ? (const void *)body : "", h->length);
    *version = h->length ? wire_read_u32(&r) : 0;
    if (h->status != STATUS_ok)
        return (enum wire_status)h->status;
    wire_read_u64(&r); /* client */
    *boot = wire_read_u64(&r);
    data_max = wire_read_u32(&r);
    if (!wire_reader_done(&r) || data_max != WIRE_DATA_MAX)
        return STATUS_wire_malformed;
    return *version == asked ? STATUS_ok : STATUS_wire_malformed;
}

static enum wire_status greet_in(struct sk_connection *c, uint32_t *version, int64_t deadline, uint64_t *epoch, uint64_t *boot)
{
    uint8_t frame[WIRE_HEADER_BYTES + 8 + PROGRAM_NAME_MAX];
    struct wire_header h = {0};
    uint8_t *body = NULL;
    enum wire_status status;
    enum sk_io r = sk_connection_send(c, frame, write_hello(*version, frame, sizeof(frame)), deadline);

    if (r == SK_IO_OK)
        r = sk_connection_receive(c, deadline, &h, &body);
    if (r != SK_IO_OK)
        return r == SK_IO_TIMEOUT ? STATUS_deadline : STATUS_keeper_absent;
    status = read_hello(&h, body, version, boot);
    *epoch = h.epoch;
    free(body);
    return status;
}

/* In our latest version, or else in the one that the keeper names, if we speak that. */
static enum wire_status greet(struct sk_connection *c, uint32_t *theirs, int64_t deadline, uint64_t *epoch, uint64_t *boot)
{
    enum wire_status status;

    *theirs = WIRE_VERSION;
    status = greet_in(c, theirs, deadline, epoch, boot);
    if (status == STATUS_wire_version && *theirs >= WIRE_VERSION_OLDEST && *theirs < WIRE_VERSION)
        status = greet_in(c, theirs, deadline, epoch, boot);
    c->version = *theirs;
    return status;
}

enum wire_status sk_dial(struct sk_link *l, int64_t deadline, struct sk_connection **out, uint64_t *epoch, uint64_t *boot)
{
    uint32_t theirs;
    enum wire_status status;
    struct sk_absence absence;
    enum sk_io r = sk_connection_open(out, &absence);

    l->refused = r == SK_IO_REFUSED;
    l->barred = r == SK_IO_BARRED;
    if (absence.why && absence.why != l->told)
        sk_trace_absence(l->trace, &absence);
    l->told = absence.why;
    if (r != SK_IO_OK)
        return r == SK_IO_MEMORY ? STATUS_memory : STATUS_keeper_absent;
    status = greet(*out, &theirs, deadline, epoch, boot);
    if (status == STATUS_wire_version)
        sk_trace_version(l->trace, theirs);
    if (status == STATUS_ok && sk_ring_open(*out, l, deadline, &(*out)->ring) != SK_IO_OK)
        status = STATUS_keeper_absent;
    if (status != STATUS_ok) {
        sk_connection_free(*out);
        *out = NULL;
    }
    return status;
}
