/*
 * Sessions, and who is logged in.
 */
#include "guard.h"
#include "login.h"
#include "presence.h"

/* The notification callback is accepted and never called: a guest starts no thread to call it from. */

CK_RV C_OpenSession(CK_SLOT_ID slot, CK_FLAGS flags, void *application, CK_NOTIFY notify, CK_SESSION_HANDLE *session)
{
    struct sk_entry e;
    CK_RV rv = sk_enter(&e, "C_OpenSession");

    (void)application;
    (void)notify;
    if (rv == CKR_OK)
        rv = sk_session_open(&e, slot, flags, session);
    if (rv == CKR_OK)
        e.handle = *session;
    return sk_leave(&e, rv);
}

CK_RV C_CloseSession(CK_SESSION_HANDLE session)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_CloseSession", session);

    if (rv == CKR_OK)
        rv = sk_session_close(&e);
    return sk_leave(&e, rv);
}

CK_RV C_CloseAllSessions(CK_SLOT_ID slot)
{
    struct sk_entry e;
    CK_RV rv = sk_enter(&e, "C_CloseAllSessions");

    if (rv == CKR_OK)
        rv = sk_session_close_all(&e, slot);
    return sk_leave(&e, rv);
}

CK_RV C_GetSessionInfo(CK_SESSION_HANDLE session, CK_SESSION_INFO *info)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_GetSessionInfo", session);

    if (rv == CKR_OK)
        rv = sk_session_info(&e, info);
    return sk_leave(&e, rv);
}

CK_RV C_Login(CK_SESSION_HANDLE session, CK_USER_TYPE user, CK_UTF8CHAR *pin, CK_ULONG pin_len)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_Login", session);

    if (rv == CKR_OK)
        rv = sk_login(&e, user, pin, pin_len);
    return sk_leave(&e, rv);
}

/* Tokens know users by their type alone: a name is refused. */
CK_RV C_LoginUser(CK_SESSION_HANDLE session, CK_USER_TYPE user, CK_UTF8CHAR *pin, CK_ULONG pin_len, CK_UTF8CHAR *name,
                  CK_ULONG name_len)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_LoginUser", session);

    (void)name;
    if (rv == CKR_OK)
        rv = name_len ? CKR_ARGUMENTS_BAD : sk_login(&e, user, pin, pin_len);
    return sk_leave(&e, rv);
}

CK_RV C_Logout(CK_SESSION_HANDLE session)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_Logout", session);

    if (rv == CKR_OK)
        rv = sk_logout(&e);
    return sk_leave(&e, rv);
}
