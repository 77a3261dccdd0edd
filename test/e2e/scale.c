/*
 * A hard host for the module: scale MODULE PIN COMMAND COUNT. What went wrong is said on stdout; the last line is "done NUMBERS" when
 * everything held. Descriptors and memory are read from /proc/self before and after.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <p11-kit/pkcs11.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifdef __SANITIZE_THREAD__
enum { SMALL_STACK = 4 * 1024 * 1024 }; /* ThreadSanitizer keeps a megabyte of its own there */
#else
enum { SMALL_STACK = 64 * 1024 };
#endif

enum { THREADS = 64, MAKERS = 16, AFTER_EXIT = 100, GROWTH_KIB = 1024, BLOCK = 16, LIMIT_STACK = 30 * 1024 * 1024 };

static CK_FUNCTION_LIST_PTR p11;
static const char *path, *pin;
static long count;
static time_t until; /* of a run that lasts so many seconds; 0: of one that counts */
static CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
static CK_BYTE iv[BLOCK];
static CK_MECHANISM cbc = {CKM_AES_CBC, iv, sizeof(iv)};

#define MUST(call, wanted) must(#call, call, wanted)

static void must(const char *what, CK_RV got, CK_RV wanted)
{
    if (got == wanted)
        return;
    printf("%s: 0x%lx, wanted 0x%lx\n", what, got, wanted);
    exit(1);
}

static void check(int good, const char *what, long found, long wanted)
{
    if (good)
        return;
    printf("%s: %ld, wanted %ld\n", what, found, wanted);
    exit(1);
}

static long descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    long n = 0;

    while (dir && readdir(dir))
        n++;
    if (dir)
        closedir(dir);
    return n;
}

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

static void *load(void)
{
    CK_RV (*get)(CK_FUNCTION_LIST_PTR *);
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);

    check(library != NULL, "dlopen", 0, 1);
    *(void **)&get = dlsym(library, "C_GetFunctionList");
    MUST(get(&p11), CKR_OK);
    return library;
}

static CK_SLOT_ID first_slot(void)
{
    CK_SLOT_ID slots[16];
    CK_ULONG n = 16;

    MUST(p11->C_GetSlotList(CK_TRUE, slots, &n), CKR_OK);
    check(n > 0, "slots", 0, 1);
    return slots[0];
}

static CK_SESSION_HANDLE open_session(CK_SLOT_ID slot)
{
    CK_SESSION_HANDLE s;

    MUST(p11->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &s), CKR_OK);
    return s;
}

static CK_SESSION_HANDLE log_in(void)
{
    CK_SESSION_HANDLE s = open_session(first_slot());
    CK_RV rv = p11->C_Login(s, CKU_USER, (CK_UTF8CHAR_PTR)(uintptr_t)pin, strlen(pin));

    if (rv != CKR_USER_ALREADY_LOGGED_IN)
        must("C_Login", rv, CKR_OK);
    return s;
}

static CK_OBJECT_HANDLE make_key(CK_SESSION_HANDLE s, const char *label)
{
    CK_ULONG bytes = 32;
    CK_MECHANISM m = {CKM_AES_KEY_GEN, NULL, 0};
    CK_ATTRIBUTE t[] = {{CKA_TOKEN, &no, 1}, {CKA_LABEL, (void *)(uintptr_t)label, strlen(label)}, {CKA_ENCRYPT, &yes, 1},
                        {CKA_VALUE_LEN, &bytes, sizeof(bytes)}};
    CK_OBJECT_HANDLE key;

    MUST(p11->C_GenerateKey(s, &m, t, 4, &key), CKR_OK);
    return key;
}

static void encrypt(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE key)
{
    CK_BYTE data[BLOCK] = {1}, out[BLOCK];
    CK_ULONG n = sizeof(out);

    MUST(p11->C_EncryptInit(s, &cbc, key), CKR_OK);
    MUST(p11->C_Encrypt(s, data, sizeof(data), out, &n), CKR_OK);
    check(n == BLOCK && memcmp(data, out, BLOCK) != 0, "ciphertext", (long)n, BLOCK);
}

