/* The functions of the API that run two operations over the same data: thin entries to dual.c. */
#include "dual.h"

typedef CK_RV dual_function(struct sk_entry *e, enum wire_operation other, const CK_BYTE *in, CK_ULONG in_len, CK_BYTE *out,
                            CK_ULONG *out_len);

static CK_RV both(const char *function, dual_function *run, enum wire_operation other, CK_SESSION_HANDLE session, const CK_BYTE *in,
                  CK_ULONG in_len, CK_BYTE *out, CK_ULONG *out_len)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, function, session);

    if (rv == CKR_OK)
        rv = run(&e, other, in, in_len, out, out_len);
    return sk_leave(&e, rv);
}

CK_RV C_DigestEncryptUpdate(CK_SESSION_HANDLE session, CK_BYTE *in, CK_ULONG in_len, CK_BYTE *out, CK_ULONG *out_len)
{
    return both(__func__, sk_dual_encrypt, WIRE_DIGEST, session, in, in_len, out, out_len);
}

CK_RV C_DecryptDigestUpdate(CK_SESSION_HANDLE session, CK_BYTE *in, CK_ULONG in_len, CK_BYTE *out, CK_ULONG *out_len)
{
    return both(__func__, sk_dual_decrypt, WIRE_DIGEST, session, in, in_len, out, out_len);
}

CK_RV C_SignEncryptUpdate(CK_SESSION_HANDLE session, CK_BYTE *in, CK_ULONG in_len, CK_BYTE *out, CK_ULONG *out_len)
{
    return both(__func__, sk_dual_encrypt, WIRE_SIGN, session, in, in_len, out, out_len);
}

CK_RV C_DecryptVerifyUpdate(CK_SESSION_HANDLE session, CK_BYTE *in, CK_ULONG in_len, CK_BYTE *out, CK_ULONG *out_len)
{
    return both(__func__, sk_dual_decrypt, WIRE_VERIFY, session, in, in_len, out, out_len);
}
