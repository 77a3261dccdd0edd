/*
 * Message-based operations (PKCS#11 3.1, 5.9, 5.11, 5.14 and 5.16): one key, many messages, each with a parameter of its own. A message
 * is an ordinary operation of the session, begun with what C_MessageXInit left. A message that fails ends; the key stays for the next.
 */
#ifndef SIDEKEY_MODULE_MESSAGE_H
#define SIDEKEY_MODULE_MESSAGE_H

#include "guard.h"

/* What C_MessageXInit left, without the parameter of its mechanism. */
struct sk_message sk_message_of(struct sk_entry *e, enum wire_operation kind);

/* The same with the parameter: the caller calls sk_mechanism_clear. CKR_OPERATION_NOT_INITIALIZED or CKR_HOST_MEMORY: there is
 * nothing to clear. */
CK_RV sk_message_copy(struct sk_entry *e, enum wire_operation kind, struct sk_message *out);

/* The session takes `fresh` with its mechanism. CKR_OPERATION_ACTIVE: another thread was first, and it stays the caller's. */
CK_RV sk_message_open(struct sk_entry *e, enum wire_operation kind, const struct sk_message *fresh);

/* Notes how far the message in parts has come. False: another thread has closed it. */
bool sk_message_move(struct sk_entry *e, enum wire_operation kind, bool begun, uint64_t in);

/* CKR_OPERATION_NOT_INITIALIZED before its Init; CKR_OPERATION_ACTIVE, or CKR_OPERATION_NOT_INITIALIZED, when a message in parts
 * is not where it is to be. */
CK_RV sk_message_check(const struct sk_message *message, bool begun);

/* Ends a message in parts, and its operation; gives rv back. */
CK_RV sk_message_end(struct sk_entry *e, enum wire_operation kind, CK_RV rv);

/* C_MessageXFinal, also in the middle of a message. */
CK_RV sk_message_close(struct sk_entry *e, enum wire_operation kind);

#endif
