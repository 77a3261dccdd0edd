/*
 * Message-based operations (PKCS#11 3.1, 5.9, 5.11, 5.14 and 5.16): one key, many messages, each with a parameter of its own. A message
 * is an ordinary operation of the session, begun with what C_MessageXInit left. A message that fails ends; the key stays for the next.
 */
#ifndef SIDEKEY_MODULE_MESSAGE_H
#define SIDEKEY_MODULE_MESSAGE_H

#include "guard.h"

/* What was left, as it is now. */
struct sk_message sk_message_of(struct sk_entry *e, enum wire_operation kind);
void sk_message_set(struct sk_entry *e, enum wire_operation kind, const struct sk_message *message);

/* CKR_OPERATION_NOT_INITIALIZED before its Init; CKR_OPERATION_ACTIVE, or CKR_OPERATION_NOT_INITIALIZED, when a message in parts
 * is not where it is to be. */
CK_RV sk_message_check(const struct sk_message *message, bool begun);

/* Ends a message in parts, and its operation; gives rv back. */
CK_RV sk_message_end(struct sk_entry *e, enum wire_operation kind, CK_RV rv);

/* C_MessageXFinal, also in the middle of a message. */
CK_RV sk_message_close(struct sk_entry *e, enum wire_operation kind);

#endif
