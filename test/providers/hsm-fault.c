/*
 * A PKCS#11 module with faults: SoftHSM2 behind it, and in front of some functions a file that says how they fail. FAULT_FILE names it; its first
 * word is read at each call: crash, hang, slow, absent, device-error, session-invalid, general-error, own-iv. No file: no fault. FAULT_SESSIONS names a file
 * that says how many sessions are open.
 */
#include <dlfcn.h>
#include <p11-kit/pkcs11.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BEHIND "/usr/lib/softhsm/libsofthsm2.so"

static CK_FUNCTION_LIST_PTR behind;
static CK_FUNCTION_LIST front;

static void read_fault(char fault[32])
{
    const char *path = getenv("FAULT_FILE");
    FILE *file = path ? fopen(path, "r") : NULL;

    fault[0] = 0;
    if (!file)
        return;
    if (fscanf(file, "%31s", fault) != 1)
        fault[0] = 0;
    fclose(file);
}

/* Faults "-once" remove their file. */
static CK_RV next_fault(void)
{
    char fault[32];

    read_fault(fault);
    if (strstr(fault, "-once"))
        unlink(getenv("FAULT_FILE"));
    if (strncmp(fault, "crash", 5) == 0)
        raise(SIGSEGV);
    if (strncmp(fault, "hang", 4) == 0)
        for (;;)
            pause();
    if (strncmp(fault, "slow", 4) == 0)
        sleep(2);
    if (strncmp(fault, "device-error", 12) == 0)
        return CKR_DEVICE_ERROR;
    if (strncmp(fault, "session-invalid", 15) == 0)
        return CKR_SESSION_HANDLE_INVALID;
    if (strncmp(fault, "general-error", 13) == 0)
        return CKR_GENERAL_ERROR;
    return CKR_OK;
}

/* As modules in FIPS mode do: GCM by an IV of the module's own. The pointer to the IV comes first in every form of CK_GCM_PARAMS. */
static CK_RV encrypt_init_own_iv(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE key)
{
    static CK_BYTE own[16] = "an IV of its own";
    CK_BYTE_PTR iv = own;
    CK_BYTE parameters[128];
    CK_MECHANISM changed = *mechanism;

    if (mechanism->ulParameterLen < sizeof iv || mechanism->ulParameterLen > sizeof parameters)
        return CKR_MECHANISM_PARAM_INVALID;
    memcpy(parameters, mechanism->pParameter, mechanism->ulParameterLen);
    memcpy(parameters, &iv, sizeof iv);
    changed.pParameter = parameters;
    return behind->C_EncryptInit(session, &changed, key);
}

static CK_RV encrypt_init(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE key)
{
    char fault[32];
    CK_RV rv;

    read_fault(fault);
    if (strcmp(fault, "own-iv") == 0)
        return encrypt_init_own_iv(session, mechanism, key);
    rv = next_fault();
    return rv == CKR_OK ? behind->C_EncryptInit(session, mechanism, key) : rv;
}

static CK_RV decrypt(CK_SESSION_HANDLE session, CK_BYTE_PTR in, CK_ULONG in_len, CK_BYTE_PTR out, CK_ULONG_PTR out_len)
{
    CK_RV rv = next_fault();
    if (rv != CKR_OK)
        return rv;
    rv = behind->C_Decrypt(session, in, in_len, out, out_len);
    /* As vendors do: a bad tag by a code that says nothing of it. */
    return rv == CKR_OK || !getenv("FAULT_TAG_CODE") ? rv : strtoul(getenv("FAULT_TAG_CODE"), NULL, 0);
}

static CK_RV get_slot_list(CK_BBOOL present, CK_SLOT_ID_PTR list, CK_ULONG_PTR count)
{
    char fault[32];

    read_fault(fault);
    if (strcmp(fault, "absent") != 0)
        return behind->C_GetSlotList(present, list, count);
    *count = 0;
    return CKR_OK;
}

static void count_sessions(int more)
{
    static int sessions;
    const char *path = getenv("FAULT_SESSIONS");
    FILE *file = path ? fopen(path, "w") : NULL;

    sessions += more;
    if (!file)
        return;
    fprintf(file, "%d\n", sessions);
    fclose(file);
}

static CK_RV open_session(CK_SLOT_ID slot, CK_FLAGS flags, CK_VOID_PTR data, CK_NOTIFY notify, CK_SESSION_HANDLE_PTR out)
{
    char fault[32];
    CK_RV rv;

    read_fault(fault);
    if (strcmp(fault, "absent") == 0)
        return CKR_TOKEN_NOT_PRESENT;
    rv = behind->C_OpenSession(slot, flags, data, notify, out);
    if (rv == CKR_OK)
        count_sessions(1);
    return rv;
}

static CK_RV close_session(CK_SESSION_HANDLE session)
{
    CK_RV rv = behind->C_CloseSession(session);

    if (rv == CKR_OK)
        count_sessions(-1);
    return rv;
}

static CK_RV get_token_info(CK_SLOT_ID slot, CK_TOKEN_INFO_PTR info)
{
    char fault[32];

    read_fault(fault);
    return strcmp(fault, "absent") == 0 ? CKR_TOKEN_NOT_PRESENT : behind->C_GetTokenInfo(slot, info);
}

static CK_RV decrypt_init(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE key)
{
    char fault[32];

    read_fault(fault);
    return strcmp(fault, "absent") == 0 ? CKR_TOKEN_NOT_PRESENT : behind->C_DecryptInit(session, mechanism, key);
}

static CK_RV sign_init(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE key)
{
    CK_RV rv = next_fault();

    return rv == CKR_OK ? behind->C_SignInit(session, mechanism, key) : rv;
}

static CK_RV unwrap_key(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE key, CK_BYTE_PTR wrapped,
                        CK_ULONG wrapped_len, CK_ATTRIBUTE_PTR template, CK_ULONG count, CK_OBJECT_HANDLE_PTR out)
{
    char fault[32];
    CK_RV rv;

    read_fault(fault);
    rv = strcmp(fault, "absent") == 0 ? CKR_TOKEN_NOT_PRESENT : next_fault();
    return rv == CKR_OK ? behind->C_UnwrapKey(session, mechanism, key, wrapped, wrapped_len, template, count, out) : rv;
}

static CK_RV login(CK_SESSION_HANDLE session, CK_USER_TYPE user, CK_UTF8CHAR_PTR pin, CK_ULONG pin_len)
{
    const char *log = getenv("FAULT_LOGINS");
    FILE *file = log ? fopen(log, "a") : NULL;

    if (file) {
        fputs("login\n", file);
        fclose(file);
    }
    puts("a library that writes to standard output");
    return behind->C_Login(session, user, pin, pin_len);
}

CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list)
{
    void *library = dlopen(BEHIND, RTLD_NOW | RTLD_LOCAL);
    CK_C_GetFunctionList get = library ? (CK_C_GetFunctionList)dlsym(library, "C_GetFunctionList") : NULL;

    if (!get || get(&behind) != CKR_OK)
        return CKR_GENERAL_ERROR;
    front = *behind;
    front.C_EncryptInit = encrypt_init;
    front.C_DecryptInit = decrypt_init;
    front.C_Decrypt = decrypt;
    front.C_SignInit = sign_init;
    front.C_GetSlotList = get_slot_list;
    front.C_GetTokenInfo = get_token_info;
    front.C_OpenSession = open_session;
    front.C_CloseSession = close_session;
    front.C_UnwrapKey = unwrap_key;
    front.C_Login = login;
    front.C_GetFunctionList = C_GetFunctionList;
    *list = &front;
    return CKR_OK;
}
