#include "call.h"

#include "answers.h"
#include "clock.h"
#include "former.h"
#include "presence.h"

#include <stdlib.h>

/* The one table from statuses to PKCS#11's codes. */
static CK_RV code_of(enum wire_status status)
{
    static const CK_RV codes[] = {
#define ERROR(number, name, rv) [number] = rv,
#include "../wire/errors.def"
#undef ERROR
    };
    const size_t count = sizeof(codes) / sizeof(codes[0]);

    if (status == STATUS_ok)
        return CKR_OK;
    if ((size_t)status >= count || codes[status] == CKR_OK)
        return CKR_DEVICE_ERROR;
    return codes[status];
}

/* What changes nothing, or nothing more when done twice, is sent again after a lost connection. */
static enum sk_resend resend_of(enum wire_message type)
{
    switch (type) {
    case WIRE_bind_check:
    case WIRE_random:
    case WIRE_slots:
    case WIRE_mechanisms:
    case WIRE_login:
    case WIRE_logout:
    case WIRE_session_closed:
    case WIRE_find:
    case WIRE_get_attributes:
    case WIRE_set_attributes:
    case WIRE_object_size:
    case WIRE_wrap_key:
    case WIRE_resident_check:
        return SK_SEND_AGAIN;
    default:
        return SK_SEND_ONCE;
    }
}

/* Neither objects nor logins: what is kept of answers about them holds still. */
static bool changes_nothing(enum wire_message type)
{
    switch (type) {
    case WIRE_bind_check:
    case WIRE_operate:
    case WIRE_random:
    case WIRE_slots:
    case WIRE_mechanisms:
    case WIRE_find:
    case WIRE_get_attributes:
    case WIRE_object_size:
    case WIRE_wrap_key:
    case WIRE_resident_check:
    case WIRE_resident_operate:
        return true;
    default:
        return false;
    }
}

static int64_t time_for(enum wire_message type)
{
    bool slow = type == WIRE_generate_key_pair || type == WIRE_password_key || type == WIRE_generate_domain;

    return slow ? WIRE_GENERATE_DEADLINE_MS : WIRE_DEADLINE_MS;
}

void sk_call_begin(struct sk_call *c, const struct sk_entry *e, enum wire_message type, size_t room)
{
    size_t body = room < WIRE_BODY_MAX ? room : WIRE_BODY_MAX;

    *c = (struct sk_call){.entry = e};
    c->x.type = (uint16_t)type;
    c->x.resend = resend_of(type);
    c->x.patience_ms = WIRE_DEADLINE_MS;
    c->x.deadline = sk_now_ms() + time_for(type);
    c->x.frame = malloc(WIRE_HEADER_BYTES + body);
    c->no_memory = !c->x.frame;
    wire_writer_init(&c->w, c->x.frame ? c->x.frame + WIRE_HEADER_BYTES : (uint8_t *)c, c->x.frame ? body : 0);
}

void sk_call_place(struct sk_call *c)
{
    const struct sk_session *s = c->entry->session;

    wire_write_u64(&c->w, s->slot);
    wire_write_u64(&c->w, s->handle);
    wire_write_u8(&c->w, s->read_write);
}

/* A host that closed our descriptor made us hang up: the agent has logged the process out. After a restart of the keeper
 * it has not. */
static void notice_new_beginning(struct sk_state *state)
{
    unsigned anew = atomic_load(&state->link.anew);

    if (atomic_load(&state->anew_seen) != anew && atomic_exchange(&state->anew_seen, anew) != anew)
        sk_logins_lost(state);
}

CK_RV sk_call_settle(const struct sk_entry *e, uint16_t type, enum wire_status status)
{
    notice_new_beginning(e->state);
    if (e->session)
        atomic_store_explicit(&e->session->last_status, (unsigned)status, memory_order_relaxed);
    if (status == STATUS_user_not_logged_in && e->session && type != WIRE_operate)
        sk_login_lost(e->state, e->session->slot, type == WIRE_init_pin);
    return code_of(status);
}

