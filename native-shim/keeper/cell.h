/*
 * Cells: one key each, under a lease. All functions are called with kp_lock held, and keep the lease at every use by the
 * clock that is handed in. A cell that ends takes its bindings and operations along and tells the agent.
 */
#ifndef SIDEKEY_KEEPER_CELL_H
#define SIDEKEY_KEEPER_CELL_H

#include "state.h"

enum kp_why { KP_ENDED_SILENTLY = 0, KP_ENDED_LEASE = 1, KP_ENDED_USES = 2, KP_ENDED_MEMORY = 3 };

struct kp_new_cell {
    uint64_t owner, lease_ms, uses;
    struct wire_bytes note;
};

/* Puts the key into a new cell, which takes the caller's reference when it succeeds. STATUS_memory when none is free, or
 * STATUS_arguments_bad when the owner is no client. */
int kp_cell_new(const struct kp_new_cell *wanted, struct kp_key *key, uint64_t now_ms, struct kp_cell **out);

/* The cell if it is there and its lease good (a lease found over ends the cell), or NULL. */
struct kp_cell *kp_cell_find(uint64_t id, uint64_t now_ms);

/* Counts one use of a cell. After the last one that the lease allows nothing new may use it, and it ends: at once, or with
 * the last of its multi-part operations, which are of uses already counted. A key taken before stays. */
void kp_cell_used(struct kp_cell *cell);
bool kp_cell_spent(const struct kp_cell *cell);
void kp_cell_settle(struct kp_cell *cell);

/* Counts one message for a random nonce; false when the cap is reached. */
bool kp_cell_count_seal(struct kp_cell *cell);

void kp_cell_end(struct kp_cell *cell, enum kp_why why);
void kp_cells_end_of(uint64_t owner);

/* Ends the cells whose lease is over; the earliest deadline of the others, or 0. */
uint64_t kp_cell_expire(uint64_t now_ms);

#endif
