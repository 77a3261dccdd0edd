/*
 * Functions that this release refuses. Before C_Initialize they say so, as every function does.
 */
#pragma GCC diagnostic ignored "-Wunused-parameter"

#include "guard.h"
#include "unsupported.h"

static CK_RV refuse(const char *function)
{
    struct sk_entry e;
    CK_RV rv = sk_enter(&e, function);

    return sk_leave(&e, rv == CKR_OK ? CKR_FUNCTION_NOT_SUPPORTED : rv);
}

CK_RV C_EncryptMessageBegin(CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_len, CK_BYTE *associated,
                            CK_ULONG associated_len)
{
    return refuse("C_EncryptMessageBegin");
}

CK_RV C_EncryptMessageNext(CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_len, CK_BYTE *in,
                           CK_ULONG in_len, CK_BYTE *out, CK_ULONG *out_len, CK_FLAGS flags)
{
    return refuse("C_EncryptMessageNext");
}

CK_RV C_DecryptMessageBegin(CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_len, CK_BYTE *associated,
                            CK_ULONG associated_len)
{
    return refuse("C_DecryptMessageBegin");
}

CK_RV C_DecryptMessageNext(CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_len, CK_BYTE *in,
                           CK_ULONG in_len, CK_BYTE *out, CK_ULONG *out_len, CK_FLAGS flags)
{
    return refuse("C_DecryptMessageNext");
}

CK_RV C_MessageSignInit(CK_SESSION_HANDLE session, CK_MECHANISM *m, CK_OBJECT_HANDLE key)
{
    return refuse("C_MessageSignInit");
}

CK_RV C_SignMessage(CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_len, CK_BYTE *data,
                    CK_ULONG length, CK_BYTE *signature, CK_ULONG *signature_len)
{
    return refuse("C_SignMessage");
}

CK_RV C_SignMessageBegin(CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_len)
{
    return refuse("C_SignMessageBegin");
}

CK_RV C_SignMessageNext(CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_len, CK_BYTE *data,
                        CK_ULONG length, CK_BYTE *signature, CK_ULONG *signature_len)
{
    return refuse("C_SignMessageNext");
}

CK_RV C_MessageSignFinal(CK_SESSION_HANDLE session)
{
    return refuse("C_MessageSignFinal");
}

CK_RV C_MessageVerifyInit(CK_SESSION_HANDLE session, CK_MECHANISM *m, CK_OBJECT_HANDLE key)
{
    return refuse("C_MessageVerifyInit");
}

CK_RV C_VerifyMessage(CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_len, CK_BYTE *data,
                      CK_ULONG length, CK_BYTE *signature, CK_ULONG signature_len)
{
    return refuse("C_VerifyMessage");
}

CK_RV C_VerifyMessageBegin(CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_len)
{
    return refuse("C_VerifyMessageBegin");
}

CK_RV C_VerifyMessageNext(CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_len, CK_BYTE *data,
                          CK_ULONG length, CK_BYTE *signature, CK_ULONG signature_len)
{
    return refuse("C_VerifyMessageNext");
}

CK_RV C_MessageVerifyFinal(CK_SESSION_HANDLE session)
{
    return refuse("C_MessageVerifyFinal");
}
