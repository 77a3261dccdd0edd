/* bind_check, operate and cell_operate: one path, whether the key is found by binding or named by the agent. */
#include "binding.h"
#include "cell.h"
#include "clock.h"
#include "cryptoki.h"
#include "handle.h"
#include "latency.h"
#include "operation.h"
#include "route.h"
#include "usage.h"

struct call {
    uint8_t flags, operation;
    uint64_t number, handle, mechanism, agent_cell;
    struct kp_place place;
    struct wire_bytes params, data, signature;
};

/* The key of a call, with a reference; a digest has none. */
struct grant {
    struct kp_key *key;
    struct kp_cell *cell; /* valid under kp_lock as long as cell_id is found */
    uint64_t cell_id;
    bool context_login;
};

static bool read_call(struct wire_reader *r, struct call *c)
{
    c->flags = wire_read_u8(r);
    c->operation = wire_read_u8(r);
    c->number = wire_read_u64(r);
    if (c->flags & WIRE_BEGIN) {
        kp_read_place(r, &c->place);
        c->handle = wire_read_u64(r);
        kp_read_mechanism(r, &c->mechanism, &c->params);
    }
    c->data = wire_read_bytes(r, WIRE_DATA_MAX);
    c->signature = wire_read_bytes(r, WIRE_SIGNATURE_MAX);
    return wire_reader_done(r) && c->flags < 2 * WIRE_SAVE && c->operation < WIRE_OPERATIONS && c->operation > 0;
}

/* A nonce of GCM may be random, and the caller's: the cap holds for both. */
static bool under_cap(struct kp_cell *cell, const struct call *c)
{
    if (c->operation != WIRE_ENCRYPT || c->mechanism != CKM_AES_GCM)
        return true;
    return kp_cell_count_seal(cell);
}

static void take_key(struct kp_cell *cell, struct grant *g)
{
    g->key = kp_key_ref(cell->key);
    g->cell = cell;
    g->cell_id = cell->id;
}

static int ask(struct kp_request *r, const struct call *c, uint8_t why)
{
    struct kp_asked asked = {&c->place, c->handle, c->mechanism, c->operation, why};

    return kp_ask_resolve(r, &asked);
}

/* A request that was resumed has the agent's leave: it was asked for this very use. */
static bool needs_leave(const struct kp_request *r, const struct call *c, bool use, const struct kp_binding *b)
{
    return b->each_asks && r->attempts == 0 && (use || !kp_binding_allows(b, c->mechanism));
}

/* kp_lock held. STATUS_ok, a refusal, or KP_LATER when the agent has to be asked. */
static int by_binding(struct kp_request *r, const struct call *c, bool use, struct grant *g)
{
    struct kp_binding *b = kp_binding_find(r->from, c->place.slot, c->handle, kp_tick_ms());

    if (!b || !(b->operations & 1u << c->operation))
        return ask(r, c, use ? WIRE_WHY_USE : 0);
    if (needs_leave(r, c, use, b))
        return ask(r, c, use ? WIRE_WHY_USE | WIRE_WHY_BOUND : WIRE_WHY_BOUND);
    if (!kp_binding_allows(b, c->mechanism))
        return STATUS_mechanism_invalid;
    g->context_login = b->context_login;
    if (use && b->context_login && b->credits == 0)
        return STATUS_user_not_logged_in;
    if (use && !under_cap(b->cell, c))
        return STATUS_message_cap;
    if (use && b->context_login)
        b->credits--;
    take_key(b->cell, g);
    /* Others only look: no need to lock the bus. */
    atomic_store_explicit(&kp.hot, atomic_load_explicit(&kp.hot, memory_order_relaxed) + use, memory_order_relaxed);
    return STATUS_ok;
}

static int by_cell(const struct call *c, struct grant *g)
{
    struct kp_cell *cell = kp_cell_find(c->agent_cell, kp_now_ms());

    if (!cell || kp_cell_spent(cell))
        return STATUS_cell_unknown;
    if (!under_cap(cell, c))
        return STATUS_message_cap;
    take_key(cell, g);
    return STATUS_ok;
}

