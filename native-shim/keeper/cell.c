#include "cell.h"

#include <stdlib.h>

#include "binding.h"
#include "conn.h"
#include "operation.h"
#include "route.h"
#include "timer.h"

/* NIST SP 800-38D, 8.3: no more messages than this under one key with random nonces. */
static const uint64_t SEALS_MAX = (uint64_t)1 << 32;

static int free_slot(void)
{
    for (int slot = 0; slot < KP_CELLS_MAX; slot++)
        if (!kp.cells[slot] && kp.generations[slot] < KP_GENERATIONS_MAX)
            return slot;
    return -1;
}

int kp_cell_new(const struct kp_new_cell *wanted, struct kp_key *key, uint64_t now_ms, struct kp_cell **out)
{
    int slot = free_slot();
    struct kp_cell *cell;

    if (wanted->owner && !kp_conn_peek(wanted->owner))
        return STATUS_arguments_bad;
    if (slot < 0 || !(cell = calloc(1, sizeof(*cell))))
        return STATUS_memory;
    if (!kp_note_set(&cell->note, wanted->note)) {
        free(cell);
        return STATUS_memory;
    }
    cell->id = (uint64_t)(kp.first_generation + ++kp.generations[slot]) << 32 | (uint64_t)slot;
    cell->owner = wanted->owner;
    cell->bounded = wanted->uses != 0;
    cell->uses = wanted->uses;
    /* A lease too long to count is no lease that ends. */
    cell->deadline = wanted->lease_ms && wanted->lease_ms < UINT64_MAX / 2 ? now_ms + wanted->lease_ms : 0;
    cell->key = key;
    kp.cells[slot] = cell;
    kp.cell_count++;
    kp_timer_by(cell->deadline);
    *out = cell;
    return STATUS_ok;
}

struct kp_cell *kp_cell_find(uint64_t id, uint64_t now_ms)
{
    uint32_t slot = (uint32_t)id;
    struct kp_cell *cell = slot < KP_CELLS_MAX ? kp.cells[slot] : NULL;

    if (!cell || cell->id != id)
        return NULL;
    if (!cell->deadline || now_ms < cell->deadline)
        return cell;
    kp_cell_end(cell, KP_ENDED_LEASE);
    return NULL;
}

void kp_cell_used(struct kp_cell *cell)
{
    if (!cell->bounded || --cell->uses > 0)
        return;
    kp_bindings_drop_cell(cell);
    kp_cell_settle(cell);
}

bool kp_cell_spent(const struct kp_cell *cell) { return cell->bounded && cell->uses == 0; }

void kp_cell_settle(struct kp_cell *cell)
{
    if (kp_cell_spent(cell) && LIST_EMPTY(&cell->operations))
        kp_cell_end(cell, KP_ENDED_USES);
}

bool kp_cell_count_seal(struct kp_cell *cell)
{
    if (cell->seals >= SEALS_MAX)
        return false;
    cell->seals++;
    return true;
}

void kp_cell_end(struct kp_cell *cell, enum kp_why why)
{
    uint64_t id = cell->id;

    kp_bindings_drop_cell(cell);
    kp_operations_drop_cell(cell);
    kp.cells[(uint32_t)cell->id] = NULL;
    kp.cell_count--;
    kp_note_set(&cell->note, (struct wire_bytes){NULL, 0});
    kp_key_drop(cell->key);
    free(cell);
    if (why != KP_ENDED_SILENTLY)
        kp_event_cell_ended(id, (uint8_t)why);
}

void kp_cells_end_of(uint64_t owner)
{
    for (uint32_t i = 0; i < KP_CELLS_MAX; i++)
        if (kp.cells[i] && kp.cells[i]->owner == owner)
            kp_cell_end(kp.cells[i], KP_ENDED_SILENTLY);
}

uint64_t kp_cell_expire(uint64_t now_ms)
{
    uint64_t next = 0;

    for (uint32_t i = 0; i < KP_CELLS_MAX; i++) {
        struct kp_cell *cell = kp.cells[i];

        if (!cell || !cell->deadline)
            continue;
        if (cell->deadline <= now_ms)
            kp_cell_end(cell, KP_ENDED_LEASE);
        else if (!next || cell->deadline < next)
            next = cell->deadline;
    }
    return next;
}
