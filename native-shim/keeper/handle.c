#include "handle.h"

#include <stdlib.h>

#include "conn.h"
#include "log.h"
#include "park.h"
#include "ring.h"

enum party { party_module, party_keeper, party_agent };

/* Filled from messages.def: who may send what to whom. */
struct message {
    uint16_t type;
    enum party from, to;
};

static const struct message messages[] = {
#define MESSAGE(number, name, from, to, material) {number, party_##from, party_##to},
#include "messages.def"
#undef MESSAGE
};

enum { FEW_BYTES = 16 * 1024 };

/* What the keeper itself answers. `apart`: takes long, and nothing that follows on its connection waits for it. */
static const struct {
    uint16_t type;
    kp_handler *handler;
    bool apart;
} handlers[] = {
    {WIRE_hello, kp_on_hello, false},
    {WIRE_bind_check, kp_on_bind_check, true},
    {WIRE_operate, kp_on_operate, true},
    {WIRE_random, kp_on_random, true},
    {WIRE_ring, kp_on_ring, false},
    {WIRE_attach, kp_on_attach, false},
    {WIRE_mechanism_table, kp_on_mechanism_table, false},
    {WIRE_state, kp_on_state, false},
    {WIRE_client_list, kp_on_client_list, false},
    {WIRE_client_note, kp_on_client_note, false},
    {WIRE_cell_list, kp_on_cell_list, false},
    {WIRE_cell_generate, kp_on_cell_generate, true},
    {WIRE_cell_import, kp_on_cell_import, true},
    {WIRE_cell_open, kp_on_cell_open, true},
    {WIRE_cell_unwrap, kp_on_cell_unwrap, true},
    {WIRE_cell_derive, kp_on_cell_derive, true},
    {WIRE_cell_copy, kp_on_cell_copy, true},
    {WIRE_cell_seal, kp_on_cell_seal, true},
    {WIRE_cell_wrap, kp_on_cell_wrap, true},
    {WIRE_cell_note, kp_on_cell_note, false},
    {WIRE_cell_drop, kp_on_cell_drop, false},
    {WIRE_cell_operate, kp_on_cell_operate, true},
    {WIRE_bind, kp_on_bind, false},
    {WIRE_unbind, kp_on_unbind, false},
    {WIRE_usage, kp_on_usage, false},
    {WIRE_cell_encapsulate, kp_on_cell_encapsulate, true},
    {WIRE_cell_decapsulate, kp_on_cell_decapsulate, true},
    {WIRE_cell_operate_many, kp_on_cell_operate_many, true},
    {WIRE_shutdown, kp_on_shutdown, false},
};
enum { MESSAGES = sizeof(messages) / sizeof(messages[0]), HANDLERS = sizeof(handlers) / sizeof(handlers[0]) };

enum { TYPES = 256 };

/* Rows by type, counted from 1; 0 where there is none. Filled before the first request. */
static uint8_t message_row[TYPES], handler_row[TYPES];
static pthread_once_t filled = PTHREAD_ONCE_INIT;

static void fill(void)
{
    for (uint8_t i = 0; i < MESSAGES; i++)
        message_row[messages[i].type] = (uint8_t)(i + 1);
    for (uint8_t i = 0; i < HANDLERS; i++)
        handler_row[handlers[i].type] = (uint8_t)(i + 1);
}

static int handler_of(uint16_t type)
{
    pthread_once(&filled, fill);
    return type < TYPES ? handler_row[type] - 1 : -1;
}

static const struct message *message_of(uint16_t type)
{
    pthread_once(&filled, fill);
    return type < TYPES && message_row[type] ? &messages[message_row[type] - 1] : NULL;
}

/* Messages of modules that an earlier version does not have: an agent that speaks it would hang up on them. */
static const struct {
    uint16_t type;
    uint32_t since;
} later[] = {{WIRE_generate_domain, 2}, {WIRE_encapsulate_key, 2}, {WIRE_decapsulate_key, 2}};

static bool has_message(const struct kp_conn *from, uint16_t type)
{
    for (size_t i = 0; i < sizeof(later) / sizeof(later[0]); i++)
        if (later[i].type == type)
            return from->version >= later[i].since;
    return true;
}

static int on_later_message(struct kp_request *r)
{
    (void)r;
    return STATUS_wire_version;
}

