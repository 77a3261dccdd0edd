/*
 * Makes, changes, uses and destroys token keys while everything behind the module is killed: churn MODULE PIN. Each answer is
 * a line: "+ LABEL" made, "= LABEL ID" changed, "- LABEL" destroyed, each only after CKR_OK; "? LABEL ID" an answer that was
 * another code, after which either may hold. When stdin ends, each key of the token is listed: "object LABEL ID RV", RV of an
 * encryption with it; then "done".
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <p11-kit/pkcs11.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { THREADS = 4, LIVE = 8, OBJECTS = 1 << 18 };

static CK_FUNCTION_LIST_PTR p11;
static const char *pin;
static CK_BBOOL yes = CK_TRUE;
static atomic_int stop;

struct key {
    CK_OBJECT_HANDLE handle;
    char label[32];
};

/* Both may have been killed: then a program has to log in again, and may have to wait for the token. */
static CK_RV log_in(CK_SESSION_HANDLE *session)
{
    CK_SLOT_ID slots[16];
    CK_ULONG count = 16;
    CK_RV rv = p11->C_GetSlotList(CK_TRUE, slots, &count);

    if (rv != CKR_OK || count == 0)
        return rv ? rv : CKR_TOKEN_NOT_PRESENT;
    p11->C_CloseSession(*session);
    if ((rv = p11->C_OpenSession(slots[0], CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, session)) != CKR_OK)
        return rv;
    rv = p11->C_Login(*session, CKU_USER, (CK_UTF8CHAR_PTR)(uintptr_t)pin, strlen(pin));
    return rv == CKR_USER_ALREADY_LOGGED_IN ? CKR_OK : rv;
}

static void recover(CK_SESSION_HANDLE *session)
{
    for (int i = 0; i < 500 && log_in(session) != CKR_OK; i++)
        usleep(20000);
}

static CK_RV make(CK_SESSION_HANDLE session, struct key *key)
{
    CK_ULONG bytes = 32;
    CK_MECHANISM m = {CKM_AES_KEY_GEN, NULL, 0};
    CK_ATTRIBUTE t[] = {{CKA_TOKEN, &yes, 1},     {CKA_ENCRYPT, &yes, 1},
                        {CKA_SENSITIVE, &yes, 1}, {CKA_LABEL, key->label, strlen(key->label)},
                        {CKA_ID, "0", 1},         {CKA_VALUE_LEN, &bytes, sizeof(bytes)}};

    return p11->C_GenerateKey(session, &m, t, 6, &key->handle);
}

static CK_RV use(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key)
{
    unsigned char plain[64] = {0}, sealed[96], iv[16] = {0};
    CK_MECHANISM m = {CKM_AES_CBC_PAD, iv, sizeof(iv)};
    CK_ULONG length = sizeof(sealed);
    CK_RV rv = p11->C_EncryptInit(session, &m, key);

    return rv ? rv : p11->C_Encrypt(session, plain, sizeof(plain), sealed, &length);
}

static CK_RV change(CK_SESSION_HANDLE session, const struct key *key, char *id)
{
    CK_ATTRIBUTE t = {CKA_ID, id, strlen(id)};

    return p11->C_SetAttributeValue(session, key->handle, &t, 1);
}

static void *churn(void *number)
{
    CK_SESSION_HANDLE session = 0;
    struct key live[LIVE] = {0};

    recover(&session);
    for (long i = 0; !stop; i++) {
        struct key *key = &live[i % LIVE];
        char id[32];
        CK_RV rv = CKR_OK;

        if (key->handle && i % (2 * LIVE) < LIVE) { /* half of them stay for good */
            rv = p11->C_DestroyObject(session, key->handle);
            printf("%c %s 0 %lx\n", rv ? '?' : '-', key->label, rv);
        }
        if (rv != CKR_OK)
            recover(&session);
        *key = (struct key){0};
        snprintf(key->label, sizeof(key->label), "churn-%ld-%ld", (long)(intptr_t)number, i);
        rv = make(session, key);
        printf("%c %s 0 %lx\n", rv ? '?' : '+', key->label, rv);
        if (rv != CKR_OK) {
            key->handle = 0;
            recover(&session);
            continue;
        }
        snprintf(id, sizeof(id), "%ld", i);
        rv = change(session, key, id);
        printf("%c %s %s %lx\n", rv ? '?' : '=', key->label, id, rv);
        if (rv != CKR_OK)
            recover(&session);
    }
    return NULL;
}

static void list(CK_SESSION_HANDLE session)
{
    static CK_OBJECT_HANDLE found[OBJECTS];
    CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    CK_ATTRIBUTE t = {CKA_CLASS, &class, sizeof(class)};
    CK_ULONG count = 0;

    if (p11->C_FindObjectsInit(session, &t, 1) || p11->C_FindObjects(session, found, OBJECTS, &count) ||
        p11->C_FindObjectsFinal(session))
        printf("find failed\n");
    for (CK_ULONG i = 0; i < count; i++) {
        char label[64] = "", id[64] = "";
        CK_ATTRIBUTE asked[] = {{CKA_LABEL, label, sizeof(label) - 1}, {CKA_ID, id, sizeof(id) - 1}};
        CK_RV rv = p11->C_GetAttributeValue(session, found[i], asked, 2);

        printf("object %s %s %lx\n", label, id, rv ? rv : use(session, found[i]));
    }
}

int main(int argc, char **argv)
{
    CK_RV (*get)(CK_FUNCTION_LIST_PTR_PTR);
    CK_C_INITIALIZE_ARGS args = {.flags = CKF_OS_LOCKING_OK};
    CK_SESSION_HANDLE session = 0;
    pthread_t ids[THREADS];
    void *library;
    char byte;

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc < 3 || !(library = dlopen(argv[1], RTLD_NOW)) ||
        !(get = (CK_RV(*)(CK_FUNCTION_LIST_PTR_PTR))dlsym(library, "C_GetFunctionList")) || get(&p11) != CKR_OK ||
        p11->C_Initialize(&args) != CKR_OK)
        return 2;
    pin = argv[2];
    for (intptr_t i = 0; i < THREADS; i++)
        pthread_create(&ids[i], NULL, churn, (void *)i);
    printf("started\n");
    while (read(0, &byte, 1) > 0)
        ;
    stop = 1;
    for (int i = 0; i < THREADS; i++)
        pthread_join(ids[i], NULL);
    recover(&session);
    list(session);
    printf("done\n");
    return 0;
}
