/* A module, its token, and the keys that the rows use. */
#include "bench.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

int find_token(const char *label)
{
    CK_SLOT_ID slots[64];
    CK_ULONG count = 64;

    if (!must("C_GetSlotList", p11->C_GetSlotList(CK_TRUE, slots, &count)))
        return 0;
    for (CK_ULONG i = 0; i < count; i++) {
        CK_TOKEN_INFO info;

        slot = slots[i];
        if (!p11->C_GetTokenInfo(slot, &info) && !strncmp((char *)info.label, label, strlen(label)))
            return 1;
    }
    return fprintf(stderr, "no token %s\n", label), 0;
}

int load(const char *path)
{
    CK_RV (*get)(CK_FUNCTION_LIST_PTR_PTR);
    void *library = dlopen(path, RTLD_NOW);

    if (!library || !(get = (CK_RV(*)(CK_FUNCTION_LIST_PTR_PTR))dlsym(library, "C_GetFunctionList")))
        return fprintf(stderr, "%s\n", dlerror()), 0;
    return must("C_GetFunctionList", get(&p11));
}

int log_in(const char *pin, const char *label, CK_SESSION_HANDLE *s)
{
    CK_C_INITIALIZE_ARGS args = {.flags = CKF_OS_LOCKING_OK};

    return must("C_Initialize", p11->C_Initialize(&args)) && find_token(label) &&
           must("C_OpenSession", p11->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, s)) &&
           must("C_Login", p11->C_Login(*s, CKU_USER, (CK_UTF8CHAR_PTR)pin, strlen(pin)));
}

int make_keys(CK_SESSION_HANDLE s)
{
    CK_ULONG bytes = 32, bits = 2048;
    CK_BYTE exponent[] = {1, 0, 1}, p256[] = {6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7};
    CK_OBJECT_HANDLE public;
    CK_ATTRIBUTE a[] = {{CKA_TOKEN, &no, 1}, {CKA_PRIVATE, &yes, 1}, {CKA_SENSITIVE, &yes, 1}, {CKA_ENCRYPT, &yes, 1},
                        {CKA_DECRYPT, &yes, 1}, {CKA_VALUE_LEN, &bytes, sizeof(bytes)}, {CKA_LABEL, "bench-aes", 9}};
    CK_ATTRIBUTE h[] = {{CKA_TOKEN, &no, 1}, {CKA_PRIVATE, &yes, 1}, {CKA_SIGN, &yes, 1}, {CKA_VERIFY, &yes, 1},
                        {CKA_VALUE_LEN, &bytes, sizeof(bytes)}};
    CK_ATTRIBUTE r[] = {{CKA_TOKEN, &no, 1}, {CKA_VERIFY, &yes, 1}, {CKA_MODULUS_BITS, &bits, sizeof(bits)},
                        {CKA_PUBLIC_EXPONENT, exponent, 3}};
    CK_ATTRIBUTE e[] = {{CKA_TOKEN, &no, 1}, {CKA_VERIFY, &yes, 1}, {CKA_EC_PARAMS, p256, sizeof(p256)}};
    CK_ATTRIBUTE p[] = {{CKA_TOKEN, &no, 1}, {CKA_PRIVATE, &yes, 1}, {CKA_SIGN, &yes, 1}};

    return must("AES", p11->C_GenerateKey(s, &(CK_MECHANISM){CKM_AES_KEY_GEN, NULL, 0}, a, 7, &aes)) &&
           must("HMAC", p11->C_GenerateKey(s, &(CK_MECHANISM){CKM_GENERIC_SECRET_KEY_GEN, NULL, 0}, h, 5, &mac)) &&
           must("RSA", p11->C_GenerateKeyPair(s, &(CK_MECHANISM){CKM_RSA_PKCS_KEY_PAIR_GEN, NULL, 0}, r, 4, p, 3, &public, &rsa_private)) &&
           must("EC", p11->C_GenerateKeyPair(s, &(CK_MECHANISM){CKM_EC_KEY_PAIR_GEN, NULL, 0}, e, 3, p, 3, &public, &ec_private));
}
