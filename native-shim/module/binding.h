/*
 * What the keeper said about a key and a mechanism (bind_check), remembered while the client's epoch lasts: the next
 * C_XInit with the same costs no message. The keeper checks everything again when the operation comes.
 */
#ifndef SIDEKEY_MODULE_BINDING_H
#define SIDEKEY_MODULE_BINDING_H

#include "mechanism.h"

#include "../wire/frame.h"

struct sk_binding {
    enum wire_output_rule rule;
    uint32_t size, key_type, key_bits;
    bool login_needed; /* CKA_ALWAYS_AUTHENTICATE */
};

/* What one C_XInit was told, and what it holds for. */
struct sk_bound {
    uint64_t generation, epoch, era, slot, key, mechanism, shape;
    enum wire_operation operation;
    struct sk_binding binding;
};

struct sk_entry;
struct sk_bindings;

struct sk_bindings *sk_bindings_new(void);
void sk_bindings_free(struct sk_bindings *all);

/* After login and logout: what a peer may do has changed. */
void sk_bindings_forget(struct sk_bindings *all);

/* From `last`, which is what it gave for this session and operation before, from memory, or from the keeper. */
CK_RV sk_bind(const struct sk_entry *e, enum wire_operation operation, uint64_t key, const struct sk_mechanism *m,
              struct sk_bound *last);

#endif
