/* Bindings: a client's permission to use one cell under one object handle. All with kp_lock held. */
#ifndef SIDEKEY_KEEPER_BINDING_H
#define SIDEKEY_KEEPER_BINDING_H

#include "state.h"

/* Replaces the binding of (client, slot, handle). When a client has too many, an old one goes. */
int kp_binding_set(struct kp_conn *client, struct kp_cell *cell, const struct kp_binding *wanted,
                   const uint64_t *mechanisms);

/* The binding, its cell's lease good; NULL when there is none. */
struct kp_binding *kp_binding_find(struct kp_conn *client, uint64_t slot, uint64_t handle, uint64_t now_ms);

bool kp_binding_allows(const struct kp_binding *b, uint64_t mechanism);

/* handle 0: every one of the slot. Changes the client's epoch when anything was dropped. */
void kp_bindings_drop(struct kp_conn *client, uint64_t slot, uint64_t handle);
void kp_bindings_drop_client(struct kp_conn *client);
void kp_bindings_drop_cell(struct kp_cell *cell);

/* What the client was told of objects holds no more: a new epoch, if it asked since the last one. */
void kp_answers_void(struct kp_conn *client);

#endif
