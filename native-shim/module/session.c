#include "session.h"

#include "process.h"

#include <stdlib.h>
#include <string.h>

enum { SLAB = 16, SLABS = SK_SESSIONS_MAX / SLAB };

struct sk_sessions {
    struct sk_state *state;
    bool near;
    bool closing; /* under the lock */
    pthread_mutex_t lock;
    struct sk_session *free; /* a list, under the lock */
    size_t places;           /* made so far, under the lock */
    _Atomic(struct sk_session *) slab[SLABS];
};

static struct sk_session near_slab[SLAB];

/* Counts on through C_Finalize and fork. */
static atomic_ulong last_serial;

static struct sk_session *at(struct sk_sessions *all, size_t place)
{
    struct sk_session *slab = atomic_load_explicit(&all->slab[place / SLAB], memory_order_acquire);

    return slab ? &slab[place % SLAB] : NULL;
}

struct sk_sessions *sk_sessions_new(struct sk_state *state, bool near)
{
    struct sk_sessions *all = calloc(1, sizeof(*all));

    if (!all)
        return NULL;
    all->state = state;
    all->near = near;
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

/* What else of a near session would tell the next state of this one. */
static void forget(struct sk_session *s)
{
    pthread_mutex_destroy(&s->lock);
    memset(s->bound, 0, sizeof(s->bound));
}

void sk_sessions_free(struct sk_sessions *all)
{
    if (!all)
        return;
    for (size_t i = 0; i < all->places; i++) {
        clean(at(all, i));
        forget(at(all, i));
    }
    for (size_t i = all->near ? 1 : 0; i < SLABS; i++)
        free(atomic_load(&all->slab[i]));
    pthread_mutex_destroy(&all->lock);
    free(all);
}

static struct sk_session *new_slab(const struct sk_sessions *all)
{
    if (all->near && all->places == 0)
        return near_slab;
    return all->places < SK_SESSIONS_MAX ? calloc(SLAB, sizeof(struct sk_session)) : NULL;
}

/* Under the lock. */
static bool make_places(struct sk_sessions *all)
{
    struct sk_session *slab = new_slab(all);

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

/* By a thread inside the state, so that one more hold needs no question. */
static struct sk_session *take_place(struct sk_sessions *all)
{
    struct sk_session *s = NULL;

    pthread_mutex_lock(&all->lock);
    if (!all->closing && (all->free || make_places(all))) {
        s = all->free;
        all->free = s->next_free;
        sk_lifetime_enter(&all->state->inside);
    }
    pthread_mutex_unlock(&all->lock);
    return s;
}

CK_SESSION_HANDLE sk_sessions_open(struct sk_sessions *all, CK_SLOT_ID slot, bool read_write)
{
    struct sk_session *s = take_place(all);
    CK_SESSION_HANDLE handle;

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

static struct sk_session *take(struct sk_session *s, CK_SESSION_HANDLE handle)
{
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
    sk_process_release(all->state);
}

struct sk_session *sk_session_take(struct sk_sessions *all, CK_SESSION_HANDLE handle)
{
    struct sk_session *s = at(all, handle % SK_SESSIONS_MAX);

    return s ? take(s, handle) : NULL;
}

struct sk_session *sk_session_take_near(CK_SESSION_HANDLE handle)
{
    size_t place = handle % SK_SESSIONS_MAX;

    return place < SLAB ? take(&near_slab[place], handle) : NULL;
}

void sk_sessions_end(struct sk_sessions *all)
{
    size_t places;

    pthread_mutex_lock(&all->lock);
    all->closing = true;
    places = all->places;
    pthread_mutex_unlock(&all->lock);
    for (size_t i = 0; i < places; i++) {
        if (sk_lifetime_enter(&at(all, i)->inside))
            sk_session_end(at(all, i));
        sk_session_return(at(all, i));
    }
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
