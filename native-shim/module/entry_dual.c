/* The functions of the API that run two operations over the same data: thin entries to dual.c. */
#include "dual.h"

CK_RV C_DigestEncryptUpdate(CK_SESSION_HANDLE session, CK_BYTE *in, CK_ULONG in_len, CK_BYTE *out, CK_ULONG *out_len)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_DigestEncryptUpdate", session);

    if (rv == CKR_OK)
        rv = sk_dual_encrypt(&e, WIRE_DIGEST, in, in_len, out, out_len);
    return sk_leave(&e, rv);
}

CK_RV C_DecryptDigestUpdate(CK_SESSION_HANDLE session, CK_BYTE *in, CK_ULONG in_len, CK_BYTE *out, CK_ULONG *out_len)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_DecryptDigestUpdate", session);

    if (rv == CKR_OK)
        rv = sk_dual_decrypt(&e, WIRE_DIGEST, in, in_len, out, out_len);
    return sk_leave(&e, rv);
}

CK_RV C_SignEncryptUpdate(CK_SESSION_HANDLE session, CK_BYTE *in, CK_ULONG in_len, CK_BYTE *out, CK_ULONG *out_len)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_SignEncryptUpdate", session);

    if (rv == CKR_OK)
        rv = sk_dual_encrypt(&e, WIRE_SIGN, in, in_len, out, out_len);
    return sk_leave(&e, rv);
}

CK_RV C_DecryptVerifyUpdate(CK_SESSION_HANDLE session, CK_BYTE *in, CK_ULONG in_len, CK_BYTE *out, CK_ULONG *out_len)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_DecryptVerifyUpdate", session);

    if (rv == CKR_OK)
        rv = sk_dual_decrypt(&e, WIRE_VERIFY, in, in_len, out, out_len);
    return sk_leave(&e, rv);
}
