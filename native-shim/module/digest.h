/*
 * Digests that are made in this process (sha256.h): the keeper never hears of them. Their saved states are those of the keeper's
 * digests (wire/digest_state.h), which takes them up.
 */
#ifndef SIDEKEY_MODULE_DIGEST_H
#define SIDEKEY_MODULE_DIGEST_H

#include "stream.h"

/* Of an operation whose mechanism is packed. One that goes on from a saved state is the keeper's. */
bool sk_digest_is_made_here(enum wire_operation kind, const struct sk_operation *op);

/* Begins it, and says of it what the keeper would have said (bind_check). */
void sk_digest_begin_here(struct sk_operation *op);

/* As sk_stream. */
CK_RV sk_digest_here(struct sk_operation *op, struct wire_bytes in, bool final, struct sk_sink *to);

#endif
