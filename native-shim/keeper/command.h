/* What commands of the agent about cells share: the key that is to be made, and its answer. */
#ifndef SIDEKEY_KEEPER_COMMAND_H
#define SIDEKEY_KEEPER_COMMAND_H

#include "cell.h"
#include "handle.h"

struct kp_new_key {
    uint32_t object_class;
    uint64_t type, sealing;
    struct kp_new_cell cell;
    struct wire_bytes aad;
};

void kp_read_new_key(struct wire_reader *r, struct kp_new_key *n);

/* A reference on the key of a cell, and one use of its lease; `seals`: and one random nonce. */
int kp_take_key(uint64_t id, bool seals, struct kp_key **out);

/* `made`: the cell comes last, when nothing can fail any more, but stands first. Takes the key. */
int kp_make(struct kp_request *r, const struct kp_new_key *n, struct kp_key *key);

#endif