/* kp_lock held. */
static int find_key(struct kp_request *r, const struct call *c, bool use, struct grant *g)
{
    if (c->operation == WIRE_DIGEST)
        return STATUS_ok;
    return r->from->kind == KP_AGENT ? by_cell(c, g) : by_binding(r, c, use, g);
}

/* kp_lock held: the lease counts one use, and may end with it. */
static void count_use(const struct kp_request *r, const struct call *c, const struct grant *g)
{
    if (!g->key)
        return;
    if (r->from->kind == KP_CLIENT)
        kp_usage_count(r->from, c->place.slot, c->handle, c->operation, c->data.length);
    kp_cell_used(g->cell);
}

static int single_part(struct kp_request *r, const struct call *c)
{
    struct grant g = {0};
    struct kp_op own, *op = r->lasting ? r->lasting : &own;
    size_t mark;
    int status;

    kp_lock();
    status = find_key(r, c, true, &g);
    if (status == STATUS_ok)
        count_use(r, c, &g);
    kp_unlock();
    if (status != STATUS_ok)
        return status;
    status = kp_op_begin_with(op, c->mechanism, c->operation, g.key, c->params);
    mark = wire_begin_bytes(r->reply);
    op->straight = &r->straight;
    if (status == STATUS_ok)
        status = kp_op_finish(op, c->data, c->signature, r->reply);
    op->straight = NULL;
    /* Only gathered input can leave output behind, and one frame holds less than that takes. */
    wire_end_bytes(r->reply, mark);
    r->lasts = op != &own;
    if (!r->lasts)
        kp_op_end(op);
    return status;
}

static struct kp_leave leave_of(const struct kp_request *r, const struct call *c)
{
    return (struct kp_leave){r->leave, r->from->number, c->place.slot, c->handle, c->mechanism, c->operation};
}

/* What is dropped between its parts is lost; what waits only to be fetched has ended well. */
static void give_back(struct kp_operation *o, bool more, int status, const struct call *c)
{
    bool ended = status != STATUS_ok || c->flags & (WIRE_FINAL | WIRE_MORE);

    kp_lock();
    o->outcome = ended ? status : STATUS_operation_lost;
    kp_operation_return(o, more);
    kp_unlock();
}

static int begin(struct kp_request *r, const struct call *c)
{
    struct kp_operation *o = NULL;
    struct grant g = {0};
    size_t mark;
    int status;

    kp_lock();
    status = find_key(r, c, true, &g);
    if (status == STATUS_ok && r->from->gone)
        status = KP_LATER;
    if (status == STATUS_ok)
        status = kp_operation_new(r->from, c->number, g.cell, &o);
    if (o) {
        o->slot = c->place.slot;
        o->handle = c->handle;
        o->leave = leave_of(r, c);
        r->leave = 0;
        count_use(r, c, &g);
    }
    kp_unlock();
    if (status == STATUS_ok) {
        status = kp_op_begin(&o->op, c->mechanism, c->operation, g.key, c->params);
        mark = wire_begin_bytes(r->reply);
        o->op.straight = &r->straight;
        if (status == STATUS_ok)
            status = kp_op_update(&o->op, c->data, r->reply);
        o->op.straight = NULL;
        wire_end_bytes(r->reply, mark);
        give_back(o, status == STATUS_ok, status, c);
    }
    kp_key_drop(g.key);
    return status;
}

static int run_part(struct kp_operation *o, struct kp_request *r, const struct call *c, bool *more)
{
    size_t mark = wire_begin_bytes(r->reply);
    int status = STATUS_ok;

    o->op.straight = &r->straight;
    if (c->flags & WIRE_SAVE) {
        status = kp_op_save(&o->op, r->reply);
    } else if (c->flags & WIRE_MORE) {
        kp_op_more(&o->op, r->reply);
    } else if (c->flags & WIRE_FINAL) {
        status = kp_op_finish(&o->op, c->data, c->signature, r->reply);
    } else {
        status = kp_op_update(&o->op, c->data, r->reply);
    }
    o->op.straight = NULL;
    wire_end_bytes(r->reply, mark);
    *more = status == STATUS_ok && (c->flags & WIRE_SAVE || !(c->flags & (WIRE_FINAL | WIRE_MORE)));
    if (c->flags & WIRE_SAVE)
        return status;
    if (status == STATUS_ok && c->flags & (WIRE_FINAL | WIRE_MORE))
        *more = kp_op_has_more(&o->op) && wire_written(r->reply) - 4 - mark == kp_out_max(r->reply);
    return status;
}

