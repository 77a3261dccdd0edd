/* Processes that are born in the middle of work, lose their descriptors, become others, or end. */
#define _GNU_SOURCE
#include "scale.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { AFTER_EXIT = 100 };

static void wait_for(pid_t child)
{
    int status = 0;

    check(waitpid(child, &status, 0) == child, "waitpid", 0, 1);
    check(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status of a child", status, 0);
}

/* A child that is born in the middle of an operation neither has it nor disturbs it. */
void run_fork(void)
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
void run_close(void)
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

void run_exit(void)
{
    for (long i = 0; i < count; i++) {
        pid_t child = fork();

        if (child == 0)
            exit_while_working();
        wait_for(child);
    }
    printf("done %ld exits\n", count);
}

void run_exec(void)
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
void run_processes(void)
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
