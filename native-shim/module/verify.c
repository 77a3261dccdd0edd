/* Verifying: the signature comes with the data, or before them (PKCS#11 3.2, C_VerifySignatureInit). */
#include "crypt.h"
#include "phase.h"
#include "stream.h"

#include <stdlib.h>
#include <string.h>

static CK_RV verify(struct sk_entry *e, struct sk_operation *op, struct wire_bytes in, struct wire_bytes signature)
{
    struct sk_sink none = {0};
    CK_RV rv = sk_stream(e, WIRE_VERIFY, op, in, true, &signature, &none);

    if (rv != CKR_DEVICE_REMOVED || op->parts)
        return rv;
    op->number = op->in = op->out = 0;
    return sk_stream(e, WIRE_VERIFY, op, in, true, &signature, &none);
}

/* Of an operation that this thread has taken. */
static CK_RV verify_taken(struct sk_entry *e, struct sk_operation *op, struct wire_bytes in, struct wire_bytes signature,
                          bool last_only)
{
    CK_RV rv = sk_step_check(op, last_only ? SK_STEP_FINAL : SK_STEP_SINGLE);

    if (rv == CKR_OK && (!sk_is_readable(in.data, in.length) || (!signature.data && signature.length)))
        rv = CKR_ARGUMENTS_BAD;
    if (rv == CKR_OK && signature.length > WIRE_SIGNATURE_MAX)
        rv = CKR_SIGNATURE_LEN_RANGE;
    if (!signature.data)
        signature.data = (const CK_BYTE *)"";
    return rv == CKR_OK ? verify(e, op, in, signature) : rv;
}

/* The verification of this session, if it has its signature already (`given`) or has not. */
static CK_RV take_verification(struct sk_entry *e, bool given, struct sk_operation **out)
{
    CK_RV rv = sk_operation_take(e->session, WIRE_VERIFY, out);

    if (rv != CKR_OK || ((*out)->signature != NULL) == given)
        return rv;
    sk_phase_leave(e->session, WIRE_VERIFY, SK_READY);
    return CKR_OPERATION_NOT_INITIALIZED;
}

CK_RV sk_crypt_verify(struct sk_entry *e, const CK_BYTE *in, CK_ULONG in_len, const CK_BYTE *signature,
                      CK_ULONG signature_len, bool last_only)
{
    struct sk_operation *op;
    CK_RV rv = take_verification(e, false, &op);

    e->in = in_len;
    if (rv != CKR_OK)
        return rv;
    rv = verify_taken(e, op, (struct wire_bytes){in, in_len}, (struct wire_bytes){signature, signature_len}, last_only);
    return sk_operation_give_back(e, WIRE_VERIFY, op, rv, false);
}

CK_RV sk_crypt_verify_init(struct sk_entry *e, const CK_MECHANISM *m, CK_OBJECT_HANDLE key, const CK_BYTE *signature,
                           CK_ULONG signature_len)
{
    struct sk_operation *op;
    CK_RV rv;

    if (m && !signature && signature_len)
        return CKR_ARGUMENTS_BAD;
    if (m && signature_len > WIRE_SIGNATURE_MAX)
        return CKR_SIGNATURE_LEN_RANGE;
    rv = sk_crypt_init(e, WIRE_VERIFY, m, key);
    if (rv != CKR_OK || !m)
        return rv;
    rv = sk_operation_take(e->session, WIRE_VERIFY, &op);
    if (rv != CKR_OK)
        return rv;
    op->signature = malloc(signature_len + 1);
    op->signature_length = signature_len;
    if (op->signature && signature_len)
        memcpy(op->signature, signature, signature_len);
    return sk_operation_give_back(e, WIRE_VERIFY, op, op->signature ? CKR_OK : CKR_HOST_MEMORY, true);
}

CK_RV sk_crypt_verify_given(struct sk_entry *e, const CK_BYTE *in, CK_ULONG in_len, bool last_only)
{
    struct sk_operation *op;
    CK_RV rv = take_verification(e, true, &op);

    e->in = in_len;
    if (rv != CKR_OK)
        return rv;
    rv = verify_taken(e, op, (struct wire_bytes){in, in_len}, (struct wire_bytes){op->signature, op->signature_length},
                      last_only);
    return sk_operation_give_back(e, WIRE_VERIFY, op, rv, false);
}

CK_RV sk_crypt_verify_update(struct sk_entry *e, const CK_BYTE *in, CK_ULONG in_len, bool given)
{
    struct sk_operation *op;
    CK_RV rv = take_verification(e, given, &op);

    if (rv != CKR_OK)
        return rv;
    sk_phase_leave(e->session, WIRE_VERIFY, SK_READY);
    return sk_crypt_update(e, WIRE_VERIFY, in, in_len, NULL, NULL);
}
