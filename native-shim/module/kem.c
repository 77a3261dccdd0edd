#include "kem.h"

#include "former.h"
#include "key.h"
#include "object.h"
#include "reply.h"

#include <string.h>

enum { CIPHERTEXT_MAX = 4096 };

/* How both begin. When it fails there is nothing to end. */
static CK_RV begin(struct sk_call *c, struct sk_entry *e, enum wire_message type, const CK_MECHANISM *m, uint32_t can,
                   CK_OBJECT_HANDLE key, size_t more)
{
    CK_RV rv = sk_key_begin(c, e, type, m, can, more);

    if (rv == CKR_OK)
        wire_write_u64(&c->w, sk_former_check(e, key));
    return rv;
}

/* The agent was told how much room there is: a key comes with a ciphertext that fits, and no key without one. */
static CK_RV take_answer(struct sk_call *c, CK_BYTE *ciphertext, CK_ULONG *ciphertext_len, CK_OBJECT_HANDLE *out)
{
    const CK_ULONG room = ciphertext ? *ciphertext_len : 0;
    struct sk_encapsulated answer;
    CK_RV rv;

    sk_reply_encapsulated(&c->r, room, &answer);
    rv = sk_call_finish(c);
    if (rv != CKR_OK)
        return rv;
    *ciphertext_len = answer.needed;
    if (!answer.handle)
        return ciphertext ? CKR_BUFFER_TOO_SMALL : CKR_OK;
    memcpy(ciphertext, answer.ciphertext.data, answer.ciphertext.length);
    *out = answer.handle;
    sk_former_told(c->entry, &answer.handle, 1);
    return CKR_OK;
}

CK_RV sk_encapsulate(struct sk_entry *e, const CK_MECHANISM *m, CK_OBJECT_HANDLE to, const CK_ATTRIBUTE *attributes,
                     CK_ULONG count, CK_BYTE *ciphertext, CK_ULONG *ciphertext_len, CK_OBJECT_HANDLE *out)
{
    struct sk_call c;
    bool made;
    CK_RV rv;

    if (!ciphertext_len || (ciphertext && !out))
        return CKR_ARGUMENTS_BAD;
    rv = begin(&c, e, WIRE_encapsulate_key, m, CAN_ENCAPSULATE, to, sk_template_room(attributes, count));
    if (rv != CKR_OK)
        return rv;
    wire_write_u64(&c.w, ciphertext ? *ciphertext_len : 0);
    rv = sk_template_write(&c.w, attributes, count, SK_PART_ALL);
    if (rv == CKR_OK)
        rv = sk_call_run(&c);
    if (rv == CKR_OK)
        rv = take_answer(&c, ciphertext, ciphertext_len, out);
    made = rv == CKR_OK && ciphertext;
    sk_call_end(&c);
    if (made)
        sk_object_made(e, attributes, count);
    return rv;
}

CK_RV sk_decapsulate(struct sk_entry *e, const CK_MECHANISM *m, CK_OBJECT_HANDLE by, const CK_ATTRIBUTE *attributes,
                     CK_ULONG count, const CK_BYTE *ciphertext, CK_ULONG ciphertext_len, CK_OBJECT_HANDLE *out)
{
    struct sk_call c;
    CK_RV rv;

    if (!out || (!ciphertext && ciphertext_len))
        return CKR_ARGUMENTS_BAD;
    if (ciphertext_len == 0 || ciphertext_len > CIPHERTEXT_MAX)
        return CKR_WRAPPED_KEY_LEN_RANGE;
    rv = begin(&c, e, WIRE_decapsulate_key, m, CAN_DECAPSULATE, by, ciphertext_len + sk_template_room(attributes, count));
    if (rv != CKR_OK)
        return rv;
    wire_write_bytes(&c.w, ciphertext, ciphertext_len);
    return sk_object_make(&c, attributes, count, SK_PART_ALL, out);
}
