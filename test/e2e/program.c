/*
 * A PKCS#11 program for the end-to-end tests: program MODULE PIN COMMAND [ARGUMENT]. It knows nothing of Sidekey. What went
 * wrong is said on stdout, one line each; the last line is "done" when everything held.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <p11-kit/pkcs11.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { THREADS_MAX = 64, SIZE = 1000, PAUSE_US = 100000, PAUSES_MAX = 4096 };

static CK_FUNCTION_LIST_PTR p11;
static const char *pin;
static CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
static atomic_int stop;
static atomic_long done_count, failed_count, longest_us, pauses;

static int expect(const char *what, CK_RV got, CK_RV wanted)
{
    if (got != wanted)
        printf("%s: 0x%lx, wanted 0x%lx\n", what, got, wanted);
    return got == wanted;
}

static int first_slot(CK_SLOT_ID *slot)
{
    CK_SLOT_ID slots[16];
    CK_ULONG count = 16;

    if (!expect("C_GetSlotList", p11->C_GetSlotList(CK_TRUE, slots, &count), CKR_OK) || count == 0)
        return 0;
    *slot = slots[0];
    return 1;
}

static int open_session(CK_SESSION_HANDLE *session)
{
    CK_SLOT_ID slot;
    CK_RV rv;

    if (!first_slot(&slot) ||
        !expect("C_OpenSession",
                p11->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, session), CKR_OK))
        return 0;
    rv = p11->C_Login(*session, CKU_USER, (CK_UTF8CHAR_PTR)(uintptr_t)pin, strlen(pin));
    return rv == CKR_USER_ALREADY_LOGGED_IN || expect("C_Login", rv, CKR_OK);
}

static int make_key(CK_SESSION_HANDLE session, CK_BBOOL *token, CK_OBJECT_HANDLE *key)
{
    CK_ULONG bytes = 32;
    CK_MECHANISM m = {CKM_AES_KEY_GEN, NULL, 0};
    CK_ATTRIBUTE t[] = {{CKA_TOKEN, token, 1},      {CKA_ENCRYPT, &yes, 1}, {CKA_DECRYPT, &yes, 1},
                        {CKA_SENSITIVE, &yes, 1},   {CKA_LABEL, "e2e", 3},  {CKA_VALUE_LEN, &bytes, sizeof(bytes)}};

    return expect("C_GenerateKey", p11->C_GenerateKey(session, &m, t, 6, key), CKR_OK);
}

static int find_key(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE *key)
{
    CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    CK_ATTRIBUTE t[] = {{CKA_CLASS, &class, sizeof(class)}, {CKA_LABEL, "e2e", 3}};
    CK_ULONG count = 0;

    return expect("C_FindObjectsInit", p11->C_FindObjectsInit(session, t, 2), CKR_OK) &&
           expect("C_FindObjects", p11->C_FindObjects(session, key, 1, &count), CKR_OK) &&
           expect("C_FindObjectsFinal", p11->C_FindObjectsFinal(session), CKR_OK) && count == 1;
}

/* One encryption and its decryption, each single-part: 0, or the first code that was not CKR_OK. */
static CK_RV round_trip(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key, uint32_t number)
{
    unsigned char plain[SIZE], sealed[SIZE + 16], opened[SIZE + 16], iv[12] = {0};
    CK_GCM_PARAMS p = {iv, 12, 96, NULL, 0, 128};
    CK_MECHANISM m = {CKM_AES_GCM, &p, sizeof(p)};
    CK_ULONG length = sizeof(sealed), opened_length = sizeof(opened);
    CK_RV rv;

    memset(plain, (int)number, sizeof(plain));
    memcpy(iv, &number, sizeof(number));
    if ((rv = p11->C_EncryptInit(session, &m, key)) || (rv = p11->C_Encrypt(session, plain, SIZE, sealed, &length)))
        return rv;
    if ((rv = p11->C_DecryptInit(session, &m, key)) ||
        (rv = p11->C_Decrypt(session, sealed, length, opened, &opened_length)))
        return rv;
    return opened_length == SIZE && !memcmp(opened, plain, SIZE) ? CKR_OK : CKR_GENERAL_ERROR;
}

static int initialize(void)
{
    CK_C_INITIALIZE_ARGS args = {.flags = CKF_OS_LOCKING_OK};

    return expect("C_Initialize", p11->C_Initialize(&args), CKR_OK);
}

static int ready_with_key(CK_SESSION_HANDLE *session, CK_OBJECT_HANDLE *key)
{
    return initialize() && open_session(session) && make_key(*session, &no, key) &&
           expect("round trip", round_trip(*session, *key, 1), CKR_OK);
}

/* --- threads ---------------------------------------------------------------------------------------------- */

struct work {
    CK_OBJECT_HANDLE key;
    long times; /* 0: until stop */
    uint32_t number;
};

static uint64_t now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

