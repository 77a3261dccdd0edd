/*
 * The data of an operation by the ring: in pieces that fit its slots, two at a time, so that the next piece is copied while the
 * keeper works on the one before. What stream.h says holds; this is its fast half.
 */
#ifndef SIDEKEY_MODULE_FLOW_H
#define SIDEKEY_MODULE_FLOW_H

#include "stream.h"

/* As sk_stream, without what AES-GCM fetches at its end. False: nothing was done, or nothing that may not be done again; the
 * socket serves. */
bool sk_flow(struct sk_entry *e, enum wire_operation kind, struct sk_operation *op, struct wire_bytes in, bool final,
             const struct wire_bytes *signature, struct sk_sink *to, CK_RV *rv);

#endif
