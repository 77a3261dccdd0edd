/* How often a key was used, by whom: counters that the agent fetches for its audit. kp_lock held. */
#ifndef SIDEKEY_KEEPER_USAGE_H
#define SIDEKEY_KEEPER_USAGE_H

#include "state.h"

/* When the table is full the use is counted under handle 0 of the slot, or dropped and logged. */
void kp_usage_count(const struct kp_conn *client, uint64_t slot, uint64_t handle, uint8_t operation, uint64_t bytes);

/* Writes rows as long as the body has room, zeroes them, and says whether more are left. */
uint32_t kp_usage_take(struct wire_writer *w, bool *more);

#endif