static void *work(void *argument)
{
    struct work *w = argument;
    CK_SESSION_HANDLE session;
    CK_RV rv;

    if (!open_session(&session)) {
        failed_count++;
        return NULL;
    }
    for (long i = 0; w->times ? i < w->times : !stop; i++) {
        uint64_t start = now_us();
        long took;

        if ((rv = round_trip(session, w->key, w->number++)) != CKR_OK && failed_count++ < 10)
            printf("round trip: 0x%lx\n", rv);
        done_count++;
        took = (long)(now_us() - start);
        if (took > PAUSE_US && pauses++ < PAUSES_MAX)
            printf("pause_at_us %lu us %ld\n", (unsigned long)start, took);
        for (long seen = longest_us; took > seen && !atomic_compare_exchange_weak(&longest_us, &seen, took);)
            ;
    }
    p11->C_CloseSession(session);
    return NULL;
}

/* N threads. With `until_eof` they work until stdin ends; "started" is said first. */
static int run_threads(int count, CK_BBOOL *token, int until_eof)
{
    CK_SESSION_HANDLE session;
    CK_OBJECT_HANDLE key;
    pthread_t ids[THREADS_MAX];
    struct work works[THREADS_MAX];
    char byte;

    if (count < 1 || count > THREADS_MAX || !initialize() || !open_session(&session) || !make_key(session, token, &key))
        return 0;
    for (int i = 0; i < count; i++) {
        works[i] = (struct work){key, until_eof ? 0 : 200, (uint32_t)i << 24};
        pthread_create(&ids[i], NULL, work, &works[i]);
    }
    printf("started\n");
    while (until_eof && read(0, &byte, 1) > 0)
        ;
    stop = 1;
    for (int i = 0; i < count; i++)
        pthread_join(ids[i], NULL);
    printf("operations %ld failed %ld longest_us %ld\n", done_count, failed_count, longest_us);
    return failed_count == 0 && expect("C_Finalize", p11->C_Finalize(NULL), CKR_OK);
}

/* --- a key that changes while it is used --------------------------------------------------------------------- */

static CK_OBJECT_HANDLE changing;
static atomic_long change_count;

static void *change(void *unused)
{
    CK_SESSION_HANDLE session;
    CK_RV rv = open_session(&session) ? CKR_OK : CKR_GENERAL_ERROR;

    for (long i = 0; rv == CKR_OK && !stop; i++) {
        CK_ATTRIBUTE t[] = {{CKA_ID, &i, sizeof(i)}, {CKA_DERIVE, i & 1 ? &yes : &no, 1}};

        rv = p11->C_SetAttributeValue(session, changing, t, 2);
        change_count++;
    }
    if (!expect("C_SetAttributeValue", rv, CKR_OK))
        failed_count++;
    return unused;
}

/* Four threads use a key while four others change it without a pause. */
static int run_changed(CK_BBOOL *token)
{
    enum { THREADS = 4, SECONDS = 3 };
    CK_SESSION_HANDLE session;
    pthread_t users[THREADS], changers[THREADS];
    struct work works[THREADS];

    if (!initialize() || !open_session(&session) || !make_key(session, token, &changing))
        return 0;
    for (int i = 0; i < THREADS; i++) {
        works[i] = (struct work){changing, 0, (uint32_t)i << 24};
        pthread_create(&users[i], NULL, work, &works[i]);
        pthread_create(&changers[i], NULL, change, NULL);
    }
    sleep(SECONDS);
    stop = 1;
    for (int i = 0; i < THREADS; i++)
        pthread_join(users[i], NULL), pthread_join(changers[i], NULL);
    printf("changes %ld operations %ld failed %ld\n", change_count, done_count, failed_count);
    return failed_count == 0 && done_count >= THREADS && change_count >= THREADS;
}

/* --- fork ------------------------------------------------------------------------------------------------- */

