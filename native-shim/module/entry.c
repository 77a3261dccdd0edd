/*
 * The functions of the API, here and in entry_*.c: each enters, does its one thing, and leaves. Here those of the library, of slots
 * and of tokens.
 */
#include "cryptoki32.h"
#include "guard.h"
#include "login.h"
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
