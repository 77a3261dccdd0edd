/*
 * The cryptographic functions of the API: thin entries to crypt.c and key.c.
 */
#include "crypt.h"
#include "find.h"
#include "key.h"

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

CK_RV C_DigestInit(CK_SESSION_HANDLE session, CK_MECHANISM *m)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_DigestInit", session);

    sk_note_mechanism(&e, m);
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

/* No key gives its bytes to a digest: they are not in this process. */
CK_RV C_DigestKey(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_DigestKey", session);

    e.object = key;
    if (rv == CKR_OK)
        rv = CKR_KEY_INDIGESTIBLE;
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
        rv = sk_crypt_update(&e, WIRE_VERIFY, data, length, NULL, NULL);
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

/* Cancelling (PKCS#11 3.1, 5.6.12). Flags of operations that this module does not have are passed over. */

static CK_RV cancel(struct sk_entry *e, CK_FLAGS flags)
{
    static const struct {
        CK_FLAGS flag;
        enum wire_operation kind;
    } rows[] = {{CKF_ENCRYPT, WIRE_ENCRYPT},
                {CKF_DECRYPT, WIRE_DECRYPT},
                {CKF_DIGEST, WIRE_DIGEST},
                {CKF_SIGN, WIRE_SIGN},
                {CKF_VERIFY, WIRE_VERIFY}};
    CK_RV rv = CKR_OK;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (flags & rows[i].flag && sk_crypt_cancel(e, rows[i].kind) != CKR_OK)
            rv = CKR_OPERATION_CANCEL_FAILED;
    if (flags & CKF_FIND_OBJECTS && sk_find_final(e) == CKR_OPERATION_ACTIVE)
        rv = CKR_OPERATION_CANCEL_FAILED;
    return rv;
}

CK_RV C_SessionCancel(CK_SESSION_HANDLE session, CK_FLAGS flags)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_SessionCancel", session);

    if (rv == CKR_OK)
        rv = cancel(&e, flags);
    return sk_leave(&e, rv);
}

/* Keys */

CK_RV C_GenerateKey(CK_SESSION_HANDLE session, CK_MECHANISM *m, CK_ATTRIBUTE *attributes, CK_ULONG count,
                    CK_OBJECT_HANDLE *out)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_GenerateKey", session);

    sk_note_mechanism(&e, m);
    if (rv == CKR_OK)
        rv = sk_key_generate(&e, m, attributes, count, out);
    return sk_leave(&e, rv);
}

CK_RV C_GenerateKeyPair(CK_SESSION_HANDLE session, CK_MECHANISM *m, CK_ATTRIBUTE *public_attributes,
                        CK_ULONG public_count, CK_ATTRIBUTE *private_attributes, CK_ULONG private_count,
                        CK_OBJECT_HANDLE *public_out, CK_OBJECT_HANDLE *private_out)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_GenerateKeyPair", session);

    sk_note_mechanism(&e, m);
    if (rv == CKR_OK)
        rv = sk_key_generate_pair(&e, m, public_attributes, public_count, private_attributes, private_count,
                                  public_out, private_out);
    return sk_leave(&e, rv);
}

CK_RV C_WrapKey(CK_SESSION_HANDLE session, CK_MECHANISM *m, CK_OBJECT_HANDLE by, CK_OBJECT_HANDLE key, CK_BYTE *out,
                CK_ULONG *out_len)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_WrapKey", session);

    sk_note_mechanism(&e, m);
    e.object = key;
    e.out = out_len;
    if (rv == CKR_OK)
        rv = sk_key_wrap(&e, m, by, key, out, out_len);
    return sk_leave(&e, rv);
}

CK_RV C_UnwrapKey(CK_SESSION_HANDLE session, CK_MECHANISM *m, CK_OBJECT_HANDLE by, CK_BYTE *wrapped,
                  CK_ULONG wrapped_len, CK_ATTRIBUTE *attributes, CK_ULONG count, CK_OBJECT_HANDLE *out)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_UnwrapKey", session);

    sk_note_mechanism(&e, m);
    e.object = by;
    if (rv == CKR_OK)
        rv = sk_key_unwrap(&e, m, by, wrapped, wrapped_len, attributes, count, out);
    return sk_leave(&e, rv);
}

CK_RV C_DeriveKey(CK_SESSION_HANDLE session, CK_MECHANISM *m, CK_OBJECT_HANDLE base, CK_ATTRIBUTE *attributes,
                  CK_ULONG count, CK_OBJECT_HANDLE *out)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_DeriveKey", session);

    sk_note_mechanism(&e, m);
    e.object = base;
    if (rv == CKR_OK)
        rv = sk_key_derive(&e, m, base, attributes, count, out);
    return sk_leave(&e, rv);
}

/* Randomness. The kernel seeds it: an application's seed is refused, which callers take for success. */

CK_RV C_SeedRandom(CK_SESSION_HANDLE session, CK_BYTE *seed, CK_ULONG length)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_SeedRandom", session);

    if (rv == CKR_OK)
        rv = seed || !length ? CKR_RANDOM_SEED_NOT_SUPPORTED : CKR_ARGUMENTS_BAD;
    return sk_leave(&e, rv);
}

CK_RV C_GenerateRandom(CK_SESSION_HANDLE session, CK_BYTE *out, CK_ULONG length)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_GenerateRandom", session);

    if (rv == CKR_OK)
        rv = sk_random(&e, out, length);
    return sk_leave(&e, rv);
}
