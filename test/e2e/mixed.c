/*
 * mixed MODULE PIN SECONDS: 64 threads create, use, find and destroy the same few keys, in whatever order chance gives. That another
 * thread destroyed a key meanwhile is an answer; anything else that is not CKR_OK is said on stdout, and the last line is "done NUMBERS"
 * when there was nothing. What the threads share they share without an order of memory: ThreadSanitizer would take one for the module's.
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
#include <time.h>

enum { THREADS = 64, SHELVES = 32, BLOCK = 16, OF_TOKEN = 16 };

static CK_FUNCTION_LIST_PTR p11;
static CK_SLOT_ID slot;
static CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
static CK_BYTE iv[BLOCK];
static CK_MECHANISM cbc = {CKM_AES_CBC, iv, sizeof(iv)}, generate = {CKM_AES_KEY_GEN, NULL, 0};
static time_t until;
/* A key stands on one shelf; who takes it away is the only one that may destroy it. 0: the shelf is empty. */
static _Atomic CK_OBJECT_HANDLE shelves[SHELVES];
static atomic_long made, used, missed, found, destroyed;

static void must(const char *what, CK_RV got)
{
    if (got == CKR_OK)
        return;
    printf("%s: 0x%lx\n", what, got);
    exit(1);
}

static void count(atomic_long *what)
{
    atomic_fetch_add_explicit(what, 1, memory_order_relaxed);
}

/* Whether the key was still there. If not, it was taken from its shelf before; an operation that had begun ended with it. */
static int was_there(const char *what, CK_RV got, int shelf, CK_OBJECT_HANDLE key)
{
    if (got == CKR_OK)
        return 1;
    if (got != CKR_KEY_HANDLE_INVALID && got != CKR_OBJECT_HANDLE_INVALID && got != CKR_OPERATION_NOT_INITIALIZED)
        must(what, got);
    if (atomic_load_explicit(&shelves[shelf], memory_order_relaxed) == key)
        must("a key that nobody destroyed is gone", got);
    count(&missed);
    return 0;
}

static void label_of(int shelf, char label[16])
{
    snprintf(label, 16, "shelf %d", shelf);
}

static void clear(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE key)
{
    if (key == 0)
        return;
    must("C_DestroyObject", p11->C_DestroyObject(s, key));
    count(&destroyed);
}

static void create(CK_SESSION_HANDLE s, int shelf, int chance)
{
    CK_ULONG bytes = 32;
    CK_OBJECT_HANDLE key;
    char label[16];

    label_of(shelf, label);
    CK_ATTRIBUTE t[] = {{CKA_TOKEN, chance % OF_TOKEN == 0 ? &yes : &no, 1}, {CKA_LABEL, label, strlen(label)},
                        {CKA_ENCRYPT, &yes, 1}, {CKA_DECRYPT, &yes, 1}, {CKA_VALUE_LEN, &bytes, sizeof(bytes)}};

    must("C_GenerateKey", p11->C_GenerateKey(s, &generate, t, 5, &key));
    count(&made);
    clear(s, atomic_exchange_explicit(&shelves[shelf], key, memory_order_relaxed));
}

static void use(CK_SESSION_HANDLE s, int shelf, int chance)
{
    CK_OBJECT_HANDLE key = atomic_load_explicit(&shelves[shelf], memory_order_relaxed);
    CK_BYTE data[BLOCK] = {(CK_BYTE)chance}, sealed[BLOCK], opened[BLOCK];
    CK_ULONG n = BLOCK;

    if (key == 0 || !was_there("C_EncryptInit", p11->C_EncryptInit(s, &cbc, key), shelf, key) ||
        !was_there("C_Encrypt", p11->C_Encrypt(s, data, BLOCK, sealed, &n), shelf, key))
        return;
    n = BLOCK;
    if (!was_there("C_DecryptInit", p11->C_DecryptInit(s, &cbc, key), shelf, key) ||
        !was_there("C_Decrypt", p11->C_Decrypt(s, sealed, BLOCK, opened, &n), shelf, key))
        return;
    if (n != BLOCK || memcmp(data, opened, BLOCK) != 0)
        must("another plaintext", CKR_GENERAL_ERROR);
    count(&used);
}

