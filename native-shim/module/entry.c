/*
 * The functions of the API that are not cryptography (entry_*.c): each enters, does
 * its one thing, and leaves.
 */
#include "cryptoki32.h"
#include "find.h"
#include "guard.h"
#include "login.h"
#include "object.h"
#include "presence.h"
#include "slot.h"
#include "text.h"

/* General */

/* Mutexes of the application: all four or none (PKCS#11 3.1, 5.4.1). We use our own locks either way. */
static CK_RV check_args(const CK_C_INITIALIZE_ARGS *args)
{
    int callbacks;

    if (!args)
        return CKR_OK;
    callbacks = !!args->CreateMutex + !!args->DestroyMutex + !!args->LockMutex + !!args->UnlockMutex;
    return args->pReserved || (callbacks != 0 && callbacks != 4) ? CKR_ARGUMENTS_BAD : CKR_OK;
}

CK_RV C_Initialize(void *args)
{
    CK_RV rv = check_args(args);
    struct sk_entry e;

    if (rv == CKR_OK)
        rv = sk_process_open();
    if (rv != CKR_OK)
        return rv;
    sk_enter(&e, "C_Initialize");
    return sk_leave(&e, CKR_OK);
}

CK_RV C_Finalize(void *reserved)
{
    struct sk_entry e;
    CK_RV rv = sk_enter(&e, "C_Finalize");

    if (rv == CKR_OK)
        rv = reserved ? CKR_ARGUMENTS_BAD : sk_process_close();
    return sk_leave(&e, rv);
}

static CK_RV fill_info(CK_INFO *info, CK_VERSION version)
{
    if (!info)
        return CKR_ARGUMENTS_BAD;
    *info = (CK_INFO){.cryptokiVersion = version, .libraryVersion = {0, 1}};
    sk_pad_text(info->manufacturerID, sizeof(info->manufacturerID), "Sidekey");
    sk_pad_text(info->libraryDescription, sizeof(info->libraryDescription), "Sidekey PKCS#11");
    return CKR_OK;
}

static CK_RV get_info(CK_INFO *info, CK_VERSION version)
{
    struct sk_entry e;
    CK_RV rv = sk_enter(&e, "C_GetInfo");

    if (rv == CKR_OK)
        rv = fill_info(info, version);
    return sk_leave(&e, rv);
}

CK_RV C_GetInfo(CK_INFO *info) { return get_info(info, (CK_VERSION){2, 40}); }

CK_RV sk_get_info_3_0(CK_INFO *info) { return get_info(info, (CK_VERSION){3, 0}); }

CK_RV sk_get_info_3_2(CK_INFO *info) { return get_info(info, (CK_VERSION){3, 2}); }

/* Parallel functions went out of the standard with 2.0: refused even for a session that is not there. */

CK_RV C_GetFunctionStatus(CK_SESSION_HANDLE session)
{
    struct sk_entry e;
    CK_RV rv = sk_enter(&e, "C_GetFunctionStatus");

    e.handle = session;
    return sk_leave(&e, rv == CKR_OK ? CKR_FUNCTION_NOT_PARALLEL : rv);
}

CK_RV C_CancelFunction(CK_SESSION_HANDLE session)
{
    struct sk_entry e;
    CK_RV rv = sk_enter(&e, "C_CancelFunction");

    e.handle = session;
    return sk_leave(&e, rv == CKR_OK ? CKR_FUNCTION_NOT_PARALLEL : rv);
}

/* Slots and tokens */

CK_RV C_GetSlotList(CK_BBOOL present, CK_SLOT_ID *list, CK_ULONG *count)
{
    struct sk_entry e;
    CK_RV rv = sk_enter(&e, "C_GetSlotList");

    if (rv == CKR_OK)
        rv = sk_slot_list(&e, present, list, count);
    return sk_leave(&e, rv);
}

CK_RV C_GetSlotInfo(CK_SLOT_ID slot, CK_SLOT_INFO *info)
{
    struct sk_entry e;
    CK_RV rv = sk_enter(&e, "C_GetSlotInfo");

    if (rv == CKR_OK)
        rv = sk_slot_info(&e, slot, info);
    return sk_leave(&e, rv);
}

CK_RV C_GetTokenInfo(CK_SLOT_ID slot, CK_TOKEN_INFO *info)
{
    struct sk_entry e;
    CK_RV rv = sk_enter(&e, "C_GetTokenInfo");

    if (rv == CKR_OK)
        rv = sk_token_info(&e, slot, info);
    return sk_leave(&e, rv);
}

CK_RV C_WaitForSlotEvent(CK_FLAGS flags, CK_SLOT_ID *slot, void *reserved)
{
    struct sk_entry e;
    CK_RV rv = sk_enter(&e, "C_WaitForSlotEvent");

    if (rv == CKR_OK)
        rv = sk_slot_event(&e, flags, slot, reserved);
    return sk_leave(&e, rv);
}

