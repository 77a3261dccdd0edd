/* C_GetMechanismList and C_GetMechanismInfo. */
#include "call.h"
#include "reply.h"
#include "slot.h"

/* A mechanisms request, run: `count` entries follow in c->r. The caller ends it, whatever this gives. */
static CK_RV ask_mechanisms(struct sk_entry *e, CK_SLOT_ID slot, struct sk_call *c, uint32_t *count)
{
    CK_RV rv;

    sk_call_begin(c, e, WIRE_mechanisms, 8);
    wire_write_u64(&c->w, slot);
    rv = sk_call_run(c);
    if (rv == CKR_OK)
        *count = sk_reply_count(&c->r, SK_MECHANISMS_MAX);
    return rv;
}

/* An uninitialised token has mechanisms too. */
static CK_RV check_for_mechanisms(struct sk_entry *e, CK_SLOT_ID slot)
{
    CK_RV rv = sk_slot_check(e, slot, NULL);

    return rv == CKR_TOKEN_NOT_RECOGNIZED ? CKR_OK : rv;
}

CK_RV sk_mechanism_list(struct sk_entry *e, CK_SLOT_ID slot, CK_MECHANISM_TYPE *list, CK_ULONG *count)
{
    struct sk_mechanism_info one;
    struct sk_call c;
    uint32_t n = 0;
    CK_ULONG room;
    CK_RV rv;

    if (!count)
        return CKR_ARGUMENTS_BAD;
    room = list ? *count : 0;
    rv = check_for_mechanisms(e, slot);
    if (rv != CKR_OK)
        return rv;
    rv = ask_mechanisms(e, slot, &c, &n);
    for (uint32_t i = 0; i < n && !c.r.bad; i++) {
        sk_reply_mechanism(&c.r, &one);
        if (i < room)
            list[i] = one.type;
    }
    if (rv == CKR_OK)
        rv = sk_call_finish(&c);
    sk_call_end(&c);
    if (rv == CKR_OK)
        *count = n;
    return rv == CKR_OK && list && n > room ? CKR_BUFFER_TOO_SMALL : rv;
}

CK_RV sk_mechanism_info(struct sk_entry *e, CK_SLOT_ID slot, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO *info)
{
    struct sk_mechanism_info one;
    struct sk_call c;
    uint32_t n = 0;
    bool found = false;
    CK_RV rv;

    if (!info)
        return CKR_ARGUMENTS_BAD;
    rv = check_for_mechanisms(e, slot);
    if (rv != CKR_OK)
        return rv;
    rv = ask_mechanisms(e, slot, &c, &n);
    for (uint32_t i = 0; i < n && !c.r.bad; i++) {
        sk_reply_mechanism(&c.r, &one);
        if (one.type != type)
            continue;
        found = true;
        *info = (CK_MECHANISM_INFO){one.min, one.max, one.flags};
    }
    if (rv == CKR_OK)
        rv = sk_call_finish(&c);
    sk_call_end(&c);
    return rv == CKR_OK && !found ? CKR_MECHANISM_INVALID : rv;
}
