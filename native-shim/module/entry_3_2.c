/* The functions that PKCS#11 3.2 adds: thin entries. Nothing here is asynchronous: a session that asks for it is not opened. */
#include "crypt.h"
#include "cryptoki32.h"
#include "kem.h"
#include "wrap_authenticated.h"

CK_RV C_EncapsulateKey(CK_SESSION_HANDLE session, CK_MECHANISM *m, CK_OBJECT_HANDLE to, CK_ATTRIBUTE *attributes,
                       CK_ULONG count, CK_BYTE *ciphertext, CK_ULONG *ciphertext_len, CK_OBJECT_HANDLE *out)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_EncapsulateKey", session);

    sk_note_mechanism(&e, m);
    e.object = to;
    e.out = ciphertext_len;
    if (rv == CKR_OK)
        rv = sk_encapsulate(&e, m, to, attributes, count, ciphertext, ciphertext_len, out);
    return sk_leave(&e, rv);
}

CK_RV C_DecapsulateKey(CK_SESSION_HANDLE session, CK_MECHANISM *m, CK_OBJECT_HANDLE by, CK_ATTRIBUTE *attributes,
                       CK_ULONG count, CK_BYTE *ciphertext, CK_ULONG ciphertext_len, CK_OBJECT_HANDLE *out)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_DecapsulateKey", session);

    sk_note_mechanism(&e, m);
    e.object = by;
    e.in = ciphertext_len;
    if (rv == CKR_OK)
        rv = sk_decapsulate(&e, m, by, attributes, count, ciphertext, ciphertext_len, out);
    return sk_leave(&e, rv);
}

/* Verification with the signature first */

CK_RV C_VerifySignatureInit(CK_SESSION_HANDLE session, CK_MECHANISM *m, CK_OBJECT_HANDLE key, CK_BYTE *signature,
                            CK_ULONG signature_len)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_VerifySignatureInit", session);

    sk_note_mechanism(&e, m);
    e.object = key;
    e.in = signature_len;
    if (rv == CKR_OK)
        rv = sk_crypt_verify_init(&e, m, key, signature, signature_len);
    return sk_leave(&e, rv);
}

CK_RV C_VerifySignature(CK_SESSION_HANDLE session, CK_BYTE *data, CK_ULONG length)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_VerifySignature", session);

    if (rv == CKR_OK)
        rv = sk_crypt_verify_given(&e, data, length, false);
    return sk_leave(&e, rv);
}

CK_RV C_VerifySignatureUpdate(CK_SESSION_HANDLE session, CK_BYTE *data, CK_ULONG length)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_VerifySignatureUpdate", session);

    if (rv == CKR_OK)
        rv = sk_crypt_verify_update(&e, data, length, true);
    return sk_leave(&e, rv);
}

CK_RV C_VerifySignatureFinal(CK_SESSION_HANDLE session)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_VerifySignatureFinal", session);

    if (rv == CKR_OK)
        rv = sk_crypt_verify_given(&e, NULL, 0, true);
    return sk_leave(&e, rv);
}

/* No validation is claimed: no flag is ever set (PKCS#11 3.2, 4.15.3). */
CK_RV C_GetSessionValidationFlags(CK_SESSION_HANDLE session, CK_SESSION_VALIDATION_FLAGS_TYPE type, CK_FLAGS *flags)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_GetSessionValidationFlags", session);

    (void)type;
    if (rv == CKR_OK && !flags)
        rv = CKR_ARGUMENTS_BAD;
    if (rv == CKR_OK)
        *flags = 0;
    return sk_leave(&e, rv);
}

/* Asynchronous operation (PKCS#11 3.2, 5.22): no session is opened for it, so no function is ever under way. */

static CK_RV none_under_way(const char *name, CK_SESSION_HANDLE session, const CK_UTF8CHAR *function, CK_RV answer)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, name, session);

    if (rv == CKR_OK)
        rv = function && *function ? answer : CKR_ARGUMENTS_BAD;
    return sk_leave(&e, rv);
}

CK_RV C_AsyncComplete(CK_SESSION_HANDLE session, CK_UTF8CHAR *function, void *result)
{
    (void)result;
    return none_under_way("C_AsyncComplete", session, function, CKR_OPERATION_NOT_INITIALIZED);
}

CK_RV C_AsyncGetID(CK_SESSION_HANDLE session, CK_UTF8CHAR *function, CK_ULONG *id)
{
    return none_under_way("C_AsyncGetID", session, function, id ? CKR_OPERATION_NOT_INITIALIZED : CKR_ARGUMENTS_BAD);
}

CK_RV C_AsyncJoin(CK_SESSION_HANDLE session, CK_UTF8CHAR *function, CK_ULONG id, CK_BYTE *data, CK_ULONG length)
{
    (void)id, (void)data, (void)length;
    return none_under_way("C_AsyncJoin", session, function, CKR_SAVED_STATE_INVALID);
}

/* Wrapping with associated data */

CK_RV C_WrapKeyAuthenticated(CK_SESSION_HANDLE session, CK_MECHANISM *m, CK_OBJECT_HANDLE by, CK_OBJECT_HANDLE key,
                             CK_BYTE *associated, CK_ULONG associated_len, CK_BYTE *wrapped, CK_ULONG *wrapped_len)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_WrapKeyAuthenticated", session);

    sk_note_mechanism(&e, m);
    e.object = key;
    e.out = wrapped_len;
    if (rv == CKR_OK)
        rv = sk_wrap_authenticated(&e, m, by, key, (struct wire_bytes){associated, associated_len}, wrapped, wrapped_len);
    return sk_leave(&e, rv);
}

CK_RV C_UnwrapKeyAuthenticated(CK_SESSION_HANDLE session, CK_MECHANISM *m, CK_OBJECT_HANDLE by, CK_BYTE *wrapped,
                               CK_ULONG wrapped_len, CK_ATTRIBUTE *attributes, CK_ULONG count, CK_BYTE *associated,
                               CK_ULONG associated_len, CK_OBJECT_HANDLE *out)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_UnwrapKeyAuthenticated", session);

    sk_note_mechanism(&e, m);
    e.object = by;
    e.in = wrapped_len;
    if (rv == CKR_OK)
        rv = sk_unwrap_authenticated(&e, m, by, (struct wire_bytes){wrapped, wrapped_len}, attributes, count,
                                     (struct wire_bytes){associated, associated_len}, out);
    return sk_leave(&e, rv);
}