/* MORE belongs to an operation that finished, and nothing else does. */
static bool in_turn(const struct kp_operation *o, const struct call *c)
{
    return o->op.operation == c->operation && kp_op_has_more(&o->op) == ((c->flags & WIRE_MORE) != 0);
}

static int proceed(struct kp_request *r, const struct call *c)
{
    struct kp_operation *o = NULL;
    bool more = false;
    int status;

    kp_lock();
    status = kp_operation_take(r->from, c->number, kp_now_ms(), &o);
    if (status == STATUS_ok && r->from->kind == KP_CLIENT && o->handle && c->data.length)
        kp_usage_count(r->from, o->slot, o->handle, c->operation, c->data.length);
    kp_unlock();
    if (status != STATUS_ok)
        return status;
    status = in_turn(o, c) ? run_part(o, r, c, &more) : STATUS_operation_not_initialized;
    give_back(o, more, status, c);
    return status;
}

static int operate(struct kp_request *r, const struct call *c)
{
    if (c->flags & WIRE_CANCEL) {
        kp_lock();
        kp_operation_drop(r->from, c->number);
        kp_unlock();
        wire_write_u32(r->reply, 0);
        return STATUS_ok;
    }
    if (!(c->flags & WIRE_BEGIN))
        return proceed(r, c);
    return c->flags & WIRE_FINAL ? single_part(r, c) : begin(r, c);
}

/* No operation took it over: it ends with this request. Asked again (its binding was gone), there will be another leave. */
static void end_leave(const struct kp_request *r, const struct call *c, int status)
{
    const struct kp_leave leave = leave_of(r, c);

    kp_lock();
    kp_event_use_ended(&leave, status == KP_LATER ? STATUS_operation_lost : status);
    kp_unlock();
}

int kp_on_operate(struct kp_request *r)
{
    struct call c = {0};
    uint64_t began = kp_latency_begin();
    int status;

    if (!read_call(&r->body, &c))
        return STATUS_wire_malformed;
    status = operate(r, &c);
    if (r->leave)
        end_leave(r, &c, status);
    /* What waited for the agent was a miss. */
    if (began && status == STATUS_ok && r->attempts == 0)
        kp_latency_end(began, c.operation);
    return status;
}

int kp_on_cell_operate(struct kp_request *r)
{
    struct call c = {.agent_cell = wire_read_u64(&r->body)};

    return read_call(&r->body, &c) ? operate(r, &c) : STATUS_wire_malformed;
}

int kp_on_bind_check(struct kp_request *r)
{
    struct call c = {0};
    struct grant g = {0};
    struct kp_op op;
    uint8_t rule = 0;
    uint32_t size = 0;
    int status;

    kp_read_place(&r->body, &c.place);
    c.operation = wire_read_u8(&r->body);
    c.handle = wire_read_u64(&r->body);
    kp_read_mechanism(&r->body, &c.mechanism, &c.params);
    if (!wire_reader_done(&r->body) || c.operation == 0 || c.operation >= WIRE_OPERATIONS)
        return STATUS_wire_malformed;
    kp_lock();
    status = find_key(r, &c, false, &g);
    kp_unlock();
    if (status != STATUS_ok)
        return status;
    status = kp_op_begin(&op, c.mechanism, c.operation, g.key, c.params);
    if (status == STATUS_ok)
        kp_op_describe(&op, &rule, &size);
    kp_op_end(&op);
    wire_write_u8(r->reply, rule);
    wire_write_u32(r->reply, size);
    wire_write_u32(r->reply, g.key ? (uint32_t)g.key->type : 0);
    wire_write_u32(r->reply, g.key ? g.key->bits : 0);
    wire_write_u8(r->reply, g.context_login);
    kp_key_drop(g.key);
    return status;
}
