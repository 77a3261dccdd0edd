#include "binding.h"

#include "call.h"
#include "reply.h"

#include <stdatomic.h>
#include <stdlib.h>

enum { REMEMBERED = 256 };

struct sk_bindings {
    atomic_ullong era; /* grows when everything is forgotten */
    pthread_mutex_t lock;
    struct sk_bound rows[REMEMBERED];
};

struct sk_bindings *sk_bindings_new(void)
{
    struct sk_bindings *all = calloc(1, sizeof(*all));

    if (all)
        pthread_mutex_init(&all->lock, NULL);
    return all;
}

void sk_bindings_free(struct sk_bindings *all)
{
    if (all)
        pthread_mutex_destroy(&all->lock);
    free(all);
}

void sk_bindings_forget(struct sk_bindings *all) { atomic_fetch_add(&all->era, 1); }

static struct sk_bound *place_of(struct sk_bindings *all, const struct sk_bound *r)
{
    uint64_t mix = r->slot * 31 + r->key;

    mix = (mix * 31 + r->mechanism) * 31 + r->operation;
    return &all->rows[(mix * 0x9e3779b97f4a7c15u) >> 56];
}

static bool same(const struct sk_bound *a, const struct sk_bound *b)
{
    return a->generation == b->generation && a->epoch == b->epoch && a->era == b->era && a->slot == b->slot &&
           a->key == b->key && a->mechanism == b->mechanism && a->shape == b->shape && a->operation == b->operation;
}

static bool recall(struct sk_bindings *all, struct sk_bound *wanted)
{
    bool found;

    if (!wanted->generation)
        return false;
    pthread_mutex_lock(&all->lock);
    found = same(place_of(all, wanted), wanted);
    if (found)
        wanted->binding = place_of(all, wanted)->binding;
    pthread_mutex_unlock(&all->lock);
    return found;
}

static void remember(struct sk_bindings *all, const struct sk_bound *r)
{
    pthread_mutex_lock(&all->lock);
    *place_of(all, r) = *r;
    pthread_mutex_unlock(&all->lock);
}

static CK_RV ask(const struct sk_entry *e, struct sk_bound *r, const struct sk_mechanism *m)
{
    struct sk_call c;
    CK_RV rv;

    sk_call_begin(&c, e, wire_is_resident(r->key) ? WIRE_resident_check : WIRE_bind_check, 64 + m->length);
    sk_call_place(&c);
    wire_write_u8(&c.w, (uint8_t)r->operation);
    wire_write_u64(&c.w, r->key);
    sk_mechanism_write(&c.w, m);
    rv = sk_call_run(&c);
    if (rv == CKR_OK) {
        sk_reply_binding(&c.r, &r->binding);
        rv = sk_call_finish(&c);
    }
    r->generation = c.x.generation;
    r->epoch = c.x.header.epoch;
    sk_call_end(&c);
    return rv == CKR_OBJECT_HANDLE_INVALID ? CKR_KEY_HANDLE_INVALID : rv;
}

CK_RV sk_bind(const struct sk_entry *e, enum wire_operation operation, uint64_t key, const struct sk_mechanism *m,
              struct sk_bound *last)
{
    struct sk_bindings *all = e->state->bindings;
    struct sk_bound b = {.slot = e->session->slot, .key = key, .mechanism = m->row->type, .shape = m->shape,
                         .operation = operation, .era = atomic_load_explicit(&all->era, memory_order_acquire)};
    CK_RV rv = CKR_OK;

    b.generation = sk_link_generation(&e->state->link, &b.epoch);
    if (b.generation && same(last, &b))
        return CKR_OK;
    if (!recall(all, &b)) {
        rv = ask(e, &b, m);
        if (rv == CKR_OK)
            remember(all, &b);
    }
    if (rv == CKR_OK)
        *last = b;
    return rv;
}
