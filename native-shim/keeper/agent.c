/* What the agent asks about the keeper itself: attach, tables, lists, bindings, usage, the end. */
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "aead.h"
#include "arena.h"
#include "binding.h"
#include "cell.h"
#include "clock.h"
#include "conn.h"
#include "handle.h"
#include "latency.h"
#include "lifetime.h"
#include "log.h"
#include "key_pq.h"
#include "mechanism.h"
#include "park.h"
#include "route.h"
#include "timer.h"
#include "usage.h"

/* What a module says reaches the agent as it is, so that no module may speak a later version than the agent: it comes back and
 * is told so. */
static void turn_away_newer(uint32_t version)
{
    for (unsigned i = 0; i < KP_CONNECTIONS_MAX; i++)
        if (kp.conns[i] && kp.conns[i]->kind == KP_CLIENT && kp.conns[i]->greeted && kp.conns[i]->version > version) {
            kp_parked_drop_client(kp.conns[i]->number);
            kp_conn_hang_up(kp.conns[i]);
        }
}

/* The answer goes out before what waited for an agent: one lock over both. */
static void welcome(struct kp_request *r)
{
    struct wire_header h = {.type = WIRE_attach | WIRE_REPLY, .id = r->header.id};
    uint8_t *frame = r->reply->start - WIRE_HEADER_BYTES;

    wire_write_u32(r->reply, r->from->version);
    wire_write_u64(r->reply, kp.boot);
    wire_write_u32(r->reply, (uint32_t)getpid());
    h.length = (uint32_t)wire_written(r->reply);
    wire_write_header(frame, &h);
    kp_conn_send(r->from, frame, WIRE_HEADER_BYTES + h.length);
    r->from->greeted = true;
    turn_away_newer(r->from->version);
    kp_agent_attached(r->from);
}

int kp_on_attach(struct kp_request *r)
{
    uint32_t version = wire_read_u32(&r->body);
    bool taken, served;

    wire_read_bytes(&r->body, KP_PROGRAM_MAX);
    served = version >= WIRE_VERSION_OLDEST && version <= WIRE_VERSION;
    if (!wire_reader_done(&r->body))
        return STATUS_wire_malformed;
    kp_lock();
    taken = kp.agent != NULL || r->from->gone;
    r->from->version = version;
    if (!taken && served)
        welcome(r);
    kp_unlock();
    if (taken)
        return STATUS_agent_present;
    if (!served) {
        wire_write_u32(r->reply, WIRE_VERSION);
        return STATUS_wire_version;
    }
    kp_log("info", "agent_attached", "\"pid\":%d,\"wire\":%u", (int)r->from->peer.pid, (unsigned)version);
    return KP_LATER;
}

int kp_on_mechanism_table(struct kp_request *r)
{
    uint32_t count = 0;

    for (size_t i = 0; i < wire_mechanisms_count; i++)
        count += kp_mechanism_works(&wire_mechanisms[i]);
    wire_write_u32(r->reply, count);
    for (size_t i = 0; i < wire_mechanisms_count; i++) {
        const struct wire_mechanism *m = &wire_mechanisms[i];

        if (!kp_mechanism_works(m))
            continue;
        wire_write_u64(r->reply, m->type);
        wire_write_bytes(r->reply, m->name, strlen(m->name));
        wire_write_u64(r->reply, m->key_type);
        wire_write_u64(r->reply, m->flags);
        wire_write_u64(r->reply, m->min);
        wire_write_u64(r->reply, m->max);
        wire_write_u8(r->reply, (uint8_t)m->standing);
    }
    return STATUS_ok;
}

int kp_on_state(struct kp_request *r)
{
    struct wire_writer *w = r->reply;

    kp_lock();
    wire_write_u64(w, KP_ARENA_BYTES);
    wire_write_u64(w, kp_arena_used());
    wire_write_u8(w, (uint8_t)kp_arena_kind());
    wire_write_u32(w, kp.cell_count);
    wire_write_u32(w, kp.clients);
    wire_write_u32(w, kp.binding_count);
    wire_write_u32(w, kp.parked_count);
    wire_write_u64(w, atomic_load(&kp.hot));
    wire_write_u64(w, atomic_load(&kp.misses));
    kp_unlock();
    if (r->from->version >= 2) {
        kp_latency_write(w);
        wire_write_u8(w, kp_aead_is_fast());
    }
    return STATUS_ok;
}

/* A list: u32 count, entries, u8 more. The request is empty or the number of the last entry that the agent has. */
struct list {
    size_t mark;
    uint32_t count;
    bool more;
};

static uint64_t list_begin(struct kp_request *r, struct list *l)
{
    uint64_t after = r->whole.length ? wire_read_u64(&r->body) : 0;

    *l = (struct list){.mark = wire_begin_template(r->reply)};
    return after;
}

static bool list_has_room(struct kp_request *r, struct list *l, size_t bytes)
{
    if ((size_t)(r->reply->end - r->reply->at) < bytes + 1) {
        l->more = true;
        return false;
    }
    l->count++;
    return true;
}

static int list_end(struct kp_request *r, const struct list *l)
{
    wire_end_template(r->reply, l->mark, l->count);
    wire_write_u8(r->reply, l->more);
    return wire_reader_done(&r->body) ? STATUS_ok : STATUS_wire_malformed;
}