CK_RV C_GetMechanismList(CK_SLOT_ID slot, CK_MECHANISM_TYPE *list, CK_ULONG *count)
{
    struct sk_entry e;
    CK_RV rv = sk_enter(&e, "C_GetMechanismList");

    if (rv == CKR_OK)
        rv = sk_mechanism_list(&e, slot, list, count);
    return sk_leave(&e, rv);
}

CK_RV C_GetMechanismInfo(CK_SLOT_ID slot, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO *info)
{
    struct sk_entry e;
    CK_RV rv = sk_enter(&e, "C_GetMechanismInfo");

    if (rv == CKR_OK)
        rv = sk_mechanism_info(&e, slot, type, info);
    return sk_leave(&e, rv);
}

CK_RV C_InitToken(CK_SLOT_ID slot, CK_UTF8CHAR *pin, CK_ULONG pin_len, CK_UTF8CHAR *label)
{
    struct sk_entry e;
    CK_RV rv = sk_enter(&e, "C_InitToken");

    if (rv == CKR_OK)
        rv = sk_init_token(&e, slot, pin, pin_len, label);
    return sk_leave(&e, rv);
}

CK_RV C_InitPIN(CK_SESSION_HANDLE session, CK_UTF8CHAR *pin, CK_ULONG pin_len)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_InitPIN", session);

    if (rv == CKR_OK)
        rv = sk_init_pin(&e, pin, pin_len);
    return sk_leave(&e, rv);
}

CK_RV C_SetPIN(CK_SESSION_HANDLE session, CK_UTF8CHAR *old_pin, CK_ULONG old_len, CK_UTF8CHAR *new_pin,
               CK_ULONG new_len)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_SetPIN", session);

    if (rv == CKR_OK)
        rv = sk_set_pin(&e, old_pin, old_len, new_pin, new_len);
    return sk_leave(&e, rv);
}

/* Sessions. The notification callback is accepted and never called: a guest starts no thread to call it from. */

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

/* Objects */

CK_RV C_CreateObject(CK_SESSION_HANDLE session, CK_ATTRIBUTE *attributes, CK_ULONG count, CK_OBJECT_HANDLE *object)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_CreateObject", session);

    if (rv == CKR_OK)
        rv = sk_object_create(&e, attributes, count, object);
    return sk_leave(&e, rv);
}

CK_RV C_CopyObject(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *attributes, CK_ULONG count,
                   CK_OBJECT_HANDLE *copy)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_CopyObject", session);

    e.object = object;
    if (rv == CKR_OK)
        rv = sk_object_copy(&e, object, attributes, count, copy);
    return sk_leave(&e, rv);
}

CK_RV C_DestroyObject(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_DestroyObject", session);

    e.object = object;
    if (rv == CKR_OK)
        rv = sk_object_destroy(&e, object);
    return sk_leave(&e, rv);
}

CK_RV C_GetObjectSize(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ULONG *bytes)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_GetObjectSize", session);

    e.object = object;
    if (rv == CKR_OK)
        rv = sk_object_size(&e, object, bytes);
    return sk_leave(&e, rv);
}

CK_RV C_GetAttributeValue(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *attributes,
                          CK_ULONG count)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_GetAttributeValue", session);

    e.object = object;
    if (rv == CKR_OK)
        rv = sk_object_get(&e, object, attributes, count);
    return sk_leave(&e, rv);
}

CK_RV C_SetAttributeValue(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *attributes,
                          CK_ULONG count)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_SetAttributeValue", session);

    e.object = object;
    if (rv == CKR_OK)
        rv = sk_object_set(&e, object, attributes, count);
    return sk_leave(&e, rv);
}

CK_RV C_FindObjectsInit(CK_SESSION_HANDLE session, CK_ATTRIBUTE *attributes, CK_ULONG count)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_FindObjectsInit", session);

    if (rv == CKR_OK)
        rv = sk_find_init(&e, attributes, count);
    return sk_leave(&e, rv);
}

CK_RV C_FindObjects(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE *objects, CK_ULONG max, CK_ULONG *count)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_FindObjects", session);

    e.out = count;
    if (rv == CKR_OK)
        rv = sk_find_next(&e, objects, max, count);
    return sk_leave(&e, rv);
}

CK_RV C_FindObjectsFinal(CK_SESSION_HANDLE session)
{
    struct sk_entry e;
    CK_RV rv = sk_enter_session(&e, "C_FindObjectsFinal", session);

    if (rv == CKR_OK)
        rv = sk_find_final(&e);
    return sk_leave(&e, rv);
}