static void find(CK_SESSION_HANDLE s, int shelf, int chance)
{
    char label[16];
    CK_OBJECT_HANDLE keys[4];
    CK_OBJECT_CLASS class;
    CK_ATTRIBUTE wanted = {CKA_LABEL, label, 0}, read = {CKA_CLASS, &class, sizeof(class)};
    CK_ULONG n = 0;

    (void)chance;
    label_of(shelf, label);
    wanted.ulValueLen = strlen(label);
    must("C_FindObjectsInit", p11->C_FindObjectsInit(s, &wanted, 1));
    must("C_FindObjects", p11->C_FindObjects(s, keys, 4, &n));
    must("C_FindObjectsFinal", p11->C_FindObjectsFinal(s));
    /* Those that were just made, or taken, and not destroyed yet, are found too. */
    for (CK_ULONG i = 0; i < n; i++)
        if (was_there("C_GetAttributeValue", p11->C_GetAttributeValue(s, keys[i], &read, 1), shelf, keys[i]))
            count(&found);
}

static void destroy(CK_SESSION_HANDLE s, int shelf, int chance)
{
    (void)chance;
    clear(s, atomic_exchange_explicit(&shelves[shelf], 0, memory_order_relaxed));
}

static void (*const turns[])(CK_SESSION_HANDLE, int, int) = {create, use, use, find, destroy};

static void *work(void *arg)
{
    unsigned seed = (unsigned)(uintptr_t)arg;
    CK_SESSION_HANDLE s;

    must("C_OpenSession", p11->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &s));
    while (time(NULL) < until) {
        int turn = rand_r(&seed) % (int)(sizeof(turns) / sizeof(turns[0]));

        turns[turn](s, rand_r(&seed) % SHELVES, rand_r(&seed));
    }
    return NULL; /* the session stays: keys of it stand on shelves */
}

static CK_SESSION_HANDLE open_module(const char *path, const char *pin)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    CK_RV (*get)(CK_FUNCTION_LIST_PTR *);
    CK_SESSION_HANDLE s;
    CK_ULONG n = 1;

    if (!library)
        must("dlopen", CKR_GENERAL_ERROR);
    *(void **)&get = dlsym(library, "C_GetFunctionList");
    must("C_GetFunctionList", get(&p11));
    must("C_Initialize", p11->C_Initialize(NULL));
    must("C_GetSlotList", p11->C_GetSlotList(CK_TRUE, &slot, &n));
    must("C_OpenSession", p11->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &s));
    must("C_Login", p11->C_Login(s, CKU_USER, (CK_UTF8CHAR_PTR)(uintptr_t)pin, strlen(pin)));
    return s;
}

int main(int argc, char **argv)
{
    pthread_t threads[THREADS];
    CK_SESSION_HANDLE s;

    if (argc != 4)
        must("mixed MODULE PIN SECONDS", CKR_ARGUMENTS_BAD);
    s = open_module(argv[1], argv[2]);
    until = time(NULL) + atol(argv[3]);
    for (uintptr_t i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, work, (void *)i) != 0)
            must("pthread_create", CKR_HOST_MEMORY);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < SHELVES; i++)
        destroy(s, i, 0);
    must("C_Finalize", p11->C_Finalize(NULL));
    if (made != destroyed)
        must("keys that were made and not destroyed", CKR_GENERAL_ERROR);
    printf("done %d threads, %s seconds: %ld created, %ld used, %ld found, %ld destroyed, %ld gone when asked for\n", THREADS, argv[3],
           (long)made, (long)used, (long)found, (long)destroyed, (long)missed);
    return 0;
}
