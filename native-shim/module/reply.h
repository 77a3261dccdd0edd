/*
 * The parsers of replies whose body is more than a number. Nothing in a reply is trusted: each count is bounded by the bytes
 * that are there, each length by the caller's buffer. If something is wrong they make the reader bad, which the caller checks
 * at the end. test/fuzz/module_reply.c fuzzes them. Views in what they give point into the reply.
 */
#ifndef SIDEKEY_MODULE_REPLY_H
#define SIDEKEY_MODULE_REPLY_H

#include "binding.h"
#include "cryptoki3.h"

#include "../wire/buffer.h"

enum { SK_SLOTS_MAX = 1024, SK_MECHANISMS_MAX = 1024 };

struct sk_slot {
    uint64_t id;
    struct wire_bytes description;
    bool present;
    /* of the token, if present */
    uint64_t flags, pin_min, pin_max;
    struct wire_bytes label, manufacturer, model, serial;
};

struct sk_mechanism_info {
    uint64_t type, flags, min, max;
};

void sk_reply_binding(struct wire_reader *r, struct sk_binding *out);

/* The number of entries that follow; 0 and a bad reader when it is over `max`. */
uint32_t sk_reply_count(struct wire_reader *r, uint32_t max);

void sk_reply_slot(struct wire_reader *r, struct sk_slot *out);
void sk_reply_mechanism(struct wire_reader *r, struct sk_mechanism_info *out);

/* A key that was encapsulated; handle 0: there was too little room for the ciphertext, which needs so many bytes. */
struct sk_encapsulated {
    uint64_t handle, needed;
    struct wire_bytes ciphertext;
};

/* `room`: what the agent was told. */
void sk_reply_encapsulated(struct wire_reader *r, uint64_t room, struct sk_encapsulated *out);

/* A page of handles, each greater than the one before and than `after`: the caller's to free, also when the reader is bad.
 * NULL when there are none, or no memory (and the reader is bad). */
uint64_t *sk_reply_handles(struct wire_reader *r, uint64_t after, bool *more, uint32_t *count);

/* Fills the caller's attributes from a get_attributes reply for exactly these. The worst of CKR_ATTRIBUTE_SENSITIVE,
 * CKR_ATTRIBUTE_TYPE_INVALID and CKR_BUFFER_TOO_SMALL, or CKR_OK. */
CK_RV sk_reply_attributes(struct wire_reader *r, CK_ATTRIBUTE *attributes, uint32_t count);

#endif
