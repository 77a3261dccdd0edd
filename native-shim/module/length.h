/*
 * How much an operation gives, and how much it takes.
 */
#ifndef SIDEKEY_MODULE_LENGTH_H
#define SIDEKEY_MODULE_LENGTH_H

#include "operation.h"

#include "../wire/frame.h"

/* An upper bound of what is still to come once `more` bytes have gone in and that is all. */
uint64_t sk_length_at_end(enum wire_operation kind, const struct sk_operation *op, uint64_t more);

/* The same for an Update: nothing can come out before it went in. */
uint64_t sk_length_of_update(enum wire_operation kind, const struct sk_operation *op, uint64_t more);

/* Whether an operation will take `length` bytes in all: CKR_OK, CKR_DATA_LEN_RANGE or CKR_ENCRYPTED_DATA_LEN_RANGE. A
 * question for the length is refused as the operation would be; only one that is answered leaves it active (PKCS#11 3.1, 5.8.2). */
CK_RV sk_length_check(enum wire_operation kind, const struct sk_operation *op, uint64_t length);

/* The same for `more` bytes as a part: what no later part could mend. */
CK_RV sk_length_check_part(enum wire_operation kind, const struct sk_operation *op, uint64_t more);

#endif
