/*
 * A hard host for the module: scale MODULE PIN COMMAND COUNT. What went wrong is said on stdout; the last line is "done NUMBERS" when
 * everything held. Descriptors and memory are read from /proc/self before and after.
 */
#define _GNU_SOURCE
#include "scale.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#ifdef __SANITIZE_THREAD__
enum { SMALL_STACK = 4 * 1024 * 1024 }; /* ThreadSanitizer keeps a megabyte of its own there */
#else
enum { SMALL_STACK = 64 * 1024 };
#endif

enum { THREADS = 64, MAKERS = 16, GROWTH_KIB = 1024, LIMIT_STACK = 30 * 1024 * 1024 };

static time_t until; /* of a run that lasts so many seconds; 0: of one that counts */

static long resident_kib(void)
{
    FILE *f = fopen("/proc/self/statm", "r");
    long all = 0, resident = 0;

    if (!f || fscanf(f, "%ld %ld", &all, &resident) != 2)
        resident = 0;
    if (f)
        fclose(f);
    return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

/* One turn again and again: after the first tenth nothing grows. */
static void stay_flat(void (*turn)(void))
{
    long files = 0, memory = 0;

    for (long i = 0; i < count; i++) {
        if (i == count / 10) {
            files = descriptors();
            memory = resident_kib();
        }
        turn();
    }
    check(descriptors() == files, "descriptors", descriptors(), files);
    check(resident_kib() < memory + GROWTH_KIB, "KiB resident", resident_kib(), memory);
    printf("done %ld times, %ld descriptors, %ld to %ld KiB\n", count, files, memory, resident_kib());
}

static void turn_initialize(void)
{
    MUST(p11->C_Initialize(NULL), CKR_OK);
    MUST(p11->C_Finalize(NULL), CKR_OK);
}

static void turn_load(void)
{
    void *library = load();

    MUST(p11->C_Initialize(NULL), CKR_OK);
    first_slot();
    MUST(p11->C_Finalize(NULL), CKR_OK);
    check(dlclose(library) == 0, "dlclose", 1, 0);
}

static void run_initialize(void)
{
    load();
    stay_flat(turn_initialize);
}

static void run_load(void) { stay_flat(turn_load); }

static void run_sessions(void)
{
    CK_SESSION_HANDLE first, *all = calloc((size_t)count, sizeof(*all));
    CK_OBJECT_HANDLE key;
    CK_TOKEN_INFO info;
    CK_SLOT_ID slot;

    load();
    MUST(p11->C_Initialize(NULL), CKR_OK);
    first = log_in();
    slot = first_slot();
    key = make_key(first, "shared by sessions");
    for (long i = 0; i < count; i++)
        all[i] = open_session(slot);
    MUST(p11->C_GetTokenInfo(slot, &info), CKR_OK);
    check((long)info.ulSessionCount == count + 1, "sessions", (long)info.ulSessionCount, count + 1);
    for (long i = 0; i < count; i += 7)
        encrypt(all[i], key);
    for (long i = 0; i < count; i++)
        if (i % 2)
            MUST(p11->C_CloseSession(all[i]), CKR_OK);
    encrypt(first, key);
    MUST(p11->C_CloseAllSessions(slot), CKR_OK);
    MUST(p11->C_CloseSession(all[0]), CKR_SESSION_HANDLE_INVALID);
    MUST(p11->C_Finalize(NULL), CKR_OK);
    printf("done %ld sessions\n", count);
}

static void *work(void *arg)
{
    CK_SESSION_HANDLE s = open_session(first_slot());
    CK_OBJECT_HANDLE key, found = 0;
    char label[32];

    snprintf(label, sizeof(label), "of thread %ld", (long)(intptr_t)arg);
    for (long i = 0; until ? time(NULL) < until : i < count; i++) {
        key = make_key(s, label);
        encrypt(s, key);
        check(find_label(s, label, &found) == 1 && found == key, "found", (long)found, (long)key);
        MUST(p11->C_DestroyObject(s, key), CKR_OK);
        check(find_label(s, label, &found) == 0, "a key that was destroyed", (long)found, 0);
        MUST(p11->C_EncryptInit(s, &cbc, key), CKR_KEY_HANDLE_INVALID);
    }
    MUST(p11->C_CloseSession(s), CKR_OK);
    return NULL;
}

/* Create, use, find and destroy by many threads, on stacks of 64 KiB or of what the process's limit says. */
static void work_by_threads(bool is_small)
{
    pthread_t threads[THREADS];
    pthread_attr_t stack;

    load();
    MUST(p11->C_Initialize(NULL), CKR_OK);
    log_in();
    pthread_attr_init(&stack);
    check(!is_small || pthread_attr_setstacksize(&stack, SMALL_STACK) == 0, "stack", 1, 0);
    for (long i = 0; i < THREADS; i++)
        check(pthread_create(&threads[i], &stack, work, (void *)(intptr_t)i) == 0, "pthread_create", 1, 0);
    for (long i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    MUST(p11->C_Finalize(NULL), CKR_OK);
}

/* glibc gives each thread as much stack as the limit says. */
static void run_stacks(void)
{
    struct rlimit limit = {0};

    check(getrlimit(RLIMIT_STACK, &limit) == 0 && limit.rlim_cur == LIMIT_STACK, "RLIMIT_STACK", (long)limit.rlim_cur, LIMIT_STACK);
    work_by_threads(false);
    printf("done %d threads on stacks of 30 MiB, %ld keys each\n", THREADS, count);
}

static void run_threads(void)
{
    work_by_threads(true);
    printf("done %d threads, %ld keys each\n", THREADS, count);
}

static void run_seconds(void)
{
    until = time(NULL) + count;
    work_by_threads(true);
    printf("done %d threads, %ld seconds\n", THREADS, count);
}

static CK_OBJECT_CLASS data_class = CKO_DATA;

/* The share of one of MAKERS threads: who waits for the disk waits with the others. */
static void *make_objects(void *arg)
{
    CK_SESSION_HANDLE s = open_session(first_slot());
    CK_OBJECT_HANDLE made;
    char label[32];

    for (long i = (long)(intptr_t)arg; i < count; i += MAKERS) {
        int length = snprintf(label, sizeof(label), "object %ld", i);
        CK_ATTRIBUTE t[] = {{CKA_CLASS, &data_class, sizeof(data_class)}, {CKA_TOKEN, &yes, 1},
                            {CKA_LABEL, label, (CK_ULONG)length}};

        MUST(p11->C_CreateObject(s, t, 3, &made), CKR_OK);
    }
    MUST(p11->C_CloseSession(s), CKR_OK);
    return NULL;
}

/* Many objects in a token: each is found by its label at once, and all of them by their class. */
static void run_objects(void)
{
    CK_ATTRIBUTE of_class = {CKA_CLASS, &data_class, sizeof(data_class)};
    CK_OBJECT_HANDLE page[512], found;
    pthread_t makers[MAKERS];
    CK_ULONG n = 0;
    CK_SESSION_HANDLE s;
    char label[32];
    long all = 0;

    load();
    MUST(p11->C_Initialize(NULL), CKR_OK);
    s = log_in();
    for (long i = 0; i < MAKERS; i++)
        check(pthread_create(&makers[i], NULL, make_objects, (void *)(intptr_t)i) == 0, "pthread_create", 1, 0);
    for (long i = 0; i < MAKERS; i++)
        pthread_join(makers[i], NULL);
    for (long i = 0; i < count; i += 1 + count / 100) {
        snprintf(label, sizeof(label), "object %ld", i);
        check(find_label(s, label, &found) == 1, "objects of one label", 0, 1);
    }
    MUST(p11->C_FindObjectsInit(s, &of_class, 1), CKR_OK);
    while (p11->C_FindObjects(s, page, 512, &n) == CKR_OK && n > 0)
        all += (long)n;
    MUST(p11->C_FindObjectsFinal(s), CKR_OK);
    check(all == count, "objects", all, count);
    MUST(p11->C_Finalize(NULL), CKR_OK);
    printf("done %ld objects\n", count);
}

static const struct {
    const char *name;
    void (*run)(void);
} commands[] = {{"initialize", run_initialize}, {"load", run_load}, {"sessions", run_sessions}, {"threads", run_threads},
                {"fork", run_fork},             {"close", run_close}, {"exec", run_exec},         {"processes", run_processes},
                {"objects", run_objects},       {"seconds", run_seconds},   {"exit", run_exit},
                {"stacks", run_stacks}};

int main(int argc, char **argv)
{
    check(argc == 5, "arguments", argc, 5);
    path = argv[1];
    pin = argv[2];
    count = atol(argv[4]);
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        if (!strcmp(argv[3], commands[i].name))
            commands[i].run();
    return 0;
}
