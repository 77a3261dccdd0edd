/* Multi-part operations of one client, known by the number that it chose. All with kp_lock held. */
#ifndef SIDEKEY_KEEPER_OPERATION_H
#define SIDEKEY_KEEPER_OPERATION_H

#include "state.h"

/* A new operation, busy, its `op` for the caller to begin; replaces one of that number. STATUS_busy over the bound. */
int kp_operation_new(struct kp_conn *client, uint64_t number, struct kp_cell *cell, struct kp_operation **out);

/* Takes the operation to work on it. STATUS_operation_lost when unknown or its key ended, STATUS_busy when another thread
 * has it. */
int kp_operation_take(struct kp_conn *client, uint64_t number, uint64_t now_ms, struct kp_operation **out);

/* Gives it back, for the next part or for good. */
void kp_operation_return(struct kp_operation *operation, bool more);

void kp_operation_drop(struct kp_conn *client, uint64_t number);
void kp_operations_drop_client(struct kp_conn *client);
void kp_operations_drop_cell(struct kp_cell *cell);

#endif
