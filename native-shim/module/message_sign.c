#include "message_sign.h"

#include "crypt.h"
#include "message.h"

CK_RV sk_signing_open(struct sk_entry *e, enum wire_operation kind, const CK_MECHANISM *m, CK_OBJECT_HANDLE key)
{
    struct sk_message fresh = {.active = true, .key = key};
    CK_RV rv;

    if (!m)
        return sk_message_close(e, kind);
    if (sk_message_of(e, kind).active)
        return CKR_OPERATION_ACTIVE;
    rv = sk_mechanism_pack(m, kind == WIRE_SIGN ? CAN_SIGN : CAN_VERIFY, &fresh.mechanism);
    if (rv != CKR_OK)
        return rv;
    rv = sk_crypt_init_packed(e, kind, &fresh.mechanism, key);
    if (rv != CKR_OK) {
        sk_mechanism_clear(&fresh.mechanism);
        return rv;
    }
    sk_crypt_cancel(e, kind);
    rv = sk_message_open(e, kind, &fresh);
    if (rv != CKR_OK)
        sk_mechanism_clear(&fresh.mechanism);
    return rv;
}

/* A message's operation, where none is under way. */
static CK_RV begin(struct sk_entry *e, enum wire_operation kind, const void *parameter, CK_ULONG parameter_len, bool begun)
{
    struct sk_message message;
    CK_RV rv = sk_message_copy(e, kind, &message);

    if (rv != CKR_OK)
        return rv;
    rv = sk_message_check(&message, begun);
    if (rv == CKR_OK && (parameter || parameter_len))
        rv = CKR_MECHANISM_PARAM_INVALID;
    if (rv == CKR_OK && !begun)
        rv = sk_crypt_init_packed(e, kind, &message.mechanism, message.key);
    sk_mechanism_clear(&message.mechanism);
    return rv;
}

CK_RV sk_signing_begin(struct sk_entry *e, enum wire_operation kind, const void *parameter, CK_ULONG parameter_len)
{
    CK_RV rv = begin(e, kind, parameter, parameter_len, false);

    if (rv != CKR_OK || sk_message_move(e, kind, true, 0))
        return rv;
    return sk_message_end(e, kind, CKR_OPERATION_NOT_INITIALIZED);
}

/* The last part. A question for the length takes no data. */
static CK_RV sign_last(struct sk_entry *e, struct wire_bytes in, CK_BYTE *out, CK_ULONG *out_len)
{
    CK_ULONG wanted = 0;
    CK_RV rv = sk_crypt_final(e, WIRE_SIGN, NULL, &wanted);

    if (rv == CKR_OK && (!out || *out_len < wanted)) {
        *out_len = wanted;
        return out ? CKR_BUFFER_TOO_SMALL : CKR_OK;
    }
    if (rv == CKR_OK)
        rv = sk_crypt_update(e, WIRE_SIGN, in.data, in.length, NULL, NULL);
    if (rv == CKR_OK)
        rv = sk_crypt_final(e, WIRE_SIGN, out, out_len);
    return rv;
}

CK_RV sk_signing_sign(struct sk_entry *e, const void *parameter, CK_ULONG parameter_len, struct wire_bytes in, CK_BYTE *out,
                      CK_ULONG *out_len, bool begun)
{
    CK_RV rv = begin(e, WIRE_SIGN, parameter, parameter_len, begun);

    if (rv != CKR_OK)
        return rv;
    if (!out_len && begun) {
        rv = sk_crypt_update(e, WIRE_SIGN, in.data, in.length, NULL, NULL);
        return rv == CKR_OK ? rv : sk_message_end(e, WIRE_SIGN, rv);
    }
    if (!begun)
        return sk_message_end(e, WIRE_SIGN, sk_crypt_single(e, WIRE_SIGN, in.data, in.length, out, out_len));
    rv = sign_last(e, in, out, out_len);
    return rv == CKR_BUFFER_TOO_SMALL || (rv == CKR_OK && !out) ? rv : sk_message_end(e, WIRE_SIGN, rv);
}

CK_RV sk_signing_verify(struct sk_entry *e, const void *parameter, CK_ULONG parameter_len, struct wire_bytes in,
                        struct wire_bytes signature, bool begun)
{
    CK_RV rv = begin(e, WIRE_VERIFY, parameter, parameter_len, begun);

    if (rv != CKR_OK)
        return rv;
    if (begun)
        rv = sk_crypt_update(e, WIRE_VERIFY, in.data, in.length, NULL, NULL);
    if (rv == CKR_OK && begun && !signature.data)
        return CKR_OK;
    if (rv == CKR_OK)
        rv = begun ? sk_crypt_verify(e, NULL, 0, signature.data, signature.length, true)
                   : sk_crypt_verify(e, in.data, in.length, signature.data, signature.length, false);
    return sk_message_end(e, WIRE_VERIFY, rv);
}
