/* Message-based signatures: thin entries to message_sign.c. */
#include "message.h"
#include "message_sign.h"

static CK_RV open_key(const char *function, enum wire_operation kind, CK_SESSION_HANDLE session, const CK_MECHANISM *m,
                      CK_OBJECT_HANDLE key)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, function, session);

    sk_note_mechanism(&e, m);
    e.object = key;
    if (rv == CKR_OK)
        rv = sk_signing_open(&e, kind, m, key);
    return sk_leave(&e, rv);
}

static CK_RV begin(const char *function, enum wire_operation kind, CK_SESSION_HANDLE session, const void *parameter,
                   CK_ULONG parameter_len)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, function, session);

    if (rv == CKR_OK)
        rv = sk_signing_begin(&e, kind, parameter, parameter_len);
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

/* Sign */

/* `begun`: the next part, else the whole message. */
static CK_RV sign(const char *function, bool begun, CK_SESSION_HANDLE session, const void *parameter, CK_ULONG parameter_len,
                  struct wire_bytes data, CK_BYTE *signature, CK_ULONG *signature_len)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, function, session);

    if (rv == CKR_OK)
        rv = sk_signing_sign(&e, parameter, parameter_len, data, signature, signature_len, begun);
    e.in = data.length;
    e.out = signature_len;
    return sk_leave(&e, rv);
}

CK_RV C_MessageSignInit(CK_SESSION_HANDLE session, CK_MECHANISM *m, CK_OBJECT_HANDLE key)
{
    return open_key(__func__, WIRE_SIGN, session, m, key);
}

CK_RV C_SignMessage(CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_len, CK_BYTE *data, CK_ULONG length,
                    CK_BYTE *signature, CK_ULONG *signature_len)
{
    return sign(__func__, false, session, parameter, parameter_len, (struct wire_bytes){data, length}, signature, signature_len);
}

CK_RV C_SignMessageBegin(CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_len)
{
    return begin(__func__, WIRE_SIGN, session, parameter, parameter_len);
}

CK_RV C_SignMessageNext(CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_len, CK_BYTE *data, CK_ULONG length,
                        CK_BYTE *signature, CK_ULONG *signature_len)
{
    return sign(__func__, true, session, parameter, parameter_len, (struct wire_bytes){data, length}, signature, signature_len);
}

CK_RV C_MessageSignFinal(CK_SESSION_HANDLE session) { return close_key(__func__, WIRE_SIGN, session); }

/* Verify */

static CK_RV verify(const char *function, bool begun, CK_SESSION_HANDLE session, const void *parameter, CK_ULONG parameter_len,
                    struct wire_bytes data, struct wire_bytes signature)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, function, session);

    if (rv == CKR_OK)
        rv = sk_signing_verify(&e, parameter, parameter_len, data, signature, begun);
    e.in = data.length;
    return sk_leave(&e, rv);
}

CK_RV C_MessageVerifyInit(CK_SESSION_HANDLE session, CK_MECHANISM *m, CK_OBJECT_HANDLE key)
{
    return open_key(__func__, WIRE_VERIFY, session, m, key);
}

CK_RV C_VerifyMessage(CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_len, CK_BYTE *data, CK_ULONG length,
                      CK_BYTE *signature, CK_ULONG signature_len)
{
    return verify(__func__, false, session, parameter, parameter_len, (struct wire_bytes){data, length},
                  (struct wire_bytes){signature, signature_len});
}

CK_RV C_VerifyMessageBegin(CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_len)
{
    return begin(__func__, WIRE_VERIFY, session, parameter, parameter_len);
}

CK_RV C_VerifyMessageNext(CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_len, CK_BYTE *data, CK_ULONG length,
                          CK_BYTE *signature, CK_ULONG signature_len)
{
    return verify(__func__, true, session, parameter, parameter_len, (struct wire_bytes){data, length},
                  (struct wire_bytes){signature, signature_len});
}

CK_RV C_MessageVerifyFinal(CK_SESSION_HANDLE session) { return close_key(__func__, WIRE_VERIFY, session); }
