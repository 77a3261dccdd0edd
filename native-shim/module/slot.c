#include "slot_known.h"

#include "call.h"
#include "clock.h"
#include "presence.h"
#include "reply.h"
#include "text.h"

#include <stdlib.h>
#include <string.h>

/* Programs list slots first, and give up on a module that hangs there. */
enum { LISTING_PATIENCE_MS = 2000, LISTING_DEADLINE_MS = 3000 };

struct sk_slots *sk_slots_new(void)
{
    struct sk_slots *all = calloc(1, sizeof(*all));

    if (!all)
        return NULL;
    pthread_mutex_init(&all->lock, NULL);
    sk_condition_init(&all->end);
    return all;
}

void sk_slots_free(struct sk_slots *all)
{
    if (!all)
        return;
    free(all->rows);
    free(all->told);
    pthread_mutex_destroy(&all->lock);
    free(all);
}

void sk_slots_forget(struct sk_state *state)
{
    pthread_mutex_lock(&state->slots->lock);
    state->slots->generation = 0;
    pthread_mutex_unlock(&state->slots->lock);
}

static void keep(struct known *row, const struct sk_slot *s)
{
    *row = (struct known){.id = s->id, .present = s->present, .flags = s->flags, .pin_min = s->pin_min,
                          .pin_max = s->pin_max};
    sk_pad(row->description, sizeof(row->description), s->description.data, s->description.length);
    sk_pad(row->label, sizeof(row->label), s->label.data, s->label.length);
    sk_pad(row->manufacturer, sizeof(row->manufacturer), s->manufacturer.data, s->manufacturer.length);
    sk_pad(row->model, sizeof(row->model), s->model.data, s->model.length);
    sk_pad(row->serial, sizeof(row->serial), s->serial.data, s->serial.length);
}

static struct known *read_rows(struct wire_reader *r, uint32_t *count)
{
    struct known *rows;

    *count = sk_reply_count(r, SK_SLOTS_MAX);
    rows = calloc(*count ? *count : 1, sizeof(*rows));
    if (!rows)
        r->bad = true;
    for (uint32_t i = 0; i < *count && !r->bad; i++) {
        struct sk_slot one;

        sk_reply_slot(r, &one);
        keep(&rows[i], &one);
    }
    return rows;
}

/* No answer: the slots stay, their tokens are gone. */
static CK_RV all_absent(struct sk_slots *all)
{
    CK_RV rv = CKR_OK;

    pthread_mutex_lock(&all->lock);
    all->generation = 0;
    if (!all->count) {
        struct sk_slot none = {.id = 0};

        free(all->rows);
        all->rows = calloc(1, sizeof(*all->rows));
        all->count = all->rows ? 1 : 0;
        if (all->rows)
            keep(all->rows, &none);
        else
            rv = CKR_HOST_MEMORY;
    }
    for (uint32_t i = 0; i < all->count; i++)
        all->rows[i].present = false;
    pthread_mutex_unlock(&all->lock);
    return rv;
}

/* Asks the agent. */
static CK_RV ask(struct sk_entry *e)
{
    struct sk_slots *all = e->state->slots;
    struct known *rows = NULL;
    uint32_t count = 0;
    struct sk_call c;
    CK_RV rv;

    sk_call_begin(&c, e, WIRE_slots, 0);
    c.x.patience_ms = LISTING_PATIENCE_MS;
    c.x.deadline = sk_now_ms() + LISTING_DEADLINE_MS;
    rv = sk_call_run_kept(&c);
    if (rv == CKR_OK) {
        rows = read_rows(&c.r, &count);
        rv = sk_call_finish(&c);
    }
    if (rv == CKR_OK) {
        pthread_mutex_lock(&all->lock);
        free(all->rows);
        all->rows = rows;
        all->count = count;
        all->generation = c.x.generation;
        pthread_mutex_unlock(&all->lock);
        rows = NULL;
    }
    free(rows);
    sk_call_end(&c);
    return rv == CKR_OK || rv == CKR_HOST_MEMORY ? rv : all_absent(all);
}

CK_RV sk_slots_refresh(struct sk_entry *e)
{
    CK_RV rv = ask(e);

    return rv == CKR_OK ? sk_slots_watch(e->state->slots) : rv;
}

static CK_RV copy_row(struct sk_slots *all, CK_SLOT_ID slot, struct known *out)
{
    CK_RV rv = CKR_SLOT_ID_INVALID;

    pthread_mutex_lock(&all->lock);
    for (uint32_t i = 0; i < all->count; i++)
        if (all->rows[i].id == slot) {
            *out = all->rows[i];
            rv = CKR_OK;
            break;
        }
    pthread_mutex_unlock(&all->lock);
    return rv;
}