static int in_child(int (*body)(CK_SESSION_HANDLE, CK_OBJECT_HANDLE), CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key)
{
    int status;
    pid_t child;

    fflush(stdout);
    child = fork();
    if (child == 0) {
        int good = body(session, key);

        fflush(stdout);
        _exit(good ? 0 : 1);
    }
    waitpid(child, &status, 0);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static int child_works(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key)
{
    CK_INFO info;

    return expect("C_GetInfo in the child", p11->C_GetInfo(&info), CKR_CRYPTOKI_NOT_INITIALIZED) &&
           expect("the parent's session in the child", round_trip(session, key, 2), CKR_CRYPTOKI_NOT_INITIALIZED) &&
           ready_with_key(&session, &key) && expect("C_Finalize in the child", p11->C_Finalize(NULL), CKR_OK);
}

static int child_finalizes(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key)
{
    CK_RV rv = p11->C_Finalize(NULL);

    (void)session, (void)key;
    return rv == CKR_OK || expect("C_Finalize first", rv, CKR_CRYPTOKI_NOT_INITIALIZED);
}

static int child_nests(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key)
{
    return in_child(child_works, session, key) && child_works(session, key);
}

static int run_fork(void)
{
    CK_SESSION_HANDLE session;
    CK_OBJECT_HANDLE key;

    return ready_with_key(&session, &key) && in_child(child_works, session, key) &&
           expect("after the first child", round_trip(session, key, 3), CKR_OK) &&
           in_child(child_finalizes, session, key) &&
           expect("after the second child", round_trip(session, key, 4), CKR_OK) &&
           in_child(child_nests, session, key) && expect("after the third", round_trip(session, key, 5), CKR_OK) &&
           expect("C_Finalize", p11->C_Finalize(NULL), CKR_OK);
}

/* --- daemon absent ------------------------------------------------------------------------------------------ */

static int run_absent(void)
{
    CK_SLOT_ID slots[16];
    CK_ULONG count = 16, present = 16;
    CK_SLOT_INFO info;
    CK_TOKEN_INFO token;
    CK_SESSION_HANDLE session;
    char byte;

    if (!initialize() || !expect("all slots", p11->C_GetSlotList(CK_FALSE, slots, &count), CKR_OK) ||
        !expect("slots with a token", p11->C_GetSlotList(CK_TRUE, NULL, &present), CKR_OK))
        return 0;
    if (count == 0 || present != 0)
        return printf("%lu slots, %lu with a token\n", count, present), 0;
    if (!expect("C_GetSlotInfo", p11->C_GetSlotInfo(slots[0], &info), CKR_OK) || (info.flags & CKF_TOKEN_PRESENT) ||
        !expect("C_GetTokenInfo", p11->C_GetTokenInfo(slots[0], &token), CKR_TOKEN_NOT_PRESENT) ||
        !expect("C_OpenSession", p11->C_OpenSession(slots[0], CKF_SERIAL_SESSION, NULL, NULL, &session),
                CKR_TOKEN_NOT_PRESENT))
        return 0;
    printf("started\n");
    if (read(0, &byte, 1) < 0) /* the test starts the daemon, then closes our stdin */
        return 0;
    return open_session(&session) && expect("C_GetTokenInfo", p11->C_GetTokenInfo(slots[0], &token), CKR_OK);
}

/* A token key: made and printed by its handle as soon as C_GenerateKey said OK; the caller kills everything then. */
static int run_make(void)
{
    CK_SESSION_HANDLE session;
    CK_OBJECT_HANDLE key;

    if (!initialize() || !open_session(&session) || !make_key(session, &yes, &key))
        return 0;
    printf("made %lu\n", key);
    return 1;
}

static int run_use(void)
{
    CK_SESSION_HANDLE session;
    CK_OBJECT_HANDLE key;

    if (!initialize() || !open_session(&session) || !find_key(session, &key))
        return 0;
    printf("found %lu\n", key);
    return expect("round trip", round_trip(session, key, 9), CKR_OK);
}

/* Logged in, with a token key, until stdin ends, which is used again at the end. */
static int run_hold(void)
{
    CK_SESSION_HANDLE session;
    CK_OBJECT_HANDLE key;
    char byte;

    if (!initialize() || !open_session(&session) || !make_key(session, &yes, &key))
        return 0;
    printf("started\n");
    while (read(0, &byte, 1) > 0)
        ;
    return expect("round trip", round_trip(session, key, 2), CKR_OK);
}

/* Another uid: no slot, no token, whatever is tried. */
static int run_stranger(void)
{
    CK_SESSION_HANDLE session;
    CK_ULONG count = 0;

    if (!initialize() || !expect("slots with a token", p11->C_GetSlotList(CK_TRUE, NULL, &count), CKR_OK))
        return 0;
    if (count != 0)
        return printf("a stranger sees %lu tokens\n", count), 0;
    for (CK_SLOT_ID slot = 0; slot < 4; slot++)
        if (p11->C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &session) == CKR_OK)
            return printf("a stranger opened a session on slot %lu\n", slot), 0;
    return 1;
}

/* Nothing is written to fd 1 and 2, whatever happens to be behind them. */
static int run(const char *command, int argument)
{
    if (!strcmp(command, "threads"))
        return run_threads(argument, &no, 0);
    if (!strcmp(command, "load"))
        return run_threads(argument, &yes, 1);
    if (!strcmp(command, "changed"))
        return run_changed(argument ? &yes : &no);
    if (!strcmp(command, "fork"))
        return run_fork();
    if (!strcmp(command, "absent"))
        return run_absent();
    if (!strcmp(command, "make"))
        return run_make();
    if (!strcmp(command, "use"))
        return run_use();
    if (!strcmp(command, "hold"))
        return run_hold();
    if (!strcmp(command, "stranger"))
        return run_stranger();
    return printf("no command %s\n", command), 0;
}

int main(int argc, char **argv)
{
    CK_RV (*get)(CK_FUNCTION_LIST_PTR_PTR);
    void *library;

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc < 4 || !(library = dlopen(argv[1], RTLD_NOW)) ||
        !(get = (CK_RV(*)(CK_FUNCTION_LIST_PTR_PTR))dlsym(library, "C_GetFunctionList")))
        return printf("%s\n", argc < 4 ? "usage: program MODULE PIN COMMAND [ARGUMENT]" : dlerror()), 2;
    pin = argv[2];
    if (!expect("C_GetFunctionList", get(&p11), CKR_OK) || !run(argv[3], argc > 4 ? atoi(argv[4]) : 0))
        return 1;
    printf("done\n");
    return 0;
}
