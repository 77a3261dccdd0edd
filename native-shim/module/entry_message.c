/* Message-based encryption and decryption: thin entries to message_aead.c. */
#include "message.h"
#include "message_aead.h"

CK_RV C_MessageEncryptInit(CK_SESSION_HANDLE session, CK_MECHANISM *m, CK_OBJECT_HANDLE key)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_MessageEncryptInit", session);

    sk_note_mechanism(&e, m);
    e.object = key;
    if (rv == CKR_OK)
        rv = sk_aead_open(&e, WIRE_ENCRYPT, m, key);
    return sk_leave(&e, rv);
}

CK_RV C_EncryptMessage(CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_len, CK_BYTE *associated,
                       CK_ULONG associated_len, CK_BYTE *in, CK_ULONG in_len, CK_BYTE *out, CK_ULONG *out_len)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_EncryptMessage", session);

    if (rv == CKR_OK)
        rv = sk_aead_run(&e, WIRE_ENCRYPT, parameter, parameter_len, (struct wire_bytes){associated, associated_len},
                        (struct wire_bytes){in, in_len}, out, out_len);
    e.in = in_len;
    e.out = out_len;
    return sk_leave(&e, rv);
}

CK_RV C_EncryptMessageBegin(CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_len, CK_BYTE *associated,
                            CK_ULONG associated_len)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_EncryptMessageBegin", session);

    if (rv == CKR_OK)
        rv = sk_aead_begin(&e, WIRE_ENCRYPT, parameter, parameter_len, (struct wire_bytes){associated, associated_len});
    return sk_leave(&e, rv);
}

CK_RV C_EncryptMessageNext(CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_len, CK_BYTE *in,
                           CK_ULONG in_len, CK_BYTE *out, CK_ULONG *out_len, CK_FLAGS flags)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_EncryptMessageNext", session);

    if (rv == CKR_OK)
        rv = sk_aead_next(&e, WIRE_ENCRYPT, parameter, parameter_len, (struct wire_bytes){in, in_len}, out, out_len,
                         flags & CKF_END_OF_MESSAGE);
    e.in = in_len;
    e.out = out_len;
    return sk_leave(&e, rv);
}

CK_RV C_MessageEncryptFinal(CK_SESSION_HANDLE session)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_MessageEncryptFinal", session);

    if (rv == CKR_OK)
        rv = sk_message_close(&e, WIRE_ENCRYPT);
    return sk_leave(&e, rv);
}

CK_RV C_MessageDecryptInit(CK_SESSION_HANDLE session, CK_MECHANISM *m, CK_OBJECT_HANDLE key)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_MessageDecryptInit", session);

    sk_note_mechanism(&e, m);
    e.object = key;
    if (rv == CKR_OK)
        rv = sk_aead_open(&e, WIRE_DECRYPT, m, key);
    return sk_leave(&e, rv);
}

CK_RV C_DecryptMessage(CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_len, CK_BYTE *associated,
                       CK_ULONG associated_len, CK_BYTE *in, CK_ULONG in_len, CK_BYTE *out, CK_ULONG *out_len)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_DecryptMessage", session);

    if (rv == CKR_OK)
        rv = sk_aead_run(&e, WIRE_DECRYPT, parameter, parameter_len, (struct wire_bytes){associated, associated_len},
                        (struct wire_bytes){in, in_len}, out, out_len);
    e.in = in_len;
    e.out = out_len;
    return sk_leave(&e, rv);
}

CK_RV C_DecryptMessageBegin(CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_len, CK_BYTE *associated,
                            CK_ULONG associated_len)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_DecryptMessageBegin", session);

    if (rv == CKR_OK)
        rv = sk_aead_begin(&e, WIRE_DECRYPT, parameter, parameter_len, (struct wire_bytes){associated, associated_len});
    return sk_leave(&e, rv);
}

CK_RV C_DecryptMessageNext(CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_len, CK_BYTE *in,
                           CK_ULONG in_len, CK_BYTE *out, CK_ULONG *out_len, CK_FLAGS flags)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_DecryptMessageNext", session);

    if (rv == CKR_OK)
        rv = sk_aead_next(&e, WIRE_DECRYPT, parameter, parameter_len, (struct wire_bytes){in, in_len}, out, out_len,
                         flags & CKF_END_OF_MESSAGE);
    e.in = in_len;
    e.out = out_len;
    return sk_leave(&e, rv);
}

CK_RV C_MessageDecryptFinal(CK_SESSION_HANDLE session)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_MessageDecryptFinal", session);

    if (rv == CKR_OK)
        rv = sk_message_close(&e, WIRE_DECRYPT);
    return sk_leave(&e, rv);
}