static long find_label(CK_SESSION_HANDLE s, const char *label, CK_OBJECT_HANDLE *key)
{
    CK_ATTRIBUTE t = {CKA_LABEL, (void *)(uintptr_t)label, strlen(label)};
    CK_ULONG n = 0;

    MUST(p11->C_FindObjectsInit(s, &t, 1), CKR_OK);
    MUST(p11->C_FindObjects(s, key, 1, &n), CKR_OK);
    MUST(p11->C_FindObjectsFinal(s), CKR_OK);
    return (long)n;
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

static void wait_for(pid_t child)
{
    int status = 0;

    check(waitpid(child, &status, 0) == child, "waitpid", 0, 1);
    check(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status of a child", status, 0);
}

/* A child that is born in the middle of an operation neither has it nor disturbs it. */
static void run_fork(void)
{
    CK_BYTE data[2 * BLOCK] = {2}, whole[2 * BLOCK], parts[2 * BLOCK];
    CK_ULONG n = sizeof(whole), m = BLOCK;
    CK_SESSION_HANDLE s;
    CK_OBJECT_HANDLE key;

    load();
    MUST(p11->C_Initialize(NULL), CKR_OK);
    s = log_in();
    key = make_key(s, "before the fork");
    MUST(p11->C_EncryptInit(s, &cbc, key), CKR_OK);
    MUST(p11->C_Encrypt(s, data, sizeof(data), whole, &n), CKR_OK);
    for (long i = 0; i < count; i++) {
        pid_t child;

        MUST(p11->C_EncryptInit(s, &cbc, key), CKR_OK);
        n = BLOCK;
        MUST(p11->C_EncryptUpdate(s, data, BLOCK, parts, &n), CKR_OK);
        child = fork();
        if (child == 0) {
            CK_SESSION_HANDLE own;

            m = BLOCK;
            MUST(p11->C_EncryptUpdate(s, data, BLOCK, parts, &m), CKR_CRYPTOKI_NOT_INITIALIZED);
            MUST(p11->C_Initialize(NULL), CKR_OK);
            own = log_in();
            encrypt(own, make_key(own, "of the child"));
            MUST(p11->C_Finalize(NULL), CKR_OK);
            _exit(0);
        }
        wait_for(child);
        m = BLOCK;
        MUST(p11->C_EncryptUpdate(s, data + BLOCK, BLOCK, parts + BLOCK, &m), CKR_OK);
        m = 0;
        MUST(p11->C_EncryptFinal(s, whole + BLOCK, &m), CKR_OK);
        check(memcmp(parts, whole, BLOCK) == 0, "the parent's ciphertext", 1, 0);
    }
    printf("done %ld forks\n", count);
}

/* A host that closes every descriptor it did not open itself, and one that becomes another program. */
static void run_close(void)
{
    CK_SESSION_HANDLE s;
    CK_OBJECT_HANDLE key;

    load();
    MUST(p11->C_Initialize(NULL), CKR_OK);
    for (long i = 0; i < count; i++) {
        s = log_in();
        key = make_key(s, "before the descriptors went");
        encrypt(s, key);
        for (int fd = 3; fd < 64; fd++)
            close(fd);
        s = log_in();
        encrypt(s, make_key(s, "after"));
    }
    check(descriptors() < 12, "descriptors", descriptors(), 11);
    printf("done %ld times\n", count);
}

/* A program that has begun to exit: its signals' thread still calls, its exit handler finalizes, its destructor does so again. */
static CK_SESSION_HANDLE last_session;
static CK_OBJECT_HANDLE last_key;
static pthread_t signals;
static atomic_long after_exit;
static atomic_bool finalizing, exiting;

static void leave_now(const char *what, CK_RV rv)
{
    printf("%s: 0x%lx\n", what, rv);
    fflush(stdout);
    _exit(1);
}

static void *call_on_signal(void *arg)
{
    CK_BYTE data[BLOCK] = {3}, out[BLOCK];
    CK_RV rv = CKR_OK;
    int number;

    sigwait(arg, &number);
    /* C_Finalize logs out, and the key is gone a moment before the module is: then any answer will do, but an answer. */
    while (rv == CKR_OK || atomic_load(&finalizing)) {
        CK_ULONG n = sizeof(out);

        rv = p11->C_EncryptInit(last_session, &cbc, last_key);
        if (rv == CKR_OK)
            rv = p11->C_Encrypt(last_session, data, sizeof(data), out, &n);
        if (rv == CKR_OK)
            atomic_fetch_add(&after_exit, 1);
    }
    leave_now("a call after exit began", rv);
    return NULL;
}

static void at_exit(void)
{
    CK_RV rv;

    pthread_kill(signals, SIGUSR1);
    while (atomic_load(&after_exit) < AFTER_EXIT)
        usleep(100);
    atomic_store(&finalizing, true);
    rv = p11->C_Finalize(NULL); /* the thread goes on calling */
    if (rv != CKR_OK)
        leave_now("C_Finalize while the program exits", rv);
    atomic_store(&exiting, true);
}

static void __attribute__((destructor)) at_the_end(void)
{
    CK_RV rv = atomic_load(&exiting) ? p11->C_Finalize(NULL) : CKR_CRYPTOKI_NOT_INITIALIZED;

    if (rv != CKR_CRYPTOKI_NOT_INITIALIZED)
        leave_now("C_Finalize from a destructor", rv);
}

static void exit_while_working(void)
{
    static sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    atexit(at_exit);
    load();
    MUST(p11->C_Initialize(NULL), CKR_OK);
    last_session = log_in();
    last_key = make_key(last_session, "of a program that exits");
    check(pthread_create(&signals, NULL, call_on_signal, &set) == 0, "pthread_create", 1, 0);
    exit(0);
}

static void run_exit(void)
{
    for (long i = 0; i < count; i++) {
        pid_t child = fork();

        if (child == 0)
            exit_while_working();
        wait_for(child);
    }
    printf("done %ld exits\n", count);
}

static void run_exec(void)
{
    CK_SESSION_HANDLE s;

    load();
    MUST(p11->C_Initialize(NULL), CKR_OK);
    s = log_in();
    MUST(p11->C_EncryptInit(s, &cbc, make_key(s, "before exec")), CKR_OK);
    fflush(stdout);
    execl("/bin/sh", "sh", "-c", "for f in /proc/self/fd/*; do n=${f##*/}; [ $n -gt 2 ] && readlink $f; done | "
                                 "grep -e socket: -e memfd: -e anon_inode: ; echo done exec", (char *)NULL);
}

/* Many processes at once: each logs in and works, none fails. */
static void run_processes(void)
{
    pid_t *all = calloc((size_t)count, sizeof(*all));

    for (long i = 0; i < count; i++) {
        all[i] = fork();
        if (all[i] == 0) {
            CK_SESSION_HANDLE s;

            load();
            MUST(p11->C_Initialize(NULL), CKR_OK);
            s = log_in();
            encrypt(s, make_key(s, "of one of many"));
            fflush(stdout);
            _exit(0); /* as half of all programs do: without C_Finalize */
        }
        check(all[i] > 0, "fork", all[i], 1);
    }
    for (long i = 0; i < count; i++)
        wait_for(all[i]);
    printf("done %ld processes\n", count);
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
