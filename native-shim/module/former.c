#include "former.h"

#include "call.h"
#include "reply.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_ROOM = 64 };

/* Session objects have handles between these (src/tokens/objects/token-object.ts); no object has the last of them. */
static const uint64_t first_of_session = UINT64_C(1) << 40, no_object = (UINT64_C(1) << 51) - 1;

/* What a slot's objects are told by, since its last logout: ascending. */
struct told {
    struct told *next;
    CK_SLOT_ID slot;
    uint64_t *handles;
    size_t count, room;
    bool lost; /* out of memory: nothing is known, and every handle good */
};

struct sk_former {
    atomic_bool any; /* somebody logged out */
    pthread_mutex_t lock;
    struct told *first;
};

struct sk_former *sk_former_new(void)
{
    struct sk_former *all = calloc(1, sizeof(*all));

    if (all)
        pthread_mutex_init(&all->lock, NULL);
    return all;
}

void sk_former_free(struct sk_former *all)
{
    if (!all)
        return;
    while (all->first) {
        struct told *t = all->first;

        all->first = t->next;
        free(t->handles);
        free(t);
    }
    pthread_mutex_destroy(&all->lock);
    free(all);
}

/* Under the lock. NULL: nobody logged out there. */
static struct told *find(struct sk_former *all, CK_SLOT_ID slot)
{
    struct told *t = all->first;

    while (t && t->slot != slot)
        t = t->next;
    return t;
}

void sk_former_logout(struct sk_state *state, CK_SLOT_ID slot)
{
    struct sk_former *all = state->former;
    struct told *t;

    pthread_mutex_lock(&all->lock);
    t = find(all, slot);
    if (t) {
        t->count = 0;
        t->lost = false;
    } else if ((t = calloc(1, sizeof(*t)))) {
        t->slot = slot;
        t->next = all->first;
        all->first = t;
    }
    atomic_store(&all->any, true);
    pthread_mutex_unlock(&all->lock);
}

/* Where it is, or belongs. */
static size_t place_of(const struct told *t, uint64_t handle)
{
    size_t low = 0, high = t->count;

    while (low < high) {
        const size_t middle = low + (high - low) / 2;

        if (t->handles[middle] < handle)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool has(const struct told *t, uint64_t handle)
{
    const size_t at = place_of(t, handle);

    return at < t->count && t->handles[at] == handle;
}

static bool grow(struct told *t)
{
    const size_t room = t->room ? 2 * t->room : FIRST_ROOM;
    uint64_t *handles = t->count < t->room ? t->handles : realloc(t->handles, room * sizeof(*handles));

    if (handles && t->count == t->room)
        t->room = room;
    if (handles)
        t->handles = handles;
    return handles != NULL;
}

static void add(struct told *t, uint64_t handle)
{
    const size_t at = place_of(t, handle);

    if (t->lost || (at < t->count && t->handles[at] == handle))
        return;
    if (!grow(t)) {
        t->lost = true;
        return;
    }
    memmove(t->handles + at + 1, t->handles + at, (t->count - at) * sizeof(*t->handles));
    t->handles[at] = handle;
    t->count++;
}

static bool is_of_session(uint64_t handle) { return handle >= first_of_session && handle <= no_object; }

void sk_former_told(const struct sk_entry *e, const uint64_t *handles, size_t count)
{
    struct sk_former *all = e->state->former;
    struct told *t;

    if (!atomic_load_explicit(&all->any, memory_order_relaxed) || !e->session)
        return;
    pthread_mutex_lock(&all->lock);
    t = find(all, e->session->slot);
    for (size_t i = 0; t && i < count; i++)
        if (!is_of_session(handles[i]))
            add(t, handles[i]);
    pthread_mutex_unlock(&all->lock);
}

void sk_former_gone(const struct sk_entry *e, uint64_t handle)
{
    struct sk_former *all = e->state->former;
    struct told *t;

    if (!atomic_load_explicit(&all->any, memory_order_relaxed))
        return;
    pthread_mutex_lock(&all->lock);
    t = find(all, e->session->slot);
    if (t && has(t, handle)) {
        const size_t at = place_of(t, handle);

        t->count--;
        memmove(t->handles + at, t->handles + at + 1, (t->count - at) * sizeof(*t->handles));
    }
    pthread_mutex_unlock(&all->lock);
}

static bool is_known(struct sk_former *all, CK_SLOT_ID slot, uint64_t handle)
{
    const struct told *t;
    bool known;

    pthread_mutex_lock(&all->lock);
    t = find(all, slot);
    known = !t || t->lost || has(t, handle);
    pthread_mutex_unlock(&all->lock);
    return known;
}

/* Of an object that cannot be asked, the question itself will say so. */
static bool is_private(const struct sk_entry *e, uint64_t handle)
{
    CK_BBOOL value = CK_FALSE;
    CK_ATTRIBUTE wanted = {CKA_PRIVATE, &value, sizeof(value)};
    struct sk_call c;

    sk_call_begin(&c, e, WIRE_get_attributes, 64);
    sk_call_place(&c);
    wire_write_u64(&c.w, handle);
    wire_write_u32(&c.w, 1);
    wire_write_u64(&c.w, wanted.type);
    if (sk_call_run_kept(&c) == CKR_OK && sk_reply_attributes(&c.r, &wanted, 1) == CKR_OK)
        sk_call_finish(&c);
    sk_call_end(&c);
    return value;
}

uint64_t sk_former_check(const struct sk_entry *e, CK_OBJECT_HANDLE handle)
{
    struct sk_former *all = e->state->former;

    if (!atomic_load_explicit(&all->any, memory_order_relaxed) || !handle || is_of_session(handle) ||
        is_known(all, e->session->slot, handle))
        return handle;
    return is_private(e, handle) ? no_object : handle;
}
