/*
 * The cryptographic functions of the API: thin entries to crypt.c.
 */
#include "crypt.h"
#include "digest_key.h"
#include "find.h"
#include "message.h"
#include "slot.h"

#include "../wire/digest_state.h"

#include <string.h>

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

/* Cancelling (PKCS#11 3.1, 5.6.12). */

static CK_RV cancel(struct sk_entry *e, CK_FLAGS flags)
{
    static const struct {
        CK_FLAGS flag;
        enum wire_operation kind;
    } rows[] = {{CKF_ENCRYPT, WIRE_ENCRYPT},
                {CKF_DECRYPT, WIRE_DECRYPT},
                {CKF_DIGEST, WIRE_DIGEST},
                {CKF_SIGN, WIRE_SIGN},
                {CKF_VERIFY, WIRE_VERIFY},
                {CKF_SIGN_RECOVER, WIRE_SIGN_RECOVER},
                {CKF_VERIFY_RECOVER, WIRE_VERIFY_RECOVER}};
    static const CK_FLAGS of_messages[] = {[WIRE_ENCRYPT] = CKF_MESSAGE_ENCRYPT,
                                           [WIRE_DECRYPT] = CKF_MESSAGE_DECRYPT,
                                           [WIRE_SIGN] = CKF_MESSAGE_SIGN,
                                           [WIRE_VERIFY] = CKF_MESSAGE_VERIFY};
    CK_RV rv = CKR_OK;

    for (int kind = WIRE_ENCRYPT; kind <= WIRE_VERIFY; kind++)
        if (flags & of_messages[kind])
            sk_message_close(e, (enum wire_operation)kind);
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

/* Saving (PKCS#11 3.1, 5.6.4). An operation is at work in the keeper, and OpenSSL tells no part of it: no state leaves, so that
 * none that comes is ours. */

static bool any_active(struct sk_session *s)
{
    bool active = false;

    for (int kind = WIRE_ENCRYPT; kind < WIRE_OPERATIONS && !active; kind++)
        active = sk_crypt_is_active(s, (enum wire_operation)kind);
    return active;
}

/* Of a session that does nothing but digest. */
static CK_RV save_state(struct sk_entry *e, CK_BYTE *state, CK_ULONG *length)
{
    CK_BYTE bytes[WIRE_DIGEST_STATE_MAX];
    CK_ULONG found = sizeof(bytes), room = *length;
    CK_RV rv;

    for (enum wire_operation kind = WIRE_ENCRYPT; kind < WIRE_OPERATIONS; kind++)
        if (kind != WIRE_DIGEST && sk_crypt_is_active(e->session, kind))
            return CKR_STATE_UNSAVEABLE;
    rv = sk_crypt_save(e, bytes, &found);
    if (rv == CKR_OK) {
        *length = found;
        rv = state && room < found ? CKR_BUFFER_TOO_SMALL : CKR_OK;
    }
    if (rv == CKR_OK && state)
        memcpy(state, bytes, found);
    return rv;
}

CK_RV C_GetOperationState(CK_SESSION_HANDLE session, CK_BYTE *state, CK_ULONG *length)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_GetOperationState", session);

    if (rv == CKR_OK && !length)
        rv = CKR_ARGUMENTS_BAD;
    if (rv == CKR_OK)
        rv = any_active(e.session) ? save_state(&e, state, length) : CKR_OPERATION_NOT_INITIALIZED;
    return sk_leave(&e, rv);
}

CK_RV C_SetOperationState(CK_SESSION_HANDLE session, CK_BYTE *state, CK_ULONG length, CK_OBJECT_HANDLE encryption,
                          CK_OBJECT_HANDLE authentication)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_SetOperationState", session);

    if (rv == CKR_OK && !state)
        rv = CKR_ARGUMENTS_BAD;
    if (rv == CKR_OK && length > WIRE_DIGEST_STATE_MAX)
        rv = CKR_SAVED_STATE_INVALID;
    if (rv == CKR_OK && (encryption || authentication))
        rv = CKR_KEY_NOT_NEEDED;
    if (rv == CKR_OK)
        rv = sk_crypt_restore(&e, (struct wire_bytes){state, length});
    return sk_leave(&e, rv);
}