static bool seen_on(struct sk_slots *all, uint64_t generation)
{
    bool same;

    pthread_mutex_lock(&all->lock);
    same = generation && all->generation == generation;
    pthread_mutex_unlock(&all->lock);
    return same;
}

CK_RV sk_slot_check(struct sk_entry *e, CK_SLOT_ID slot, CK_FLAGS *flags)
{
    struct known row;
    uint64_t epoch;
    CK_RV rv = CKR_SLOT_ID_INVALID;

    if (seen_on(e->state->slots, sk_link_generation(&e->state->link, &epoch)))
        rv = copy_row(e->state->slots, slot, &row);
    if (rv != CKR_OK || !row.present || !(row.flags & CKF_TOKEN_INITIALIZED)) {
        rv = sk_slots_refresh(e);
        if (rv == CKR_OK)
            rv = copy_row(e->state->slots, slot, &row);
    }
    if (rv != CKR_OK)
        return rv;
    if (!row.present)
        return CKR_TOKEN_NOT_PRESENT;
    if (flags)
        *flags = row.flags;
    return row.flags & CKF_TOKEN_INITIALIZED ? CKR_OK : CKR_TOKEN_NOT_RECOGNIZED;
}

CK_RV sk_slot_list(struct sk_entry *e, CK_BBOOL present, CK_SLOT_ID *list, CK_ULONG *count)
{
    struct sk_slots *all = e->state->slots;
    CK_ULONG n = 0, room;
    CK_RV rv;

    if (!count)
        return CKR_ARGUMENTS_BAD;
    room = list ? *count : 0;
    rv = sk_slots_refresh(e);
    if (rv != CKR_OK)
        return rv;
    pthread_mutex_lock(&all->lock);
    for (uint32_t i = 0; i < all->count; i++)
        if (!present || all->rows[i].present) {
            if (n < room)
                list[n] = all->rows[i].id;
            n++;
        }
    pthread_mutex_unlock(&all->lock);
    *count = n;
    return list && n > room ? CKR_BUFFER_TOO_SMALL : CKR_OK;
}

/* As the agent has it now. */
static CK_RV ask_row(struct sk_entry *e, CK_SLOT_ID slot, struct known *out)
{
    CK_RV rv = sk_slots_refresh(e);

    return rv == CKR_OK ? copy_row(e->state->slots, slot, out) : rv;
}

CK_RV sk_slot_info(struct sk_entry *e, CK_SLOT_ID slot, CK_SLOT_INFO *info)
{
    struct known row;
    CK_RV rv;

    if (!info)
        return CKR_ARGUMENTS_BAD;
    rv = ask_row(e, slot, &row);
    if (rv != CKR_OK)
        return rv;
    *info = (CK_SLOT_INFO){.flags = row.present ? CKF_TOKEN_PRESENT : 0};
    memcpy(info->slotDescription, row.description, sizeof(info->slotDescription));
    sk_pad_text(info->manufacturerID, sizeof(info->manufacturerID), "Sidekey");
    return CKR_OK;
}

CK_RV sk_token_info(struct sk_entry *e, CK_SLOT_ID slot, CK_TOKEN_INFO *info)
{
    struct known row;
    CK_RV rv;

    if (!info)
        return CKR_ARGUMENTS_BAD;
    rv = ask_row(e, slot, &row);
    if (rv != CKR_OK)
        return rv;
    if (!row.present)
        return CKR_TOKEN_NOT_PRESENT;
    *info = (CK_TOKEN_INFO){.flags = row.flags, .ulMinPinLen = row.pin_min, .ulMaxPinLen = row.pin_max};
    memcpy(info->label, row.label, sizeof(info->label));
    memcpy(info->manufacturerID, row.manufacturer, sizeof(info->manufacturerID));
    memcpy(info->model, row.model, sizeof(info->model));
    memcpy(info->serialNumber, row.serial, sizeof(info->serialNumber));
    sk_pad_text(info->utcTime, sizeof(info->utcTime), "");
    sk_sessions_count(e->state, slot, &info->ulSessionCount, &info->ulRwSessionCount);
    info->ulTotalPublicMemory = info->ulFreePublicMemory = CK_UNAVAILABLE_INFORMATION;
    info->ulTotalPrivateMemory = info->ulFreePrivateMemory = CK_UNAVAILABLE_INFORMATION;
    return CKR_OK;
}
