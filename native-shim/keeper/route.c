#include "route.h"

#include <string.h>

#include "arena.h"
#include "binding.h"
#include "cell.h"
#include "clock.h"
#include "conn.h"
#include "material.h"
#include "ring.h"

/* One frame to the agent; `body` may be NULL when length is 0. */
static int send_agent(uint16_t type, uint64_t id, uint64_t client, const uint8_t *body, size_t length)
{
    struct wire_header h = {.length = (uint32_t)length, .type = type, .id = id, .client = client};
    uint8_t small[512], *frame = small;
    int sent;

    if (!kp.agent)
        return -1;
    if (WIRE_HEADER_BYTES + length > sizeof(small) && !(frame = kp_alloc(WIRE_HEADER_BYTES + length)))
        return -1;
    wire_write_header(frame, &h);
    if (length)
        memcpy(frame + WIRE_HEADER_BYTES, body, length);
    sent = kp_conn_send(kp.agent, frame, WIRE_HEADER_BYTES + length);
    if (frame != small)
        kp_free(frame);
    wire_wipe(small, sizeof(small));
    return sent;
}

static int send_parked(struct kp_parked *p)
{
    const uint8_t *body = p->resolve ? p->ask : p->body;
    size_t length = p->resolve ? p->ask_length - (kp.agent->version < 2) : p->length; /* `why` is the last byte */
    uint16_t type = p->resolve ? (uint16_t)WIRE_resolve : p->request.type;

    if (send_agent(type, p->id, p->client, body, length) != 0)
        return -1;
    p->sent = true;
    if (!p->resolve) {
        kp_frame_free(KP_FRAMES_PARKED, p->body, p->length);
        p->body = NULL;
    }
    return 0;
}

/* Sends it if there is an agent. Without room to queue it, busy: the module may try again. */
static int begin(struct kp_parked *p)
{
    if (!kp.agent || send_parked(p) == 0)
        return KP_LATER;
    kp_parked_take(p);
    kp_parked_free(p);
    return STATUS_busy;
}

static int give_up(struct kp_parked *p, int status)
{
    kp_parked_take(p);
    kp_parked_free(p);
    return status;
}

static bool keep_body(struct kp_parked *p, struct wire_bytes body)
{
    p->body = kp_frame_new(KP_FRAMES_PARKED, body.length);
    p->length = body.length;
    if (p->body && body.length)
        memcpy(p->body, body.data, body.length);
    return p->body != NULL;
}

int kp_ask_resolve(struct kp_request *r, const struct kp_asked *asked)
{
    struct kp_parked *p;
    struct wire_writer w;
    int status;

    if (r->attempts >= KP_RESOLVES_MAX)
        return STATUS_busy; /* the agent binds, and the binding is gone again: a lease too short to be of use */
    if (r->from->gone)
        return KP_LATER;
    status = kp_park(r->from, &r->header, &p);
    if (status != STATUS_ok)
        return status;
    p->resolve = true;
    p->attempts = r->attempts + 1;
    p->slot = r->slot;
    if (r->slot)
        kp_ring_running(atomic_load(&r->from->ring), r->slot - 1);
    if (!keep_body(p, r->whole))
        return give_up(p, STATUS_memory);
    wire_writer_init(&w, p->ask, sizeof(p->ask));
    wire_write_u64(&w, asked->place->slot);
    wire_write_u64(&w, asked->place->session);
    wire_write_u8(&w, asked->place->read_write);
    wire_write_u8(&w, asked->operation);
    wire_write_u64(&w, asked->handle);
    wire_write_u64(&w, asked->mechanism);
    wire_write_u8(&w, asked->why);
    p->ask_length = wire_written(&w);
    atomic_fetch_add(&kp.misses, !(asked->why & WIRE_WHY_BOUND));
    return begin(p);
}

static int fill(struct kp_parked *p, struct kp_request *r)
{
    if (r->header.type == WIRE_create || r->header.type == WIRE_password_key)
        return kp_material_cut(p, r->whole);
    return keep_body(p, r->whole) ? STATUS_ok : STATUS_memory;
}