/* Entries are in no order of their numbers, so "after" goes by slot: the low part of the number. */
static unsigned first_slot(uint64_t after, unsigned slots) { return after ? (unsigned)((uint32_t)after % slots) + 1 : 0; }

int kp_on_client_list(struct kp_request *r)
{
    struct list l;
    uint64_t after = list_begin(r, &l);

    kp_lock();
    for (unsigned i = first_slot(after, KP_CONNECTIONS_MAX); i < KP_CONNECTIONS_MAX; i++) {
        const struct kp_conn *c = kp.conns[i];

        if (!c || c->kind != KP_CLIENT || !c->greeted)
            continue;
        if (!list_has_room(r, &l, 68 + 4 * (size_t)c->peer.count + c->program_length + c->note.length))
            break;
        kp_write_client(r->reply, c);
        wire_write_u8(r->reply, atomic_load(&c->ring) != NULL);
        wire_write_u32(r->reply, (uint32_t)atomic_load(&c->ring_refused));
        wire_write_bytes(r->reply, c->note.data, c->note.length);
    }
    kp_unlock();
    return list_end(r, &l);
}

int kp_on_cell_list(struct kp_request *r)
{
    struct list l;
    uint64_t after = list_begin(r, &l), now = kp_now_ms();

    kp_lock();
    kp_cell_expire(now);
    for (unsigned i = first_slot(after, KP_CELLS_MAX); i < KP_CELLS_MAX; i++) {
        const struct kp_cell *c = kp.cells[i];

        if (!c)
            continue;
        if (!list_has_room(r, &l, 32 + c->note.length))
            break;
        wire_write_u64(r->reply, c->id);
        wire_write_u64(r->reply, c->owner);
        wire_write_u64(r->reply, c->deadline ? c->deadline - now : 0);
        wire_write_bytes(r->reply, c->note.data, c->note.length);
    }
    kp_unlock();
    return list_end(r, &l);
}

int kp_on_usage(struct kp_request *r)
{
    struct list l;

    list_begin(r, &l);
    kp_lock();
    l.count = kp_usage_take(r->reply, &l.more);
    kp_unlock();
    return list_end(r, &l);
}

int kp_on_client_note(struct kp_request *r)
{
    uint64_t number = wire_read_u64(&r->body);
    struct wire_bytes note = wire_read_bytes(&r->body, WIRE_NOTE_MAX);
    struct kp_conn *client;
    int status = STATUS_ok;

    if (!wire_reader_done(&r->body))
        return STATUS_wire_malformed;
    kp_lock();
    client = kp_conn_peek(number);
    if (!client || client->kind != KP_CLIENT)
        status = STATUS_arguments_bad;
    else if (!kp_note_set(&client->note, note))
        status = STATUS_memory;
    kp_unlock();
    return status;
}

static bool read_bind(struct wire_reader *r, uint32_t version, uint64_t *client, uint64_t *cell, struct kp_binding *b,
                      uint64_t *mechanisms)
{
    *client = wire_read_u64(r);
    b->slot = wire_read_u64(r);
    b->handle = wire_read_u64(r);
    b->operations = wire_read_u32(r);
    *cell = wire_read_u64(r);
    b->count = wire_read_u32(r);
    if (b->count > WIRE_BIND_MECHANISMS_MAX)
        return false;
    for (uint32_t i = 0; i < b->count; i++)
        mechanisms[i] = wire_read_u64(r);
    b->context_login = wire_read_u8(r) != 0;
    b->credits = wire_read_u32(r);
    b->each_asks = version >= 2 && wire_read_u8(r) != 0;
    return wire_reader_done(r);
}

int kp_on_bind(struct kp_request *r)
{
    struct kp_binding b = {.count = 0};
    uint64_t mechanisms[WIRE_BIND_MECHANISMS_MAX], number, id;
    struct kp_conn *client;
    struct kp_cell *cell;
    int status;

    if (!read_bind(&r->body, r->from->version, &number, &id, &b, mechanisms))
        return STATUS_wire_malformed;
    kp_lock();
    client = kp_conn_peek(number);
    cell = kp_cell_find(id, kp_now_ms());
    if (!client || client->kind != KP_CLIENT)
        status = STATUS_arguments_bad;
    else if (!cell || kp_cell_spent(cell))
        status = STATUS_cell_unknown;
    else
        status = kp_binding_set(client, cell, &b, mechanisms);
    kp_unlock();
    return status;
}

int kp_on_unbind(struct kp_request *r)
{
    uint64_t number = wire_read_u64(&r->body), slot = wire_read_u64(&r->body), handle = wire_read_u64(&r->body);

    if (!wire_reader_done(&r->body))
        return STATUS_wire_malformed;
    kp_lock();
    for (unsigned i = 0; i < KP_CONNECTIONS_MAX; i++)
        if (kp.conns[i] && (number == 0 || kp.conns[i]->number == number)) {
            kp_bindings_drop(kp.conns[i], slot, handle);
            kp_answers_void(kp.conns[i]);
        }
    kp_unlock();
    return STATUS_ok;
}

int kp_on_shutdown(struct kp_request *r)
{
    kp_conn_reply(r->from, r->slot, &r->header, STATUS_ok);
    kp_stop("asked by the agent");
    return KP_LATER;
}
