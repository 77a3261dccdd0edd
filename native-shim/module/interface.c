/*
 * The three exported functions: the lists of all others. They work before C_Initialize, from any thread.
 */
#include "cryptoki32.h"

#include <string.h>

#define EXPORTED __attribute__((visibility("default")))

/* The functions of 2.40, which are also the first of 3.0, but for C_GetInfo: each list says its own version (PKCS#11 3.2, 3.1). */
#define FUNCTIONS_2_40 \
    .C_Initialize = C_Initialize, \
    .C_Finalize = C_Finalize, \
    .C_GetFunctionList = C_GetFunctionList, \
    .C_GetSlotList = C_GetSlotList, \
    .C_GetSlotInfo = C_GetSlotInfo, \
    .C_GetTokenInfo = C_GetTokenInfo, \
    .C_GetMechanismList = C_GetMechanismList, \
    .C_GetMechanismInfo = C_GetMechanismInfo, \
    .C_InitToken = C_InitToken, \
    .C_InitPIN = C_InitPIN, \
    .C_SetPIN = C_SetPIN, \
    .C_OpenSession = C_OpenSession, \
    .C_CloseSession = C_CloseSession, \
    .C_CloseAllSessions = C_CloseAllSessions, \
    .C_GetSessionInfo = C_GetSessionInfo, \
    .C_GetOperationState = C_GetOperationState, \
    .C_SetOperationState = C_SetOperationState, \
    .C_Login = C_Login, \
    .C_Logout = C_Logout, \
    .C_CreateObject = C_CreateObject, \
    .C_CopyObject = C_CopyObject, \
    .C_DestroyObject = C_DestroyObject, \
    .C_GetObjectSize = C_GetObjectSize, \
    .C_GetAttributeValue = C_GetAttributeValue, \
    .C_SetAttributeValue = C_SetAttributeValue, \
    .C_FindObjectsInit = C_FindObjectsInit, \
    .C_FindObjects = C_FindObjects, \
    .C_FindObjectsFinal = C_FindObjectsFinal, \
    .C_EncryptInit = C_EncryptInit, \
    .C_Encrypt = C_Encrypt, \
    .C_EncryptUpdate = C_EncryptUpdate, \
    .C_EncryptFinal = C_EncryptFinal, \
    .C_DecryptInit = C_DecryptInit, \
    .C_Decrypt = C_Decrypt, \
    .C_DecryptUpdate = C_DecryptUpdate, \
    .C_DecryptFinal = C_DecryptFinal, \
    .C_DigestInit = C_DigestInit, \
    .C_Digest = C_Digest, \
    .C_DigestUpdate = C_DigestUpdate, \
    .C_DigestKey = C_DigestKey, \
    .C_DigestFinal = C_DigestFinal, \
    .C_SignInit = C_SignInit, \
    .C_Sign = C_Sign, \
    .C_SignUpdate = C_SignUpdate, \
    .C_SignFinal = C_SignFinal, \
    .C_SignRecoverInit = C_SignRecoverInit, \
    .C_SignRecover = C_SignRecover, \
    .C_VerifyInit = C_VerifyInit, \
    .C_Verify = C_Verify, \
    .C_VerifyUpdate = C_VerifyUpdate, \
    .C_VerifyFinal = C_VerifyFinal, \
    .C_VerifyRecoverInit = C_VerifyRecoverInit, \
    .C_VerifyRecover = C_VerifyRecover, \
    .C_DigestEncryptUpdate = C_DigestEncryptUpdate, \
    .C_DecryptDigestUpdate = C_DecryptDigestUpdate, \
    .C_SignEncryptUpdate = C_SignEncryptUpdate, \
    .C_DecryptVerifyUpdate = C_DecryptVerifyUpdate, \
    .C_GenerateKey = C_GenerateKey, \
    .C_GenerateKeyPair = C_GenerateKeyPair, \
    .C_WrapKey = C_WrapKey, \
    .C_UnwrapKey = C_UnwrapKey, \
    .C_DeriveKey = C_DeriveKey, \
    .C_SeedRandom = C_SeedRandom, \
    .C_GenerateRandom = C_GenerateRandom, \
    .C_GetFunctionStatus = C_GetFunctionStatus, \
    .C_CancelFunction = C_CancelFunction, \
    .C_WaitForSlotEvent = C_WaitForSlotEvent,

static CK_FUNCTION_LIST functions_2_40 = {.version = {2, 40}, .C_GetInfo = C_GetInfo, FUNCTIONS_2_40};

