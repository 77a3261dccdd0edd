#include "wrap_authenticated.h"

#include "key.h"
#include "message_parameter.h"

#include <stdlib.h>
#include <string.h>

static CK_RV read_parameter(const CK_MECHANISM *m, struct wire_bytes associated, struct sk_message_parameter *g)
{
    if (!m || (!associated.data && associated.length))
        return CKR_ARGUMENTS_BAD;
    if (!sk_message_has(m->mechanism))
        return CKR_MECHANISM_INVALID;
    return sk_message_parameter(m->mechanism, m->pParameter, m->ulParameterLen, g);
}

/* Into a buffer of our own first: the tag, which comes last, belongs elsewhere. */
static CK_RV wrap(struct sk_entry *e, const CK_MECHANISM *m, CK_OBJECT_HANDLE by, CK_OBJECT_HANDLE key,
                  const struct sk_message_parameter *g, CK_BYTE *out, CK_ULONG *out_len)
{
    const CK_ULONG tag = g->tag_bits / 8, most = WIRE_BLOB_MAX + SK_TAG_MAX;
    CK_ULONG length = most, room = *out_len;
    CK_BYTE *whole = malloc(most);
    CK_RV rv = whole ? sk_key_wrap(e, m, by, key, whole, &length) : CKR_HOST_MEMORY;

    if (rv == CKR_OK && length < tag)
        rv = CKR_GENERAL_ERROR;
    if (rv == CKR_OK)
        *out_len = length - tag;
    if (rv == CKR_OK && out && room < length - tag)
        rv = CKR_BUFFER_TOO_SMALL;
    if (rv == CKR_OK && out) {
        memcpy(out, whole, length - tag);
        memcpy(g->tag, whole + length - tag, tag);
    }
    free(whole);
    return rv;
}

CK_RV sk_wrap_authenticated(struct sk_entry *e, const CK_MECHANISM *m, CK_OBJECT_HANDLE by, CK_OBJECT_HANDLE key,
                            struct wire_bytes associated, CK_BYTE *out, CK_ULONG *out_len)
{
    struct sk_message_parameter g;
    union sk_ordinary_parameter params;
    CK_MECHANISM ordinary = {m ? m->mechanism : 0, &params, 0};
    CK_RV rv = out_len ? read_parameter(m, associated, &g) : CKR_ARGUMENTS_BAD;

    if (rv == CKR_OK)
        rv = sk_message_make_iv(e, &g);
    if (rv != CKR_OK)
        return rv;
    ordinary.ulParameterLen = sk_message_ordinary(m->mechanism, &g, associated, &params);
    return wrap(e, &ordinary, by, key, &g, out, out_len);
}

CK_RV sk_unwrap_authenticated(struct sk_entry *e, const CK_MECHANISM *m, CK_OBJECT_HANDLE by, struct wire_bytes wrapped,
                              const CK_ATTRIBUTE *attributes, CK_ULONG count, struct wire_bytes associated,
                              CK_OBJECT_HANDLE *out)
{
    struct sk_message_parameter g;
    union sk_ordinary_parameter params;
    CK_MECHANISM ordinary = {m ? m->mechanism : 0, &params, 0};
    CK_RV rv = !wrapped.data && wrapped.length ? CKR_ARGUMENTS_BAD : read_parameter(m, associated, &g);
    CK_BYTE *whole;

    if (rv != CKR_OK)
        return rv;
    if (wrapped.length == 0 || wrapped.length > WIRE_BLOB_MAX - SK_TAG_MAX)
        return CKR_WRAPPED_KEY_LEN_RANGE;
    whole = malloc(wrapped.length + SK_TAG_MAX);
    if (!whole)
        return CKR_HOST_MEMORY;
    memcpy(whole, wrapped.data, wrapped.length);
    memcpy(whole + wrapped.length, g.tag, g.tag_bits / 8);
    ordinary.ulParameterLen = sk_message_ordinary(m->mechanism, &g, associated, &params);
    rv = sk_key_unwrap(e, &ordinary, by, whole, wrapped.length + g.tag_bits / 8, attributes, count, out);
    free(whole);
    return rv;
}
