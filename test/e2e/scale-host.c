/* What any program with PKCS#11 does, and how the hard host says that it failed. */
#define _GNU_SOURCE
#include "scale.h"

#include <dirent.h>
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

CK_FUNCTION_LIST_PTR p11;
const char *path, *pin;
long count;
CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
static CK_BYTE iv[BLOCK];
CK_MECHANISM cbc = {CKM_AES_CBC, iv, sizeof(iv)};

void must(const char *what, CK_RV got, CK_RV wanted)
{
    if (got == wanted)
        return;
    printf("%s: 0x%lx, wanted 0x%lx\n", what, got, wanted);
    exit(1);
}

void check(int good, const char *what, long found, long wanted)
{
    if (good)
        return;
    printf("%s: %ld, wanted %ld\n", what, found, wanted);
    exit(1);
}

long descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    long n = 0;

    while (dir && readdir(dir))
        n++;
    if (dir)
        closedir(dir);
    return n;
}

void *load(void)
{
    CK_RV (*get)(CK_FUNCTION_LIST_PTR *);
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);

    check(library != NULL, "dlopen", 0, 1);
    *(void **)&get = dlsym(library, "C_GetFunctionList");
    MUST(get(&p11), CKR_OK);
    return library;
}

CK_SLOT_ID first_slot(void)
{
    CK_SLOT_ID slots[16];
    CK_ULONG n = 16;

    MUST(p11->C_GetSlotList(CK_TRUE, slots, &n), CKR_OK);
    check(n > 0, "slots", 0, 1);
    return slots[0];
}

CK_SESSION_HANDLE open_session(CK_SLOT_ID slot)
{
    CK_SESSION_HANDLE s;

    MUST(p11->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &s), CKR_OK);
    return s;
}

CK_SESSION_HANDLE log_in(void)
{
    CK_SESSION_HANDLE s = open_session(first_slot());
    CK_RV rv = p11->C_Login(s, CKU_USER, (CK_UTF8CHAR_PTR)(uintptr_t)pin, strlen(pin));

    if (rv != CKR_USER_ALREADY_LOGGED_IN)
        must("C_Login", rv, CKR_OK);
    return s;
}

CK_OBJECT_HANDLE make_key(CK_SESSION_HANDLE s, const char *label)
{
    CK_ULONG bytes = 32;
    CK_MECHANISM m = {CKM_AES_KEY_GEN, NULL, 0};
    CK_ATTRIBUTE t[] = {{CKA_TOKEN, &no, 1}, {CKA_LABEL, (void *)(uintptr_t)label, strlen(label)}, {CKA_ENCRYPT, &yes, 1},
                        {CKA_VALUE_LEN, &bytes, sizeof(bytes)}};
    CK_OBJECT_HANDLE key;

    MUST(p11->C_GenerateKey(s, &m, t, 4, &key), CKR_OK);
    return key;
}

void encrypt(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE key)
{
    CK_BYTE data[BLOCK] = {1}, out[BLOCK];
    CK_ULONG n = sizeof(out);

    MUST(p11->C_EncryptInit(s, &cbc, key), CKR_OK);
    MUST(p11->C_Encrypt(s, data, sizeof(data), out, &n), CKR_OK);
    check(n == BLOCK && memcmp(data, out, BLOCK) != 0, "ciphertext", (long)n, BLOCK);
}

long find_label(CK_SESSION_HANDLE s, const char *label, CK_OBJECT_HANDLE *key)
{
    CK_ATTRIBUTE t = {CKA_LABEL, (void *)(uintptr_t)label, strlen(label)};
    CK_ULONG n = 0;

    MUST(p11->C_FindObjectsInit(s, &t, 1), CKR_OK);
    MUST(p11->C_FindObjects(s, key, 1, &n), CKR_OK);
    MUST(p11->C_FindObjectsFinal(s), CKR_OK);
    return (long)n;
}
