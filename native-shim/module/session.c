#include "session.h"

#include <stdlib.h>

enum { BUCKETS = 1024, SHARDS = 16 };

struct sk_sessions {
    pthread_mutex_t lock[SHARDS];
    struct sk_session *bucket[BUCKETS];
};

/* Counts on through C_Finalize and fork. */
static atomic_ulong last_handle;

static pthread_mutex_t *lock_of(struct sk_sessions *all, CK_SESSION_HANDLE handle)
{
    return &all->lock[handle % BUCKETS % SHARDS];
}

struct sk_sessions *sk_sessions_new(void)
{
    struct sk_sessions *all = calloc(1, sizeof(*all));

    for (size_t i = 0; all && i < SHARDS; i++)
        pthread_mutex_init(&all->lock[i], NULL);
    return all;
}

void sk_sessions_free(struct sk_sessions *all)
{
    if (!all)
        return;
    for (size_t i = 0; i < BUCKETS; i++)
        while (all->bucket[i]) {
            struct sk_session *s = all->bucket[i];

            all->bucket[i] = s->next;
            sk_session_return(s);
        }
    for (size_t i = 0; i < SHARDS; i++)
        pthread_mutex_destroy(&all->lock[i]);
    free(all);
}

CK_SESSION_HANDLE sk_sessions_open(struct sk_sessions *all, CK_SLOT_ID slot, bool read_write)
{
    struct sk_session *s = calloc(1, sizeof(*s));
    CK_SESSION_HANDLE handle;

    if (!s)
        return 0;
    s->handle = handle = atomic_fetch_add(&last_handle, 1) + 1;
    s->slot = slot;
    s->read_write = read_write;
    atomic_init(&s->holders, 1);
    pthread_mutex_init(&s->lock, NULL);
    pthread_mutex_lock(lock_of(all, handle));
    s->next = all->bucket[handle % BUCKETS];
    all->bucket[handle % BUCKETS] = s;
    pthread_mutex_unlock(lock_of(all, handle));
    return handle;
}

struct sk_session *sk_session_take(struct sk_sessions *all, CK_SESSION_HANDLE handle)
{
    struct sk_session *s;

    pthread_mutex_lock(lock_of(all, handle));
    s = all->bucket[handle % BUCKETS];
    while (s && s->handle != handle)
        s = s->next;
    if (s)
        atomic_fetch_add(&s->holders, 1);
    pthread_mutex_unlock(lock_of(all, handle));
    return s;
}

void sk_session_return(struct sk_session *s)
{
    if (atomic_fetch_sub(&s->holders, 1) != 1)
        return;
    for (size_t i = 0; i < WIRE_OPERATIONS; i++)
        sk_operation_clear(&s->operations[i]);
    for (size_t i = 0; i <= WIRE_VERIFY; i++)
        sk_mechanism_clear(&s->messages[i].mechanism);
    sk_find_clear(&s->find);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

bool sk_sessions_remove(struct sk_sessions *all, struct sk_session *s)
{
    struct sk_session **at = &all->bucket[s->handle % BUCKETS];
    bool found;

    pthread_mutex_lock(lock_of(all, s->handle));
    while (*at && *at != s)
        at = &(*at)->next;
    found = *at != NULL;
    if (found)
        *at = s->next;
    pthread_mutex_unlock(lock_of(all, s->handle));
    if (found)
        sk_session_return(s);
    return found;
}

struct sk_session *sk_sessions_any(struct sk_sessions *all, CK_SLOT_ID slot)
{
    for (size_t i = 0; i < BUCKETS; i++) {
        struct sk_session *s;

        pthread_mutex_lock(&all->lock[i % SHARDS]);
        s = all->bucket[i];
        while (s && s->slot != slot)
            s = s->next;
        if (s)
            atomic_fetch_add(&s->holders, 1);
        pthread_mutex_unlock(&all->lock[i % SHARDS]);
        if (s)
            return s;
    }
    return NULL;
}
