/*
 * What a session is in the middle of: cancelled, saved, restored.
 */
#include "crypt.h"
#include "find.h"
#include "message.h"

#include "../wire/digest_state.h"

#include <string.h>

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
