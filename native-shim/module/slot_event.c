/* C_WaitForSlotEvent. */
#include "clock.h"
#include "slot_known.h"

#include <stdlib.h>

/* A guest has no thread to be told by: who waits for an event asks now and then. */
enum { WATCH_INTERVAL_MS = 500 };

/* Under the lock. */
static bool is_told(const struct sk_slots *all, CK_SLOT_ID slot)
{
    for (uint32_t i = 0; i < all->told_count; i++)
        if (all->told[i] == slot)
            return true;
    return false;
}

/* Under the lock. */
static bool holds_token(const struct sk_slots *all, CK_SLOT_ID slot)
{
    for (uint32_t i = 0; i < all->count; i++)
        if (all->rows[i].id == slot)
            return all->rows[i].present;
    return false;
}

/* Under the lock. */
static CK_RV tell(struct sk_slots *all, CK_SLOT_ID slot)
{
    CK_SLOT_ID *more = realloc(all->told, (all->told_count + 1) * sizeof(*more));

    if (!more)
        return CKR_HOST_MEMORY;
    more[all->told_count++] = slot;
    all->told = more;
    return CKR_OK;
}

CK_RV sk_slots_watch(struct sk_slots *all)
{
    CK_RV rv = CKR_OK;

    pthread_mutex_lock(&all->lock);
    for (uint32_t i = 0; i < all->count && !all->watching && rv == CKR_OK; i++)
        if (all->rows[i].present && !is_told(all, all->rows[i].id))
            rv = tell(all, all->rows[i].id);
    all->watching = rv == CKR_OK;
    pthread_mutex_unlock(&all->lock);
    return rv;
}

/* Under the lock: one slot whose token came or went, which is then told. */
static CK_RV take_change(struct sk_slots *all, CK_SLOT_ID *slot)
{
    for (uint32_t i = 0; i < all->told_count; i++)
        if (!holds_token(all, all->told[i])) {
            *slot = all->told[i];
            all->told[i] = all->told[--all->told_count];
            return CKR_OK;
        }
    for (uint32_t i = 0; i < all->count; i++)
        if (all->rows[i].present && !is_told(all, all->rows[i].id)) {
            *slot = all->rows[i].id;
            return tell(all, *slot);
        }
    return CKR_NO_EVENT;
}

/* Looks once; and what there is to wait for until the next look, or C_Finalize. */
static CK_RV look(struct sk_entry *e, CK_SLOT_ID *slot, bool wait)
{
    struct sk_slots *all = e->state->slots;
    int64_t next = sk_now_ms() + WATCH_INTERVAL_MS;
    CK_RV rv = sk_slots_refresh(e);

    if (rv != CKR_OK)
        return rv;
    pthread_mutex_lock(&all->lock);
    rv = all->ended ? CKR_CRYPTOKI_NOT_INITIALIZED : take_change(all, slot);
    while (rv == CKR_NO_EVENT && wait && !all->ended && sk_now_ms() < next)
        sk_condition_wait(&all->end, &all->lock, next);
    pthread_mutex_unlock(&all->lock);
    return rv;
}

CK_RV sk_slot_event(struct sk_entry *e, CK_FLAGS flags, CK_SLOT_ID *slot, const void *reserved)
{
    const bool wait = !(flags & CKF_DONT_BLOCK);
    CK_RV rv;

    if (!slot || reserved)
        return CKR_ARGUMENTS_BAD;
    do
        rv = look(e, slot, wait);
    while (rv == CKR_NO_EVENT && wait);
    return rv;
}

void sk_slots_end(struct sk_state *state)
{
    pthread_mutex_lock(&state->slots->lock);
    state->slots->ended = true;
    sk_condition_broadcast(&state->slots->end);
    pthread_mutex_unlock(&state->slots->lock);
}

