/* Message-based encryption and decryption: thin entries to message_aead.c, each shared by the two. */
#include "message.h"
#include "message_aead.h"

static CK_RV open_key(const char *function, enum wire_operation kind, CK_SESSION_HANDLE session, const CK_MECHANISM *m,
                      CK_OBJECT_HANDLE key)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, function, session);

    sk_note_mechanism(&e, m);
    e.object = key;
    if (rv == CKR_OK)
        rv = sk_aead_open(&e, kind, m, key);
    return sk_leave(&e, rv);
}

static CK_RV whole(const char *function, enum wire_operation kind, CK_SESSION_HANDLE session, const void *parameter,
                   CK_ULONG parameter_len, struct wire_bytes associated, struct wire_bytes in, CK_BYTE *out, CK_ULONG *out_len)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, function, session);

    if (rv == CKR_OK)
        rv = sk_aead_run(&e, kind, parameter, parameter_len, associated, in, out, out_len);
    e.in = in.length;
    e.out = out_len;
    return sk_leave(&e, rv);
}

static CK_RV begin(const char *function, enum wire_operation kind, CK_SESSION_HANDLE session, const void *parameter,
                   CK_ULONG parameter_len, struct wire_bytes associated)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, function, session);

    if (rv == CKR_OK)
        rv = sk_aead_begin(&e, kind, parameter, parameter_len, associated);
    return sk_leave(&e, rv);
}

static CK_RV next(const char *function, enum wire_operation kind, CK_SESSION_HANDLE session, const void *parameter,
                  CK_ULONG parameter_len, struct wire_bytes in, CK_BYTE *out, CK_ULONG *out_len, CK_FLAGS flags)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, function, session);

    if (rv == CKR_OK)
        rv = sk_aead_next(&e, kind, parameter, parameter_len, in, out, out_len, flags & CKF_END_OF_MESSAGE);
    e.in = in.length;
    e.out = out_len;
    return sk_leave(&e, rv);
}

static CK_RV close_key(const char *function, enum wire_operation kind, CK_SESSION_HANDLE session)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, function, session);

    if (rv == CKR_OK)
        rv = sk_message_close(&e, kind);
    return sk_leave(&e, rv);
}

/* Encrypt */

CK_RV C_MessageEncryptInit(CK_SESSION_HANDLE session, CK_MECHANISM *m, CK_OBJECT_HANDLE key)
{
    return open_key(__func__, WIRE_ENCRYPT, session, m, key);
}

CK_RV C_EncryptMessage(CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_len, CK_BYTE *associated,
                       CK_ULONG associated_len, CK_BYTE *in, CK_ULONG in_len, CK_BYTE *out, CK_ULONG *out_len)
{
    return whole(__func__, WIRE_ENCRYPT, session, parameter, parameter_len, (struct wire_bytes){associated, associated_len},
                 (struct wire_bytes){in, in_len}, out, out_len);
}

CK_RV C_EncryptMessageBegin(CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_len, CK_BYTE *associated,
                            CK_ULONG associated_len)
{
    return begin(__func__, WIRE_ENCRYPT, session, parameter, parameter_len, (struct wire_bytes){associated, associated_len});
}

CK_RV C_EncryptMessageNext(CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_len, CK_BYTE *in,
                           CK_ULONG in_len, CK_BYTE *out, CK_ULONG *out_len, CK_FLAGS flags)
{
    return next(__func__, WIRE_ENCRYPT, session, parameter, parameter_len, (struct wire_bytes){in, in_len}, out, out_len, flags);
}

CK_RV C_MessageEncryptFinal(CK_SESSION_HANDLE session) { return close_key(__func__, WIRE_ENCRYPT, session); }

/* Decrypt */

CK_RV C_MessageDecryptInit(CK_SESSION_HANDLE session, CK_MECHANISM *m, CK_OBJECT_HANDLE key)
{
    return open_key(__func__, WIRE_DECRYPT, session, m, key);
}

CK_RV C_DecryptMessage(CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_len, CK_BYTE *associated,
                       CK_ULONG associated_len, CK_BYTE *in, CK_ULONG in_len, CK_BYTE *out, CK_ULONG *out_len)
{
    return whole(__func__, WIRE_DECRYPT, session, parameter, parameter_len, (struct wire_bytes){associated, associated_len},
                 (struct wire_bytes){in, in_len}, out, out_len);
}

CK_RV C_DecryptMessageBegin(CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_len, CK_BYTE *associated,
                            CK_ULONG associated_len)
{
    return begin(__func__, WIRE_DECRYPT, session, parameter, parameter_len, (struct wire_bytes){associated, associated_len});
}

CK_RV C_DecryptMessageNext(CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_len, CK_BYTE *in,
                           CK_ULONG in_len, CK_BYTE *out, CK_ULONG *out_len, CK_FLAGS flags)
{
    return next(__func__, WIRE_DECRYPT, session, parameter, parameter_len, (struct wire_bytes){in, in_len}, out, out_len, flags);
}

CK_RV C_MessageDecryptFinal(CK_SESSION_HANDLE session) { return close_key(__func__, WIRE_DECRYPT, session); }
