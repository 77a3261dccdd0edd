/* What is known of the slots: for slot.c, which asks, and slot_event.c, which tells of changes. */
#ifndef SIDEKEY_MODULE_SLOT_KNOWN_H
#define SIDEKEY_MODULE_SLOT_KNOWN_H

#include "condition.h"
#include "slot.h"

struct known {
    CK_SLOT_ID id;
    bool present;
    CK_FLAGS flags;
    CK_ULONG pin_min, pin_max;
    CK_UTF8CHAR description[64], label[32], manufacturer[32], model[16], serial[16];
};

struct sk_slots {
    pthread_mutex_t lock;
    struct known *rows;
    uint32_t count;
    uint64_t generation; /* of the connection on which they were seen; 0: ask again */
    /* slots whose token C_WaitForSlotEvent knows of */
    CK_SLOT_ID *told;
    uint32_t told_count;
    bool watching; /* `told` was filled once */
    bool ended;    /* C_Finalize came */
    struct sk_condition end;
};

/* Asks the agent. Without an answer the slots stay, and their tokens are gone. */
CK_RV sk_slots_refresh(struct sk_entry *e);

/* The tokens that are there when the slots are first seen are no event. */
CK_RV sk_slots_watch(struct sk_slots *all);

#endif