/* It was hung up on when an agent of an earlier version attached; what it had sent before is read still, and nobody's. */
static bool was_turned_away(const struct kp_conn *from) { return kp.agent && from->version > kp.agent->version; }

/* Noted before the agent looks: what it changes afterwards makes the answer void. */
static bool may_be_kept(uint16_t type)
{
    return type == WIRE_slots || type == WIRE_find || type == WIRE_get_attributes;
}

int kp_on_route(struct kp_request *r)
{
    struct kp_parked *p;
    int status;

    kp_lock();
    status = r->from->gone || was_turned_away(r->from) ? KP_LATER : kp_park(r->from, &r->header, &p);
    if (status == STATUS_ok) {
        r->from->asked = r->from->asked || may_be_kept(r->header.type);
        status = fill(p, r);
        status = status == STATUS_ok ? begin(p) : give_up(p, status);
    }
    kp_unlock();
    return status;
}

/* The answer to a routed request goes to the module as it is, but for material that is put in. */
static void pass_on(struct kp_parked *p, struct kp_conn *client, struct kp_request *r)
{
    struct wire_header h = {.type = p->request.type | WIRE_REPLY, .status = r->header.status, .id = p->request.id};
    uint8_t *frame = r->reply->start - WIRE_HEADER_BYTES;
    struct wire_writer *w = r->reply;
    int status = STATUS_ok;

    if (h.status == STATUS_ok && p->request.type == WIRE_get_attributes)
        status = kp_material_put(r->whole, w);
    else if (h.status == STATUS_ok)
        wire_write_raw(w, r->whole.data, r->whole.length);
    if (status != STATUS_ok || w->full) {
        h.status = (uint16_t)(status != STATUS_ok ? status : STATUS_internal);
        h.length = 0;
    } else {
        h.length = (uint32_t)wire_written(w);
    }
    if (h.status == STATUS_ok && may_be_kept(p->request.type) && r->header.epoch == WIRE_MAY_BE_KEPT)
        h.client = WIRE_MAY_BE_KEPT;
    h.epoch = atomic_load(&client->epoch);
    wire_write_header(frame, &h);
    if (kp_conn_send(client, frame, WIRE_HEADER_BYTES + h.length) != 0)
        kp_conn_hang_up(client);
}

/* A leave of which the agent wants to know how it was used: resolve was answered with a byte. */
static bool is_leave(const struct kp_request *r)
{
    return r->header.type == (WIRE_resolve | WIRE_REPLY) && r->header.status == STATUS_ok && r->whole.length == 1;
}

static void resume(struct kp_parked *p, struct kp_conn *client, struct kp_request *r)
{
    uint8_t *frame = r->reply->start - WIRE_HEADER_BYTES;

    if (r->header.status != STATUS_ok)
        kp_conn_reply(client, p->slot, &p->request, r->header.status);
    else
        kp_handle_again(client, p, is_leave(r) ? p->id : 0, frame);
}

/* Nothing was done with it: its deadline was over, or its client gone. */
static void leave_came_late(const struct kp_request *r)
{
    const struct kp_leave leave = {.id = r->header.id};

    kp_lock();
    kp_event_use_ended(&leave, STATUS_deadline);
    kp_unlock();
}

int kp_on_agent_reply(struct kp_request *r)
{
    struct kp_conn *client = NULL;
    struct kp_parked *p;

    kp_lock();
    p = kp_parked_find(r->header.id);
    if (p && (!p->sent || r->header.type != ((p->resolve ? WIRE_resolve : p->request.type) | WIRE_REPLY))) {
        kp_unlock();
        return KP_BROKEN;
    }
    if (p) {
        kp_parked_take(p);
        client = kp_conn_peek(p->client);
        if (client)
            client->refs++;
    }
    kp_unlock();
    if (!p && is_leave(r))
        leave_came_late(r);
    if (!p)
        return KP_LATER; /* its deadline is over, or its client gone */
    if (client && p->resolve)
        resume(p, client, r);
    else if (client)
        pass_on(p, client, r);
    if (client)
        kp_conn_drop(client);
    kp_parked_free(p);
    return KP_LATER;
}

