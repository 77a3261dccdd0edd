/*
 * Whose turn it is with an operation: one thread takes it, works and gives it back. A call that comes meanwhile, or in the
 * wrong order, is refused.
 */
#ifndef SIDEKEY_MODULE_PHASE_H
#define SIDEKEY_MODULE_PHASE_H

#include "guard.h"

#include <stdint.h>

/* From that phase to busy. False: it is another one, in `seen`. */
bool sk_phase_enter(struct sk_session *s, enum wire_operation kind, enum sk_phase from, enum sk_phase *seen);
void sk_phase_leave(struct sk_session *s, enum wire_operation kind, enum sk_phase to);

/* CKR_OPERATION_NOT_INITIALIZED, or CKR_OPERATION_ACTIVE when another thread has it. */
CK_RV sk_operation_take(struct sk_session *s, enum wire_operation kind, struct sk_operation **out);

/* Gives the operation back, and rv. It lives on after success that left it `going`, and after CKR_BUFFER_TOO_SMALL. */
CK_RV sk_operation_give_back(struct sk_entry *e, enum wire_operation kind, struct sk_operation *op, CK_RV rv, bool going);

/* What a call may not be, whatever its data: in the wrong order, or before its login. */
CK_RV sk_step_check(const struct sk_operation *op, enum sk_step step);

/* Whether these can be bytes of the caller's: NULL stands for none, and nothing in memory is longer than PTRDIFF_MAX, which
 * CK_UNAVAILABLE_INFORMATION is. */
static inline bool sk_is_readable(const void *data, CK_ULONG length) { return (data || !length) && length <= PTRDIFF_MAX; }

#endif