static void read_body(struct sk_call *c)
{
    wire_reader_init(&c->r, c->x.body ? (const void *)c->x.body : "", c->x.body ? c->x.header.length : 0);
}

CK_RV sk_call_run(struct sk_call *c)
{
    struct sk_state *state = c->entry->state;
    enum wire_status status;
    CK_RV rv;

    if (c->no_memory)
        return CKR_HOST_MEMORY;
    if (c->w.full)
        return CKR_DEVICE_MEMORY; /* more than a token takes in one object */
    c->x.length = WIRE_HEADER_BYTES + wire_written(&c->w);
    status = sk_link_ask(&state->link, &c->x);
    if (!changes_nothing(c->x.type))
        sk_answers_forget(state->answers);
    rv = sk_call_settle(c->entry, c->x.type, status);
    read_body(c);
    return rv;
}

static bool recall(struct sk_call *c, const struct sk_moment *now, const struct sk_question *q)
{
    size_t length;

    c->x.body = sk_answers_recall(c->entry->state->answers, now, q, &length);
    if (!c->x.body)
        return false;
    c->x.header.length = (uint32_t)length;
    c->x.generation = now->generation;
    read_body(c);
    return true;
}


CK_RV sk_call_run_kept(struct sk_call *c)
{
    struct sk_state *state = c->entry->state;
    const struct sk_question q = {c->x.type, c->w.start, wire_written(&c->w)};
    struct sk_moment now, asked;
    CK_RV rv;

    if (c->no_memory || c->w.full)
        return sk_call_run(c);
    if (sk_answers_now(state->answers, &state->link, &now) && recall(c, &now, &q))
        return sk_call_settle(c->entry, c->x.type, STATUS_ok);
    rv = sk_call_run(c);
    /* The first question makes the connection: only who sent it knows the epoch in which it went out. */
    asked = (struct sk_moment){c->x.generation, c->x.asked_in, now.era};
    if (rv == CKR_OK && c->x.header.client == WIRE_MAY_BE_KEPT && asked.epoch)
        sk_answers_keep(state->answers, &asked, &q, c->x.body, c->x.header.length);
    return rv;
}

CK_RV sk_call_finish(struct sk_call *c)
{
    if (wire_reader_done(&c->r))
        return CKR_OK;
    if (c->entry->session)
        atomic_store(&c->entry->session->last_status, (unsigned)STATUS_wire_malformed);
    return CKR_DEVICE_ERROR;
}

void sk_call_end(struct sk_call *c)
{
    if (c->x.frame)
        wire_wipe(c->x.frame, WIRE_HEADER_BYTES + wire_written(&c->w));
    if (c->x.body)
        wire_wipe(c->x.body, c->x.header.length);
    free(c->x.frame);
    free(c->x.body);
}

CK_RV sk_call_simple(struct sk_call *c)
{
    CK_RV rv = sk_call_run(c);

    if (rv == CKR_OK)
        rv = sk_call_finish(c);
    sk_call_end(c);
    return rv;
}

CK_RV sk_call_number(struct sk_call *c, CK_ULONG *out)
{
    CK_RV rv = sk_call_run(c);
    uint64_t number = 0;

    if (rv == CKR_OK) {
        number = wire_read_u64(&c->r);
        c->r.bad = c->r.bad || number == 0;
        rv = sk_call_finish(c);
    }
    if (rv == CKR_OK)
        *out = number;
    sk_call_end(c);
    return rv;
}

CK_RV sk_call_handle(struct sk_call *c, CK_ULONG *handle)
{
    const struct sk_entry *e = c->entry;
    CK_RV rv = sk_call_number(c, handle);

    if (rv == CKR_OK)
        sk_former_told(e, handle, 1);
    return rv;
}