/* NULL: this one may not send that now. The first message of a connection greets, and only the first. */
static kp_handler *find_handler(const struct kp_conn *from, uint16_t type)
{
    enum party sender = from->kind == KP_AGENT ? party_agent : party_module;
    uint16_t greeting = sender == party_agent ? WIRE_attach : WIRE_hello;
    const struct message *m = message_of(type & (uint16_t)~WIRE_REPLY);
    int row;

    if (from->for_ring)
        return type == WIRE_cell_operate_many ? kp_on_cell_operate_many : NULL;
    if (sender == party_agent && type == WIRE_ring)
        return from->greeted ? NULL : kp_on_agent_ring;
    if (!m || from->greeted == (type == greeting))
        return NULL;
    if (type & WIRE_REPLY)
        return sender == party_agent && m->to == party_agent ? kp_on_agent_reply : NULL;
    if (m->from != sender)
        return NULL;
    if (m->to == party_agent)
        return has_message(from, type) ? kp_on_route : on_later_message;
    row = handler_of(type);
    return row < 0 ? NULL : handlers[row].handler;
}

bool kp_handle_in_order(const struct kp_conn *from, const struct wire_header *header)
{
    int row = handler_of(header->type);

    if (!from->greeted)
        return true;
    if (header->type & WIRE_REPLY)
        return header->type != (WIRE_resolve | WIRE_REPLY);
    /* To have another worker woken for the next frame takes longer than a few short operations. */
    if (header->type == WIRE_cell_operate_many && header->length <= FEW_BYTES)
        return true;
    return row < 0 || !handlers[row].apart;
}

static void answer(struct kp_request *r, int status, uint8_t *out)
{
    struct wire_header h = {.type = r->header.type | WIRE_REPLY, .status = (uint16_t)status, .id = r->header.id};
    bool body = status == STATUS_ok || status == STATUS_wire_version;

    if (r->from->kind == KP_CLIENT)
        h.epoch = atomic_load(&r->from->epoch);
    h.length = body ? (uint32_t)wire_written(r->reply) : 0;
    wire_write_header(out, &h);
    kp_conn_answer(r->from, r->slot, out, WIRE_HEADER_BYTES + h.length, r->straight.length);
}

/* Gives how much of `out` was written. */
static size_t run(struct kp_request *r, uint8_t *out)
{
    kp_handler *handler = find_handler(r->from, r->header.type);
    const size_t room = r->slot ? (size_t)RING_BODY_MAX : WIRE_BODY_MAX;
    static struct kp_rate broken;
    struct wire_writer reply;
    struct kp_op op;
    int status = KP_BROKEN;

    wire_writer_init(&reply, out + WIRE_HEADER_BYTES, room);
    wire_reader_init(&r->body, r->whole.data, r->whole.length);
    r->reply = &reply;
    r->lasting = &op;
    if (handler)
        status = handler(r);
    if (status == STATUS_ok && reply.full)
        status = STATUS_internal;
    if (status >= 0)
        answer(r, status, out);
    if (r->lasts)
        kp_op_end(&op);
    if (status == KP_BROKEN) {
        kp_log_rated(&broken, "warn", "frame_refused", "\"type\":%u,\"pid\":%d,\"uid\":%u", r->header.type,
                     (int)r->from->peer.pid, (unsigned)r->from->peer.uid);
        kp_conn_close(r->from);
    }
    /* An engine may have written past what it kept (a decryption that failed): a block more. */
    return WIRE_HEADER_BYTES + (wire_written(&reply) + 64 < room ? wire_written(&reply) + 64 : room);
}

void kp_handle_again(struct kp_conn *from, const struct kp_parked *p, uint64_t leave, uint8_t *out)
{
    struct kp_request r = {.from = from, .header = p->request, .whole = {p->body, p->length}};

    r.attempts = p->attempts;
    r.slot = p->slot;
    r.leave = leave;
    wire_wipe(out, run(&r, out));
}

void kp_handle(struct kp_conn *from, const struct wire_header *header, struct wire_bytes body, uint8_t *out)
{
    struct kp_request r = {.from = from, .header = *header, .whole = body};

    wire_wipe(out, run(&r, out));
}

void kp_handle_slot(struct kp_conn *from, unsigned slot, const struct wire_header *header, struct wire_bytes body,
                    uint8_t *out, size_t *dirty)
{
    struct kp_request r = {.from = from, .header = *header, .whole = body, .slot = slot};

    r.straight = kp_ring_straight(atomic_load_explicit(&from->ring, memory_order_relaxed), slot - 1);
    *dirty = run(&r, out);
}

void kp_read_place(struct wire_reader *r, struct kp_place *out)
{
    out->slot = wire_read_u64(r);
    out->session = wire_read_u64(r);
    out->read_write = wire_read_u8(r);
}

void kp_read_mechanism(struct wire_reader *r, uint64_t *type, struct wire_bytes *params)
{
    *type = wire_read_u64(r);
    *params = wire_read_bytes(r, WIRE_PARAMS_MAX);
}
