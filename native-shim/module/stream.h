/*
 * How the data of an operation travels: in pieces of at most WIRE_DATA_MAX, each a request of its own, their output
 * gathered in one place.
 */
#ifndef SIDEKEY_MODULE_STREAM_H
#define SIDEKEY_MODULE_STREAM_H

#include "guard.h"

/* Where output goes: the caller's buffer, or memory of our own that becomes the operation's result. */
struct sk_sink {
    uint8_t *at;
    size_t room, used;
    bool own;
};

/* `bound`: what may come. CKR_HOST_MEMORY. */
CK_RV sk_sink_open(struct sk_sink *s, uint8_t *out, size_t out_len, uint64_t bound);

/* Wipes and frees the bytes in memory of our own that did not become a result. */
void sk_sink_close(struct sk_sink *s);

/* All of `in`; with `final` to the end of the operation, whose `signature` is NULL unless it verifies. */
CK_RV sk_stream(struct sk_entry *e, enum wire_operation kind, struct sk_operation *op, struct wire_bytes in, bool final,
                const struct wire_bytes *signature, struct sk_sink *to);

/* Whether an operation answers everything at its end, and after `more` bytes with more than a slot of the ring holds. */
bool sk_answers_whole(const struct sk_operation *op, size_t more);

/* The state of a digest that the keeper has; it goes on. */
CK_RV sk_stream_save(struct sk_entry *e, enum wire_operation kind, struct sk_operation *op, struct sk_sink *to);

/* Tells the keeper to drop what it has of the operation, if anything. */
void sk_stream_cancel(struct sk_entry *e, enum wire_operation kind, struct sk_operation *op);

/* An authenticated decryption: gives nothing before its end, and then exactly its input without the tag. */
bool sk_is_gcm_decrypt(enum wire_operation kind, const struct sk_operation *op);

#endif
