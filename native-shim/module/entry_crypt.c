/*
 * The cryptographic functions of the API: thin entries to crypt.c. What differs in nothing but its operation shares an entry. Signing with
 * recovery of the data: PKCS#11 3.1, 5.13.5 and 5.15.5.
 */
#include "crypt.h"
#include "digest_key.h"
#include "slot.h"

static CK_RV init(const char *function, enum wire_operation kind, CK_SESSION_HANDLE session, const CK_MECHANISM *m,
                  CK_OBJECT_HANDLE key)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, function, session);

    sk_note_mechanism(&e, m);
    e.object = key;
    if (rv == CKR_OK)
        rv = sk_crypt_init(&e, kind, m, key);
    return sk_leave(&e, rv);
}

static CK_RV single(const char *function, enum wire_operation kind, CK_SESSION_HANDLE session, const CK_BYTE *in, CK_ULONG in_len,
                    CK_BYTE *out, CK_ULONG *out_len)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, function, session);

    if (rv == CKR_OK)
        rv = sk_crypt_single(&e, kind, in, in_len, out, out_len);
    return sk_leave(&e, rv);
}

/* `out_len` NULL: nothing comes out before the end. */
static CK_RV update(const char *function, enum wire_operation kind, CK_SESSION_HANDLE session, const CK_BYTE *in, CK_ULONG in_len,
                    CK_BYTE *out, CK_ULONG *out_len)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, function, session);

    if (rv == CKR_OK)
        rv = sk_crypt_update(&e, kind, in, in_len, out, out_len);
    return sk_leave(&e, rv);
}

static CK_RV final(const char *function, enum wire_operation kind, CK_SESSION_HANDLE session, CK_BYTE *out, CK_ULONG *out_len)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, function, session);

    if (rv == CKR_OK)
        rv = sk_crypt_final(&e, kind, out, out_len);
    return sk_leave(&e, rv);
}

/* Encrypt */

CK_RV C_EncryptInit(CK_SESSION_HANDLE session, CK_MECHANISM *m, CK_OBJECT_HANDLE key)
{
    return init(__func__, WIRE_ENCRYPT, session, m, key);
}

CK_RV C_Encrypt(CK_SESSION_HANDLE session, CK_BYTE *data, CK_ULONG length, CK_BYTE *out, CK_ULONG *out_len)
{
    return single(__func__, WIRE_ENCRYPT, session, data, length, out, out_len);
}

CK_RV C_EncryptUpdate(CK_SESSION_HANDLE session, CK_BYTE *data, CK_ULONG length, CK_BYTE *out, CK_ULONG *out_len)
{
    return update(__func__, WIRE_ENCRYPT, session, data, length, out, out_len);
}

CK_RV C_EncryptFinal(CK_SESSION_HANDLE session, CK_BYTE *out, CK_ULONG *out_len)
{
    return final(__func__, WIRE_ENCRYPT, session, out, out_len);
}

/* Decrypt */

CK_RV C_DecryptInit(CK_SESSION_HANDLE session, CK_MECHANISM *m, CK_OBJECT_HANDLE key)
{
    return init(__func__, WIRE_DECRYPT, session, m, key);
}

CK_RV C_Decrypt(CK_SESSION_HANDLE session, CK_BYTE *data, CK_ULONG length, CK_BYTE *out, CK_ULONG *out_len)
{
    return single(__func__, WIRE_DECRYPT, session, data, length, out, out_len);
}

CK_RV C_DecryptUpdate(CK_SESSION_HANDLE session, CK_BYTE *data, CK_ULONG length, CK_BYTE *out, CK_ULONG *out_len)
{
    return update(__func__, WIRE_DECRYPT, session, data, length, out, out_len);
}

CK_RV C_DecryptFinal(CK_SESSION_HANDLE session, CK_BYTE *out, CK_ULONG *out_len)
{
    return final(__func__, WIRE_DECRYPT, session, out, out_len);
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
    return single(__func__, WIRE_DIGEST, session, data, length, digest, digest_len);
}

CK_RV C_DigestUpdate(CK_SESSION_HANDLE session, CK_BYTE *data, CK_ULONG length)
{
    return update(__func__, WIRE_DIGEST, session, data, length, NULL, NULL);
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
    return final(__func__, WIRE_DIGEST, session, digest, digest_len);
}

/* Sign */

CK_RV C_SignInit(CK_SESSION_HANDLE session, CK_MECHANISM *m, CK_OBJECT_HANDLE key)
{
    return init(__func__, WIRE_SIGN, session, m, key);
}

CK_RV C_Sign(CK_SESSION_HANDLE session, CK_BYTE *data, CK_ULONG length, CK_BYTE *signature, CK_ULONG *signature_len)
{
    return single(__func__, WIRE_SIGN, session, data, length, signature, signature_len);
}

CK_RV C_SignUpdate(CK_SESSION_HANDLE session, CK_BYTE *data, CK_ULONG length)
{
    return update(__func__, WIRE_SIGN, session, data, length, NULL, NULL);
}

CK_RV C_SignFinal(CK_SESSION_HANDLE session, CK_BYTE *signature, CK_ULONG *signature_len)
{
    return final(__func__, WIRE_SIGN, session, signature, signature_len);
}

CK_RV C_SignRecoverInit(CK_SESSION_HANDLE session, CK_MECHANISM *m, CK_OBJECT_HANDLE key)
{
    return init(__func__, WIRE_SIGN_RECOVER, session, m, key);
}

CK_RV C_SignRecover(CK_SESSION_HANDLE session, CK_BYTE *data, CK_ULONG data_len, CK_BYTE *signature, CK_ULONG *signature_len)
{
    return single(__func__, WIRE_SIGN_RECOVER, session, data, data_len, signature, signature_len);
}

/* Verify */

CK_RV C_VerifyInit(CK_SESSION_HANDLE session, CK_MECHANISM *m, CK_OBJECT_HANDLE key)
{
    return init(__func__, WIRE_VERIFY, session, m, key);
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

CK_RV C_VerifyRecoverInit(CK_SESSION_HANDLE session, CK_MECHANISM *m, CK_OBJECT_HANDLE key)
{
    return init(__func__, WIRE_VERIFY_RECOVER, session, m, key);
}

CK_RV C_VerifyRecover(CK_SESSION_HANDLE session, CK_BYTE *signature, CK_ULONG signature_len, CK_BYTE *data, CK_ULONG *data_len)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_VerifyRecover", session);

    if (rv == CKR_OK)
        rv = sk_crypt_single(&e, WIRE_VERIFY_RECOVER, signature, signature_len, data, data_len);
    return sk_leave(&e, rv == CKR_DATA_LEN_RANGE ? CKR_SIGNATURE_LEN_RANGE : rv);
}