/* What 3.0 adds to them, which comes next in 3.2. */
#define FUNCTIONS_3_0 \
    .C_GetInterfaceList = C_GetInterfaceList, \
    .C_GetInterface = C_GetInterface, \
    .C_LoginUser = C_LoginUser, \
    .C_SessionCancel = C_SessionCancel, \
    .C_MessageEncryptInit = C_MessageEncryptInit, \
    .C_EncryptMessage = C_EncryptMessage, \
    .C_EncryptMessageBegin = C_EncryptMessageBegin, \
    .C_EncryptMessageNext = C_EncryptMessageNext, \
    .C_MessageEncryptFinal = C_MessageEncryptFinal, \
    .C_MessageDecryptInit = C_MessageDecryptInit, \
    .C_DecryptMessage = C_DecryptMessage, \
    .C_DecryptMessageBegin = C_DecryptMessageBegin, \
    .C_DecryptMessageNext = C_DecryptMessageNext, \
    .C_MessageDecryptFinal = C_MessageDecryptFinal, \
    .C_MessageSignInit = C_MessageSignInit, \
    .C_SignMessage = C_SignMessage, \
    .C_SignMessageBegin = C_SignMessageBegin, \
    .C_SignMessageNext = C_SignMessageNext, \
    .C_MessageSignFinal = C_MessageSignFinal, \
    .C_MessageVerifyInit = C_MessageVerifyInit, \
    .C_VerifyMessage = C_VerifyMessage, \
    .C_VerifyMessageBegin = C_VerifyMessageBegin, \
    .C_VerifyMessageNext = C_VerifyMessageNext, \
    .C_MessageVerifyFinal = C_MessageVerifyFinal,

static CK_FUNCTION_LIST_3_0 functions_3_0 = {
    .base = {.version = {3, 0}, .C_GetInfo = sk_get_info_3_0, FUNCTIONS_2_40},
    FUNCTIONS_3_0
};

static CK_FUNCTION_LIST_3_2 functions_3_2 = {
    .base = {.base = {.version = {3, 2}, .C_GetInfo = sk_get_info_3_2, FUNCTIONS_2_40}, FUNCTIONS_3_0},
    .C_EncapsulateKey = C_EncapsulateKey,
    .C_DecapsulateKey = C_DecapsulateKey,
    .C_VerifySignatureInit = C_VerifySignatureInit,
    .C_VerifySignature = C_VerifySignature,
    .C_VerifySignatureUpdate = C_VerifySignatureUpdate,
    .C_VerifySignatureFinal = C_VerifySignatureFinal,
    .C_GetSessionValidationFlags = C_GetSessionValidationFlags,
    .C_AsyncComplete = C_AsyncComplete,
    .C_AsyncGetID = C_AsyncGetID,
    .C_AsyncJoin = C_AsyncJoin,
    .C_WrapKeyAuthenticated = C_WrapKeyAuthenticated,
    .C_UnwrapKeyAuthenticated = C_UnwrapKeyAuthenticated,
};

/* The first is the default: programs that take whatever version they get (OpenSC asks so) were written before 3.2, which is for those
 * that ask for it. No flag: after a fork the child must initialise anew, which is not what
 * CKF_INTERFACE_FORK_SAFE promises. */
static CK_INTERFACE interfaces[] = {
    {(CK_UTF8CHAR *)"PKCS 11", &functions_3_0, 0},
    {(CK_UTF8CHAR *)"PKCS 11", &functions_2_40, 0},
    {(CK_UTF8CHAR *)"PKCS 11", &functions_3_2, 0},
};

enum { INTERFACES = sizeof(interfaces) / sizeof(interfaces[0]) };

EXPORTED CK_RV C_GetFunctionList(CK_FUNCTION_LIST **list)
{
    if (!list)
        return CKR_ARGUMENTS_BAD;
    *list = &functions_2_40;
    return CKR_OK;
}

EXPORTED CK_RV C_GetInterfaceList(CK_INTERFACE *list, CK_ULONG *count)
{
    CK_ULONG room;

    if (!count)
        return CKR_ARGUMENTS_BAD;
    room = *count;
    *count = INTERFACES;
    if (!list)
        return CKR_OK;
    if (room < INTERFACES)
        return CKR_BUFFER_TOO_SMALL;
    memcpy(list, interfaces, sizeof(interfaces));
    return CKR_OK;
}

static int fits(const CK_INTERFACE *i, const CK_UTF8CHAR *name, const CK_VERSION *version, CK_FLAGS flags)
{
    const CK_VERSION *own = i->pFunctionList; /* every list begins with its version */

    if (name && strcmp((const char *)name, (const char *)i->pInterfaceName) != 0)
        return 0;
    if (version && (version->major != own->major || version->minor != own->minor))
        return 0;
    return (i->flags & flags) == flags;
}

EXPORTED CK_RV C_GetInterface(CK_UTF8CHAR *name, CK_VERSION *version, CK_INTERFACE **out, CK_FLAGS flags)
{
    if (!out)
        return CKR_ARGUMENTS_BAD;
    for (int i = 0; i < INTERFACES; i++)
        if (fits(&interfaces[i], name, version, flags)) {
            *out = &interfaces[i];
            return CKR_OK;
        }
    return CKR_ARGUMENTS_BAD;
}
