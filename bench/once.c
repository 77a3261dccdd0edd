/* What is done once and not in a row: filling a token, a fresh process, many keys, many processes. */
#include "bench.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAKERS = 16 };

static long wanted;

/* The share of one of MAKERS threads: who waits for the disk waits with the others. */
static void *make_objects(void *argument)
{
    CK_OBJECT_CLASS class = CKO_DATA;
    CK_SESSION_HANDLE s;
    CK_OBJECT_HANDLE object;
    char label[32];

    if (!must("C_OpenSession", p11->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &s)))
        exit(1);
    for (long i = (long)(intptr_t)argument; i < wanted; i += MAKERS) {
        int length = snprintf(label, sizeof(label), "object %ld", i);
        CK_ATTRIBUTE t[] = {{CKA_CLASS, &class, sizeof(class)}, {CKA_TOKEN, &yes, 1}, {CKA_LABEL, label, (CK_ULONG)length},
                            {CKA_VALUE, label, (CK_ULONG)length}};

        if (!must("C_CreateObject", p11->C_CreateObject(s, t, 4, &object)))
            exit(1);
    }
    return NULL;
}

int populate(char **argv)
{
    pthread_t makers[MAKERS];
    CK_SESSION_HANDLE s;

    wanted = atol(argv[3]);
    if (!load(argv[0]) || !log_in(argv[1], argv[2], &s))
        return 1;
    for (long i = 0; i < MAKERS; i++)
        if (pthread_create(&makers[i], NULL, make_objects, (void *)(intptr_t)i))
            return 1;
    for (long i = 0; i < MAKERS; i++)
        pthread_join(makers[i], NULL);
    return p11->C_Finalize(NULL) != CKR_OK;
}

/* The key is the token's own, labelled bench-first; it is made when it is not there. */
static int first_key(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE *key)
{
    CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    CK_BYTE p256[] = {6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7};
    CK_OBJECT_HANDLE public;
    CK_ULONG count = 0;
    CK_ATTRIBUTE t[] = {{CKA_CLASS, &class, sizeof(class)}, {CKA_LABEL, "bench-first", 11}};
    CK_ATTRIBUTE e[] = {{CKA_TOKEN, &yes, 1}, {CKA_EC_PARAMS, p256, sizeof(p256)}};
    CK_ATTRIBUTE p[] = {{CKA_TOKEN, &yes, 1}, {CKA_SIGN, &yes, 1}, {CKA_LABEL, "bench-first", 11}};

    if (p11->C_FindObjectsInit(s, t, 2) || p11->C_FindObjects(s, key, 1, &count) || p11->C_FindObjectsFinal(s))
        return 0;
    return count || must("EC", p11->C_GenerateKeyPair(s, &(CK_MECHANISM){CKM_EC_KEY_PAIR_GEN, NULL, 0}, e, 2, p, 3, &public, key));
}

int first(char **argv)
{
    CK_SESSION_HANDLE s;
    uint64_t start;
    unsigned char digest[32] = {1}, signature[64];
    CK_ULONG length = sizeof(signature);

    if (!load(argv[0]))
        return 1;
    start = now_ns();
    if (!log_in(argv[1], argv[2], &s) || !first_key(s, &ec_private) ||
        !must("C_SignInit", p11->C_SignInit(s, &(CK_MECHANISM){CKM_ECDSA, NULL, 0}, ec_private)) ||
        !must("C_Sign", p11->C_Sign(s, digest, sizeof(digest), signature, &length)))
        return 1;
    printf("{\"row\":\"first\",\"threads\":1,\"count\":1,\"p50\":%lu,\"p99\":0,\"ops\":0,\"cpu\":0,\"rv\":0}\n", (unsigned long)(now_ns() - start));
    return p11->C_Finalize(NULL) != CKR_OK;
}

/* Session keys, each used once, until stdin ends: says how many are there. */
int cells(char **argv)
{
    CK_BYTE iv[16] = {1}, data[16] = {2}, result[32];
    CK_MECHANISM cbc = {CKM_AES_CBC, iv, sizeof(iv)};
    CK_SESSION_HANDLE s;
    char byte;

    if (!load(argv[0]) || !log_in(argv[1], argv[2], &s))
        return 1;
    for (long i = 0, count = atol(argv[3]); i < count; i++) {
        CK_ULONG bytes = 32, length = sizeof(result);
        CK_ATTRIBUTE t[] = {{CKA_TOKEN, &no, 1}, {CKA_SENSITIVE, &yes, 1}, {CKA_ENCRYPT, &yes, 1}, {CKA_VALUE_LEN, &bytes, sizeof(bytes)}};

        if (!must("C_GenerateKey", p11->C_GenerateKey(s, &(CK_MECHANISM){CKM_AES_KEY_GEN, NULL, 0}, t, 4, &aes)) ||
            !must("C_EncryptInit", p11->C_EncryptInit(s, &cbc, aes)) ||
            !must("C_Encrypt", p11->C_Encrypt(s, data, sizeof(data), result, &length)))
            return 1;
    }
    printf("ready\n");
    fflush(stdout);
    while (read(0, &byte, 1) > 0)
        ;
    return p11->C_Finalize(NULL) != CKR_OK;
}

int idle(char **argv)
{
    CK_SESSION_HANDLE s;
    int count = atoi(argv[1]);
    char byte;

    if (!load(argv[0]))
        return 1;
    for (int i = 0; i < count; i++)
        if (fork() == 0) {
            int good = must("C_Initialize", p11->C_Initialize(NULL)) && find_token("") &&
                       must("C_OpenSession", p11->C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &s)) &&
                       must("C_GenerateRandom", p11->C_GenerateRandom(s, (CK_BYTE_PTR)&byte, 1));

            printf(good ? "+\n" : "-\n");
            fflush(stdout);
            while (read(0, &byte, 1) > 0)
                ;
            _exit(0);
        }
    while (wait(NULL) > 0)
        ;
    return 0;
}
