/*
 * Slots as the agent last listed them. If no agent has ever answered there is one slot, number 0, without a token.
 */
#ifndef SIDEKEY_MODULE_SLOT_H
#define SIDEKEY_MODULE_SLOT_H

#include "guard.h"

struct sk_slots;

struct sk_slots *sk_slots_new(void);
void sk_slots_free(struct sk_slots *all);

CK_RV sk_slot_list(struct sk_entry *e, CK_BBOOL present, CK_SLOT_ID *list, CK_ULONG *count);
CK_RV sk_slot_info(struct sk_entry *e, CK_SLOT_ID slot, CK_SLOT_INFO *info);
CK_RV sk_token_info(struct sk_entry *e, CK_SLOT_ID slot, CK_TOKEN_INFO *info);
CK_RV sk_mechanism_list(struct sk_entry *e, CK_SLOT_ID slot, CK_MECHANISM_TYPE *list, CK_ULONG *count);
CK_RV sk_mechanism_info(struct sk_entry *e, CK_SLOT_ID slot, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO *info);

/* CKR_OK, CKR_SLOT_ID_INVALID, CKR_TOKEN_NOT_PRESENT, or CKR_TOKEN_NOT_RECOGNIZED for a token without a label. Costs no
 * message while the connection lasts on which the slot was seen. `flags` (CKF_) may be NULL. */
CK_RV sk_slot_check(struct sk_entry *e, CK_SLOT_ID slot, CK_FLAGS *flags);

/* C_WaitForSlotEvent. A token comes and goes with its access rule, its configuration and the service that has it. Unless
 * `flags` has CKF_DONT_BLOCK, waits for an event, or for C_Finalize: then CKR_CRYPTOKI_NOT_INITIALIZED. */
CK_RV sk_slot_event(struct sk_entry *e, CK_FLAGS flags, CK_SLOT_ID *slot, const void *reserved);

/* C_Finalize: wakes the threads in sk_slot_event. */
void sk_slots_end(struct sk_state *state);

/* After C_InitToken. */
void sk_slots_forget(struct sk_state *state);

#endif
