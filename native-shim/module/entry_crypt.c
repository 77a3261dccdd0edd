/*
 * The cryptographic functions of the API: thin entries to crypt.c.
 */
#include "crypt.h"
#include "digest_key.h"
#include "slot.h"

/* Encrypt */

CK_RV C_EncryptInit(CK_SESSION_HANDLE session, CK_MECHANISM *m, CK_OBJECT_HANDLE key)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_EncryptInit", session);

    sk_note_mechanism(&e, m);
    e.object = key;
    if (rv == CKR_OK)
        rv = sk_crypt_init(&e, WIRE_ENCRYPT, m, key);
    return sk_leave(&e, rv);
}

CK_RV C_Encrypt(CK_SESSION_HANDLE session, CK_BYTE *data, CK_ULONG length, CK_BYTE *out, CK_ULONG *out_len)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_Encrypt", session);

    if (rv == CKR_OK)
        rv = sk_crypt_single(&e, WIRE_ENCRYPT, data, length, out, out_len);
    return sk_leave(&e, rv);
}

CK_RV C_EncryptUpdate(CK_SESSION_HANDLE session, CK_BYTE *data, CK_ULONG length, CK_BYTE *out, CK_ULONG *out_len)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_EncryptUpdate", session);

    if (rv == CKR_OK)
        rv = sk_crypt_update(&e, WIRE_ENCRYPT, data, length, out, out_len);
    return sk_leave(&e, rv);
}

CK_RV C_EncryptFinal(CK_SESSION_HANDLE session, CK_BYTE *out, CK_ULONG *out_len)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_EncryptFinal", session);

    if (rv == CKR_OK)
        rv = sk_crypt_final(&e, WIRE_ENCRYPT, out, out_len);
    return sk_leave(&e, rv);
}

/* Decrypt */

CK_RV C_DecryptInit(CK_SESSION_HANDLE session, CK_MECHANISM *m, CK_OBJECT_HANDLE key)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_DecryptInit", session);

    sk_note_mechanism(&e, m);
    e.object = key;
    if (rv == CKR_OK)
        rv = sk_crypt_init(&e, WIRE_DECRYPT, m, key);
    return sk_leave(&e, rv);
}

CK_RV C_Decrypt(CK_SESSION_HANDLE session, CK_BYTE *data, CK_ULONG length, CK_BYTE *out, CK_ULONG *out_len)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_Decrypt", session);

    if (rv == CKR_OK)
        rv = sk_crypt_single(&e, WIRE_DECRYPT, data, length, out, out_len);
    return sk_leave(&e, rv);
}

CK_RV C_DecryptUpdate(CK_SESSION_HANDLE session, CK_BYTE *data, CK_ULONG length, CK_BYTE *out, CK_ULONG *out_len)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_DecryptUpdate", session);

    if (rv == CKR_OK)
        rv = sk_crypt_update(&e, WIRE_DECRYPT, data, length, out, out_len);
    return sk_leave(&e, rv);
}

CK_RV C_DecryptFinal(CK_SESSION_HANDLE session, CK_BYTE *out, CK_ULONG *out_len)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_DecryptFinal", session);

    if (rv == CKR_OK)
        rv = sk_crypt_final(&e, WIRE_DECRYPT, out, out_len);
    return sk_leave(&e, rv);
}

/* Digest */

/* A digest has no key that the agent is asked for: whether the token offers it is asked here, unless every token does. */
static CK_RV check_offered(struct sk_entry *e, const CK_MECHANISM *m)
{
    const struct wire_mechanism *row = m ? wire_mechanism_find(m->mechanism) : NULL;
    CK_MECHANISM_INFO info;

    if (!row || !(row->flags & CAN_DIGEST) || row->standing == STANDING_approved)
        return CKR_OK;
    return sk_mechanism_info(e, e->session->slot, m->mechanism, &info);
}

CK_RV C_DigestInit(CK_SESSION_HANDLE session, CK_MECHANISM *m)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_DigestInit", session);

    sk_note_mechanism(&e, m);
    if (rv == CKR_OK)
        rv = check_offered(&e, m);
    if (rv == CKR_OK)
        rv = sk_crypt_init(&e, WIRE_DIGEST, m, 0);
    return sk_leave(&e, rv);
}

