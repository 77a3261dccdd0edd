/* The functions of the API that sign with recovery of the data (PKCS#11 3.1, 5.13.5 and 5.15.5): thin entries to crypt.c. */
#include "crypt.h"

CK_RV C_SignRecoverInit(CK_SESSION_HANDLE session, CK_MECHANISM *m, CK_OBJECT_HANDLE key)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_SignRecoverInit", session);

    sk_note_mechanism(&e, m);
    e.object = key;
    if (rv == CKR_OK)
        rv = sk_crypt_init(&e, WIRE_SIGN_RECOVER, m, key);
    return sk_leave(&e, rv);
}

CK_RV C_SignRecover(CK_SESSION_HANDLE session, CK_BYTE *data, CK_ULONG data_len, CK_BYTE *signature, CK_ULONG *signature_len)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_SignRecover", session);

    if (rv == CKR_OK)
        rv = sk_crypt_single(&e, WIRE_SIGN_RECOVER, data, data_len, signature, signature_len);
    return sk_leave(&e, rv);
}

CK_RV C_VerifyRecoverInit(CK_SESSION_HANDLE session, CK_MECHANISM *m, CK_OBJECT_HANDLE key)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_VerifyRecoverInit", session);

    sk_note_mechanism(&e, m);
    e.object = key;
    if (rv == CKR_OK)
        rv = sk_crypt_init(&e, WIRE_VERIFY_RECOVER, m, key);
    return sk_leave(&e, rv);
}

CK_RV C_VerifyRecover(CK_SESSION_HANDLE session, CK_BYTE *signature, CK_ULONG signature_len, CK_BYTE *data, CK_ULONG *data_len)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_VerifyRecover", session);

    if (rv == CKR_OK)
        rv = sk_crypt_single(&e, WIRE_VERIFY_RECOVER, signature, signature_len, data, data_len);
    return sk_leave(&e, rv == CKR_DATA_LEN_RANGE ? CKR_SIGNATURE_LEN_RANGE : rv);
}
