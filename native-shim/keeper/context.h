/*
 * OpenSSL's contexts, kept with the key that they are for: setting one up (key schedule, fetches, allocations) costs more than
 * a short operation. Which one fits is known by mechanism and operation; a few per key, and a bound for all. They are freed
 * with their key. A context is one thread's between take and keep.
 */
#ifndef SIDEKEY_KEEPER_CONTEXT_H
#define SIDEKEY_KEEPER_CONTEXT_H

#include <stdatomic.h>
#include <stddef.h>

enum { KP_CONTEXTS = 8 };

struct kp_context;
struct kp_op;

/* Of one key, or of those that need none. Zeroed: empty. */
struct kp_contexts {
    _Atomic(struct kp_context *) at[KP_CONTEXTS];
};

/* Puts a context that was begun before into the operation, which is then `warm`; or leaves it as it is. */
void kp_context_take(struct kp_contexts *all, struct kp_op *op);

/* Takes the operation's contexts for the next one, or frees them. */
void kp_context_keep(struct kp_contexts *all, struct kp_op *op);

/* Frees what an operation has of them. */
void kp_context_free(struct kp_op *op);

/* The key goes. */
void kp_contexts_clear(struct kp_contexts *all);

#endif
