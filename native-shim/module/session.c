#include "session.h"

#include <stdlib.h>

enum { SLAB = 16, SLABS = SK_SESSIONS_MAX / SLAB };

struct sk_sessions {
    pthread_mutex_t lock;
    struct sk_session *free; /* a list, under the lock */
    size_t places;           /* made so far, under the lock */
    _Atomic(struct sk_session *) slab[SLABS];
};

/* Counts on through C_Finalize and fork. */
static atomic_ulong last_serial;

static struct sk_session *at(struct sk_sessions *all, size_t place)
{
    struct sk_session *slab = atomic_load_explicit(&all->slab[place / SLAB], memory_order_acquire);

    return slab ? &slab[place % SLAB] : NULL;
}

struct sk_sessions *sk_sessions_new(void)
{
    struct sk_sessions *all = calloc(1, sizeof(*all));

    if (all)
        pthread_mutex_init(&all->lock, NULL);
    return all;
}

static void clean(struct sk_session *s)
{
    for (size_t i = 0; i < WIRE_OPERATIONS; i++) {
        sk_operation_clear(&s->operations[i]);
        atomic_store_explicit(&s->phase[i], SK_IDLE, memory_order_relaxed);
    }
    for (size_t i = 0; i <= WIRE_VERIFY; i++) {
        sk_mechanism_clear(&s->messages[i].mechanism);
        s->messages[i] = (struct sk_message){0};
    }
    sk_find_clear(&s->find);
}

void sk_sessions_free(struct sk_sessions *all)
{
    if (!all)
        return;
    for (size_t i = 0; i < all->places; i++) {
        clean(at(all, i));
        pthread_mutex_destroy(&at(all, i)->lock);
    }
    for (size_t i = 0; i < SLABS; i++)
        free(atomic_load(&all->slab[i]));
    pthread_mutex_destroy(&all->lock);
    free(all);
}

/* Under the lock. */
static bool make_places(struct sk_sessions *all)
{
    struct sk_session *slab = all->places < SK_SESSIONS_MAX ? calloc(SLAB, sizeof(*slab)) : NULL;

    if (!slab)
        return false;
    for (size_t i = SLAB; i-- > 0;) {
        slab[i].all = all;
        slab[i].place = all->places + i;
        pthread_mutex_init(&slab[i].lock, NULL);
        slab[i].next_free = all->free;
        all->free = &slab[i];
    }
    atomic_store_explicit(&all->slab[all->places / SLAB], slab, memory_order_release);
    all->places += SLAB;
    return true;
}

CK_SESSION_HANDLE sk_sessions_open(struct sk_sessions *all, CK_SLOT_ID slot, bool read_write)
{
    struct sk_session *s = NULL;
    CK_SESSION_HANDLE handle;

    pthread_mutex_lock(&all->lock);
    if (all->free || make_places(all)) {
        s = all->free;
        all->free = s->next_free;
    }
    pthread_mutex_unlock(&all->lock);
    if (!s)
        return 0;
    handle = (atomic_fetch_add(&last_serial, 1) + 1) * SK_SESSIONS_MAX + s->place;
    s->slot = slot;
    s->read_write = read_write;
    atomic_store(&s->last_status, 0);
    atomic_store(&s->has_objects, false);
    atomic_store(&s->handle, handle);
    sk_lifetime_begin(&s->inside);
    return handle;
}

struct sk_session *sk_session_take(struct sk_sessions *all, CK_SESSION_HANDLE handle)
{
    struct sk_session *s = at(all, handle % SK_SESSIONS_MAX);

    if (!s)
        return NULL;
    if (sk_lifetime_enter(&s->inside) && atomic_load_explicit(&s->handle, memory_order_relaxed) == handle)
        return s;
    sk_session_return(s);
    return NULL;
}

void sk_session_return(struct sk_session *s)
{
    struct sk_sessions *all = s->all;

    if (!sk_lifetime_leave(&s->inside))
        return;
    clean(s);
    pthread_mutex_lock(&all->lock);
    s->next_free = all->free;
    all->free = s;
    pthread_mutex_unlock(&all->lock);
}

bool sk_session_end(struct sk_session *s) { return sk_lifetime_end(&s->inside); }

struct sk_session *sk_sessions_next(struct sk_sessions *all, CK_SLOT_ID slot, size_t *from)
{
    struct sk_session *s;

    while (*from < SK_SESSIONS_MAX && (s = at(all, *from))) {
        ++*from;
        if (sk_lifetime_enter(&s->inside) && s->slot == slot)
            return s;
        sk_session_return(s);
    }
    return NULL;
}

uint64_t sk_session_number(struct sk_session *s, enum wire_operation kind)
{
    return ++s->begun[kind] * SK_SESSIONS_MAX * 8 + s->place * 8 + kind;
}