void kp_agent_attached(struct kp_conn *agent)
{
    struct kp_parked *p, *next;

    kp.agent = agent;
    for (p = kp_parked_first(); p; p = next) {
        next = kp_parked_next(p);
        if (send_parked(p) != 0)
            kp_parked_answer(p, STATUS_busy);
    }
}

/* `resolve` changes nothing and may be asked again; anything else may have been done. What the next agent finds may be otherwise
 * than what this one told. */
void kp_agent_lost(void)
{
    struct kp_parked *p, *next;

    kp.agent = NULL;
    for (unsigned i = 0; i < KP_CONNECTIONS_MAX; i++) {
        if (kp.conns[i])
            kp_answers_void(kp.conns[i]);
        if (kp.conns[i] && kp.conns[i]->for_ring)
            kp_conn_hang_up(kp.conns[i]);
    }
    for (p = kp_parked_first(); p; p = next) {
        next = kp_parked_next(p);
        if (p->resolve)
            p->sent = false;
        else if (p->sent)
            kp_parked_answer(p, STATUS_agent_absent);
    }
}

/* An event that finds no room would leave the agent with a wrong picture: it has to come anew and ask for lists. */
static void event(uint16_t type, uint64_t client, const struct wire_writer *w)
{
    if (kp.agent && send_agent(type, 0, client, w->start, wire_written(w)) != 0)
        kp_conn_hang_up(kp.agent);
}

void kp_write_client(struct wire_writer *w, const struct kp_conn *client)
{
    wire_write_u64(w, client->number);
    wire_write_u32(w, (uint32_t)client->peer.pid);
    wire_write_u32(w, client->peer.uid);
    wire_write_u32(w, client->peer.gid);
    wire_write_u32(w, client->peer.count);
    for (uint32_t i = 0; i < client->peer.count; i++)
        wire_write_u32(w, client->peer.groups[i]);
    wire_write_bytes(w, client->program, client->program_length);
    if (kp.agent && kp.agent->version >= 2)
        wire_write_u32(w, client->version);
}

void kp_event_client_opened(const struct kp_conn *client)
{
    uint8_t body[64 + 4 * KP_GROUPS_MAX + KP_PROGRAM_MAX];
    struct wire_writer w;

    wire_writer_init(&w, body, sizeof(body));
    kp_write_client(&w, client);
    event(WIRE_client_opened, client->number, &w);
}

void kp_event_client_closed(uint64_t client)
{
    uint8_t body[8];
    struct wire_writer w;

    wire_writer_init(&w, body, sizeof(body));
    wire_write_u64(&w, client);
    event(WIRE_client_closed, client, &w);
}

/* Its module speaks no version that is served: nobody but an operator can mend that. */
void kp_event_client_refused(const struct kp_conn *client)
{
    uint8_t body[24 + KP_PROGRAM_MAX];
    struct wire_writer w;

    if (!kp.agent || kp.agent->version < 2)
        return;
    wire_writer_init(&w, body, sizeof(body));
    wire_write_u32(&w, client->version);
    wire_write_u32(&w, (uint32_t)client->peer.pid);
    wire_write_u32(&w, client->peer.uid);
    wire_write_bytes(&w, client->program, client->program_length);
    event(WIRE_client_refused, 0, &w);
}

void kp_event_use_ended(const struct kp_leave *leave, int status)
{
    uint8_t body[48];
    struct wire_writer w;

    if (!leave->id || !kp.agent || kp.agent->version < 2)
        return;
    wire_writer_init(&w, body, sizeof(body));
    wire_write_u64(&w, leave->id);
    wire_write_u64(&w, leave->client);
    wire_write_u64(&w, leave->slot);
    wire_write_u64(&w, leave->handle);
    wire_write_u64(&w, leave->mechanism);
    wire_write_u8(&w, leave->operation);
    wire_write_u32(&w, (uint32_t)status);
    event(WIRE_use_ended, leave->client, &w);
}

void kp_event_cell_ended(uint64_t cell, uint8_t why)
{
    uint8_t body[9];
    struct wire_writer w;

    wire_writer_init(&w, body, sizeof(body));
    wire_write_u64(&w, cell);
    wire_write_u8(&w, why);
    event(WIRE_cell_ended, 0, &w);
}
