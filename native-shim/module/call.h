/*
 * One request and its reply: begin, write the body into `w`, run, read the body from `r`, end. Everything is wiped at
 * the end: bodies hold PINs, keys and plaintext.
 */
#ifndef SIDEKEY_MODULE_CALL_H
#define SIDEKEY_MODULE_CALL_H

#include "guard.h"

struct sk_call {
    const struct sk_entry *entry;
    struct sk_exchange x;
    struct wire_writer w;
    struct wire_reader r;
    bool no_memory;
};

/* `room`: what the body may need, at most WIRE_BODY_MAX counted. */
void sk_call_begin(struct sk_call *c, const struct sk_entry *e, enum wire_message type, size_t room);

/* place = slot, session, read-write */
void sk_call_place(struct sk_call *c);

/* CKR_OK, with the reply's body in `r`; else why not. The status is kept for C_GetSessionInfo. */
CK_RV sk_call_run(struct sk_call *c);

/* The same for what changes nothing: from memory, if the agent let an answer be kept and nothing can have changed since. */
CK_RV sk_call_run_kept(struct sk_call *c);

/* What a reply's status means here: kept for C_GetSessionInfo, noticed where it tells of a login lost, and as PKCS#11 has
 * it. */
CK_RV sk_call_settle(const struct sk_entry *e, uint16_t type, enum wire_status status);

/* CKR_DEVICE_ERROR unless the body was read to its end and nothing in it was wrong. */
CK_RV sk_call_finish(struct sk_call *c);

void sk_call_end(struct sk_call *c);

/* run, an empty body, end: for requests whose answer is only yes or no. */
CK_RV sk_call_simple(struct sk_call *c);

/* run, one u64 that is not 0, end. */
CK_RV sk_call_number(struct sk_call *c, CK_ULONG *out);

/* The same, of an object that the process learns of by it. */
CK_RV sk_call_handle(struct sk_call *c, CK_ULONG *handle);

#endif
