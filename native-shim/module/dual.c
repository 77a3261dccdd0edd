#include "dual.h"

#include "crypt.h"
#include "phase.h"

#include <stdlib.h>
#include <string.h>

/* An error ends both. */
static CK_RV end_both(struct sk_entry *e, enum wire_operation cipher, enum wire_operation other, CK_RV rv)
{
    if (rv == CKR_OK || rv == CKR_BUFFER_TOO_SMALL)
        return rv;
    sk_crypt_cancel(e, cipher);
    sk_crypt_cancel(e, other);
    return rv;
}

static CK_RV feed(struct sk_entry *e, enum wire_operation other, const CK_BYTE *data, CK_ULONG length)
{
    const CK_ULONG *told = e->out;
    CK_RV rv = other == WIRE_VERIFY ? sk_crypt_verify_update(e, data, length, false)
                                    : sk_crypt_update(e, other, data, length, NULL, NULL);

    e->out = told;
    return rv;
}

static bool both(struct sk_entry *e, enum wire_operation cipher, enum wire_operation other)
{
    return sk_crypt_is_active(e->session, cipher) && sk_crypt_is_active(e->session, other);
}

/* The ciphertext may be written where the data lie, and the other operation comes second: then of a copy. */
CK_RV sk_dual_encrypt(struct sk_entry *e, enum wire_operation other, const CK_BYTE *in, CK_ULONG in_len, CK_BYTE *out,
                      CK_ULONG *out_len)
{
    CK_BYTE *copy = NULL;
    CK_RV rv;

    if (!both(e, WIRE_ENCRYPT, other))
        return CKR_OPERATION_NOT_INITIALIZED;
    if (!out_len || !sk_is_readable(in, in_len))
        return end_both(e, WIRE_ENCRYPT, other, CKR_ARGUMENTS_BAD);
    if (!out)
        return end_both(e, WIRE_ENCRYPT, other, sk_crypt_update(e, WIRE_ENCRYPT, in, in_len, NULL, out_len));
    if (in_len && out < in + in_len && in < out + *out_len) {
        copy = malloc(in_len);
        if (!copy)
            return end_both(e, WIRE_ENCRYPT, other, CKR_HOST_MEMORY);
        memcpy(copy, in, in_len);
    }
    rv = sk_crypt_update(e, WIRE_ENCRYPT, in, in_len, out, out_len);
    if (rv == CKR_OK)
        rv = feed(e, other, copy ? copy : in, in_len);
    if (copy)
        wire_wipe(copy, in_len);
    free(copy);
    return end_both(e, WIRE_ENCRYPT, other, rv);
}

CK_RV sk_dual_decrypt(struct sk_entry *e, enum wire_operation other, const CK_BYTE *in, CK_ULONG in_len, CK_BYTE *out,
                      CK_ULONG *out_len)
{
    CK_RV rv;

    if (!both(e, WIRE_DECRYPT, other))
        return CKR_OPERATION_NOT_INITIALIZED;
    if (!out_len || !sk_is_readable(in, in_len))
        return end_both(e, WIRE_DECRYPT, other, CKR_ARGUMENTS_BAD);
    rv = sk_crypt_update(e, WIRE_DECRYPT, in, in_len, out, out_len);
    if (rv == CKR_OK && out)
        rv = feed(e, other, out, *out_len);
    return end_both(e, WIRE_DECRYPT, other, rv);
}
