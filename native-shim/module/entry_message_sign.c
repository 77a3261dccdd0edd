/* Message-based signatures: thin entries to message_sign.c. */
#include "message.h"
#include "message_sign.h"

CK_RV C_MessageSignInit(CK_SESSION_HANDLE session, CK_MECHANISM *m, CK_OBJECT_HANDLE key)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_MessageSignInit", session);

    sk_note_mechanism(&e, m);
    e.object = key;
    if (rv == CKR_OK)
        rv = sk_signing_open(&e, WIRE_SIGN, m, key);
    return sk_leave(&e, rv);
}

CK_RV C_SignMessage(CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_len, CK_BYTE *data,
                      CK_ULONG length, CK_BYTE *signature, CK_ULONG *signature_len)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_SignMessage", session);

    if (rv == CKR_OK)
        rv = sk_signing_sign(&e, parameter, parameter_len, (struct wire_bytes){data, length},
                             signature, signature_len, false);
    e.in = length;
    e.out = signature_len;
    return sk_leave(&e, rv);
}

CK_RV C_SignMessageBegin(CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_len)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_SignMessageBegin", session);

    if (rv == CKR_OK)
        rv = sk_signing_begin(&e, WIRE_SIGN, parameter, parameter_len);
    return sk_leave(&e, rv);
}

CK_RV C_SignMessageNext(CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_len, CK_BYTE *data,
                      CK_ULONG length, CK_BYTE *signature, CK_ULONG *signature_len)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_SignMessageNext", session);

    if (rv == CKR_OK)
        rv = sk_signing_sign(&e, parameter, parameter_len, (struct wire_bytes){data, length},
                             signature, signature_len, true);
    e.in = length;
    e.out = signature_len;
    return sk_leave(&e, rv);
}

CK_RV C_MessageSignFinal(CK_SESSION_HANDLE session)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_MessageSignFinal", session);

    if (rv == CKR_OK)
        rv = sk_message_close(&e, WIRE_SIGN);
    return sk_leave(&e, rv);
}

CK_RV C_MessageVerifyInit(CK_SESSION_HANDLE session, CK_MECHANISM *m, CK_OBJECT_HANDLE key)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_MessageVerifyInit", session);

    sk_note_mechanism(&e, m);
    e.object = key;
    if (rv == CKR_OK)
        rv = sk_signing_open(&e, WIRE_VERIFY, m, key);
    return sk_leave(&e, rv);
}

CK_RV C_VerifyMessage(CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_len, CK_BYTE *data,
                      CK_ULONG length, CK_BYTE *signature, CK_ULONG signature_len)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_VerifyMessage", session);

    if (rv == CKR_OK)
        rv = sk_signing_verify(&e, parameter, parameter_len, (struct wire_bytes){data, length},
                             (struct wire_bytes){signature, signature_len}, false);
    e.in = length;
    return sk_leave(&e, rv);
}

CK_RV C_VerifyMessageBegin(CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_len)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_VerifyMessageBegin", session);

    if (rv == CKR_OK)
        rv = sk_signing_begin(&e, WIRE_VERIFY, parameter, parameter_len);
    return sk_leave(&e, rv);
}

CK_RV C_VerifyMessageNext(CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_len, CK_BYTE *data,
                      CK_ULONG length, CK_BYTE *signature, CK_ULONG signature_len)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_VerifyMessageNext", session);

    if (rv == CKR_OK)
        rv = sk_signing_verify(&e, parameter, parameter_len, (struct wire_bytes){data, length},
                             (struct wire_bytes){signature, signature_len}, true);
    e.in = length;
    return sk_leave(&e, rv);
}

CK_RV C_MessageVerifyFinal(CK_SESSION_HANDLE session)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_MessageVerifyFinal", session);

    if (rv == CKR_OK)
        rv = sk_message_close(&e, WIRE_VERIFY);
    return sk_leave(&e, rv);
}