CK_RV C_Digest(CK_SESSION_HANDLE session, CK_BYTE *data, CK_ULONG length, CK_BYTE *digest, CK_ULONG *digest_len)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_Digest", session);

    if (rv == CKR_OK)
        rv = sk_crypt_single(&e, WIRE_DIGEST, data, length, digest, digest_len);
    return sk_leave(&e, rv);
}

CK_RV C_DigestUpdate(CK_SESSION_HANDLE session, CK_BYTE *data, CK_ULONG length)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_DigestUpdate", session);

    if (rv == CKR_OK)
        rv = sk_crypt_update(&e, WIRE_DIGEST, data, length, NULL, NULL);
    return sk_leave(&e, rv);
}

CK_RV C_DigestKey(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_DigestKey", session);

    e.object = key;
    if (rv == CKR_OK)
        rv = sk_digest_key(&e, key);
    return sk_leave(&e, rv);
}

CK_RV C_DigestFinal(CK_SESSION_HANDLE session, CK_BYTE *digest, CK_ULONG *digest_len)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_DigestFinal", session);

    if (rv == CKR_OK)
        rv = sk_crypt_final(&e, WIRE_DIGEST, digest, digest_len);
    return sk_leave(&e, rv);
}

/* Sign */

CK_RV C_SignInit(CK_SESSION_HANDLE session, CK_MECHANISM *m, CK_OBJECT_HANDLE key)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_SignInit", session);

    sk_note_mechanism(&e, m);
    e.object = key;
    if (rv == CKR_OK)
        rv = sk_crypt_init(&e, WIRE_SIGN, m, key);
    return sk_leave(&e, rv);
}

CK_RV C_Sign(CK_SESSION_HANDLE session, CK_BYTE *data, CK_ULONG length, CK_BYTE *signature, CK_ULONG *signature_len)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_Sign", session);

    if (rv == CKR_OK)
        rv = sk_crypt_single(&e, WIRE_SIGN, data, length, signature, signature_len);
    return sk_leave(&e, rv);
}

CK_RV C_SignUpdate(CK_SESSION_HANDLE session, CK_BYTE *data, CK_ULONG length)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_SignUpdate", session);

    if (rv == CKR_OK)
        rv = sk_crypt_update(&e, WIRE_SIGN, data, length, NULL, NULL);
    return sk_leave(&e, rv);
}

CK_RV C_SignFinal(CK_SESSION_HANDLE session, CK_BYTE *signature, CK_ULONG *signature_len)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_SignFinal", session);

    if (rv == CKR_OK)
        rv = sk_crypt_final(&e, WIRE_SIGN, signature, signature_len);
    return sk_leave(&e, rv);
}

/* Verify */

CK_RV C_VerifyInit(CK_SESSION_HANDLE session, CK_MECHANISM *m, CK_OBJECT_HANDLE key)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_VerifyInit", session);

    sk_note_mechanism(&e, m);
    e.object = key;
    if (rv == CKR_OK)
        rv = sk_crypt_init(&e, WIRE_VERIFY, m, key);
    return sk_leave(&e, rv);
}

CK_RV C_Verify(CK_SESSION_HANDLE session, CK_BYTE *data, CK_ULONG length, CK_BYTE *signature, CK_ULONG signature_len)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_Verify", session);

    if (rv == CKR_OK)
        rv = sk_crypt_verify(&e, data, length, signature, signature_len, false);
    return sk_leave(&e, rv);
}

CK_RV C_VerifyUpdate(CK_SESSION_HANDLE session, CK_BYTE *data, CK_ULONG length)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_VerifyUpdate", session);

    if (rv == CKR_OK)
        rv = sk_crypt_verify_update(&e, data, length, false);
    return sk_leave(&e, rv);
}

CK_RV C_VerifyFinal(CK_SESSION_HANDLE session, CK_BYTE *signature, CK_ULONG signature_len)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_VerifyFinal", session);

    if (rv == CKR_OK)
        rv = sk_crypt_verify(&e, NULL, 0, signature, signature_len, true);
    return sk_leave(&e, rv);
}
