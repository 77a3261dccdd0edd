/* The process: fork, C_Finalize and again, arguments, interfaces, small stacks, trace. */
#include "peer.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static CK_FUNCTION_LIST *f;
static CK_MECHANISM m_hmac = {CKM_SHA256_HMAC, NULL, 0};

static CK_RV sign_once(CK_SESSION_HANDLE session)
{
    CK_BYTE out[32];
    CK_ULONG n = sizeof(out);
    CK_RV rv = f->C_SignInit(session, &m_hmac, PEER_KEY);

    return rv == CKR_OK ? f->C_Sign(session, (CK_BYTE *)"abc", 3, out, &n) : rv;
}

static int in_child(CK_SESSION_HANDLE parents)
{
    CK_SESSION_INFO info;
    CK_SESSION_HANDLE own;

    if (f->C_GetSessionInfo(parents, &info) != CKR_CRYPTOKI_NOT_INITIALIZED)
        return 1;
    if (f->C_GetFunctionStatus(0) != CKR_CRYPTOKI_NOT_INITIALIZED)
        return 2;
    if (f->C_Finalize(NULL) != CKR_CRYPTOKI_NOT_INITIALIZED)
        return 3;
    if (f->C_Initialize(NULL) != CKR_OK)
        return 4;
    if (f->C_GetSessionInfo(parents, &info) != CKR_SESSION_HANDLE_INVALID)
        return 5;
    own = module_session();
    if (own == 0 || own == parents || sign_once(own) != CKR_OK)
        return 6;
    return f->C_Finalize(NULL) == CKR_OK ? 0 : 7;
}

static void forks(CK_SESSION_HANDLE s)
{
    unsigned before = peer_connections();
    int status = -1;
    pid_t child;

    is(sign_once(s), CKR_OK, "the parent signs");
    child = fork();
    if (child == 0)
        _exit(in_child(s));
    waitpid(child, &status, 0);
    is((unsigned long)status, 0, "the child is not initialised, initialises, and works on its own");
    is(sign_once(s), CKR_OK, "the parent signs on");
    is(peer_connections(), before + 1, "on the connection that it had");
}

static void *grandchild(void *arg)
{
    (void)arg;
    return (void *)sign_once(module_session());
}

static void small_stack(void)
{
    pthread_attr_t how;
    pthread_t t;
    void *rv;

    pthread_attr_init(&how);
    pthread_attr_setstacksize(&how, 65536);
    pthread_create(&t, &how, grandchild, NULL);
    pthread_join(t, &rv);
    is((CK_RV)rv, CKR_OK, "a thread with 64 KiB of stack signs");
}

static CK_RV nothing(void **mutex)
{
    (void)mutex;
    return CKR_OK;
}

static CK_RV nothing_to(void *mutex)
{
    (void)mutex;
    return CKR_OK;
}

static void own_mutexes(void)
{
    CK_C_INITIALIZE_ARGS args = {nothing, nothing_to, nothing_to, nothing_to, 0, NULL};

    is(f->C_Initialize(&args), CKR_OK, "a host with mutexes of its own");
    is(f->C_Finalize(NULL), CKR_OK, "and its end");
    args.flags = CKF_OS_LOCKING_OK;
    is(f->C_Initialize(&args), CKR_OK, "which lets the module choose");
    is(f->C_Finalize(NULL), CKR_OK, "and its end");
}

static void arguments(void)
{
    CK_C_INITIALIZE_ARGS args = {.flags = CKF_LIBRARY_CANT_CREATE_OS_THREADS | CKF_OS_LOCKING_OK};

    is(f->C_Initialize(&args), CKR_OK, "flags are accepted");
    is(f->C_Finalize(&args), CKR_ARGUMENTS_BAD, "C_Finalize takes nothing");
    is(f->C_Finalize(NULL), CKR_OK, "so");
    args.CreateMutex = nothing;
    is(f->C_Initialize(&args), CKR_ARGUMENTS_BAD, "one mutex callback of four");
    args.CreateMutex = NULL;
    args.pReserved = &args;
    is(f->C_Initialize(&args), CKR_ARGUMENTS_BAD, "something reserved");
    is(f->C_GetInfo(NULL), CKR_CRYPTOKI_NOT_INITIALIZED, "not initialised comes before bad arguments");
    is(f->C_SignRecover(1, NULL, 0, NULL, NULL), CKR_CRYPTOKI_NOT_INITIALIZED, "and before not supported");
}

static void interfaces(void)
{
    CK_INTERFACE list[3], *one = NULL;
    CK_VERSION v2 = {2, 40}, v3 = {3, 0}, v32 = {3, 2}, v9 = {9, 0};
    CK_ULONG n = 1;

    is(C_GetInterfaceList(NULL, &n), CKR_OK, "how many interfaces");
    is(n, 3, "three");
    n = 1;
    is(C_GetInterfaceList(list, &n), CKR_BUFFER_TOO_SMALL, "room for one");
    is(C_GetInterfaceList(list, &n), CKR_OK, "for all");
    is(C_GetInterface(NULL, NULL, &one, 0), CKR_OK, "the default");
    ok(((CK_VERSION *)one->pFunctionList)->major == 3 && ((CK_VERSION *)one->pFunctionList)->minor == 0, "is 3.0");
    is(C_GetInterface((CK_UTF8CHAR *)"PKCS 11", &v2, &one, 0), CKR_OK, "2.40");
    ok(one->pFunctionList == f, "is what C_GetFunctionList gives");
    is(C_GetInterface((CK_UTF8CHAR *)"PKCS 11", &v3, &one, 0), CKR_OK, "3.0");
    is(((CK_FUNCTION_LIST_3_0 *)one->pFunctionList)->C_SessionCancel(1, 0), CKR_CRYPTOKI_NOT_INITIALIZED,
       "has C_SessionCancel in its place");
    is(C_GetInterface((CK_UTF8CHAR *)"PKCS 11", &v32, &one, 0), CKR_OK, "3.2, to who asks for it");
    is(((CK_FUNCTION_LIST_3_2 *)one->pFunctionList)->C_UnwrapKeyAuthenticated(1, NULL, 1, NULL, 0, NULL, 0, NULL, 0, NULL),
       CKR_CRYPTOKI_NOT_INITIALIZED, "has C_UnwrapKeyAuthenticated at its end");
    is(C_GetInterface((CK_UTF8CHAR *)"PKCS 11", &v9, &one, 0), CKR_ARGUMENTS_BAD, "9.0 is refused");
    is(C_GetInterface((CK_UTF8CHAR *)"Vendor", NULL, &one, 0), CKR_ARGUMENTS_BAD, "a vendor's is refused");
    is(C_GetInterface(NULL, NULL, &one, CKF_INTERFACE_FORK_SAFE), CKR_ARGUMENTS_BAD, "fork-tolerant it is not");
}

static void trace(void)
{
    char path[64], text[4096];
    int fd;
    ssize_t n;
    CK_SESSION_HANDLE s;

    snprintf(path, sizeof(path), "/tmp/sidekey-trace-%d", (int)getpid());
    setenv("SIDEKEY_TRACE", path, 1);
    f->C_Initialize(NULL);
    s = module_session();
    f->C_Login(s, CKU_USER, (CK_BYTE *)"1234", 4);
    sign_once(s);
    f->C_Finalize(NULL);
    unsetenv("SIDEKEY_TRACE");
    fd = open(path, O_RDONLY);
    n = read(fd, text, sizeof(text) - 1);
    close(fd);
    unlink(path);
    text[n > 0 ? n : 0] = '\0';
    ok(strstr(text, "C_SignInit session=") && strstr(text, "mechanism=CKM_SHA256_HMAC object=7 CKR_OK\n"),
       "the trace tells of calls");
    ok(strstr(text, "C_Sign session=") && strstr(text, " in=3 out=32 CKR_OK\n"), "with their lengths");
    ok(!strstr(text, "1234") && !strstr(text, "abc"), "and holds no PIN and no data");
}

/* A reader comes and goes: nothing waits for it, and no SIGPIPE ends the host. */
static void trace_into_pipe(void)
{
    char path[64];
    int reader;

    snprintf(path, sizeof(path), "/tmp/sidekey-trace-%d", (int)getpid());
    mkfifo(path, 0600);
    setenv("SIDEKEY_TRACE", path, 1);
    is(f->C_Initialize(NULL), CKR_OK, "a pipe that nobody reads is no trace");
    f->C_Finalize(NULL);
    reader = open(path, O_RDONLY | O_NONBLOCK);
    is(f->C_Initialize(NULL), CKR_OK, "nor is one that is read");
    close(reader);
    sign_once(module_session());
    f->C_Finalize(NULL);
    unsetenv("SIDEKEY_TRACE");
    unlink(path);
}

/* Of a file that has reached the process's limit nothing more is written: no SIGXFSZ ends the host. */
static void trace_at_its_limit(void)
{
    const struct rlimit all = {RLIM_INFINITY, RLIM_INFINITY}, few = {66000, RLIM_INFINITY};
    struct stat file = {.st_size = 0};
    char path[64];

    snprintf(path, sizeof(path), "/tmp/sidekey-trace-%d", (int)getpid());
    setenv("SIDEKEY_TRACE", path, 1);
    setrlimit(RLIMIT_FSIZE, &few);
    f->C_Initialize(NULL);
    sign_once(module_session());
    for (int i = 0; i < 2000; i++)
        f->C_GetSlotList(CK_TRUE, NULL, &(CK_ULONG){0});
    f->C_Finalize(NULL);
    setrlimit(RLIMIT_FSIZE, &all);
    unsetenv("SIDEKEY_TRACE");
    stat(path, &file);
    unlink(path);
    ok(file.st_size > 0 && file.st_size < 66000, "the trace ends before the limit of files");
}

int main(void)
{
    CK_SESSION_HANDLE s;

    f = module_list();
    interfaces();
    arguments();
    own_mutexes();
    peer_start();
    f->C_Initialize(NULL);
    s = module_session();
    forks(s);
    small_stack();
    for (int i = 0; i < 2000; i++)
        if (f->C_Finalize(NULL) != CKR_OK || f->C_Initialize(NULL) != CKR_OK)
            ok(false, "again");
    ok(true, "2000 times C_Finalize and C_Initialize");
    s = module_session();
    is(sign_once(s), CKR_OK, "and it works");
    f->C_Finalize(NULL);
    trace();
    trace_into_pipe();
    trace_at_its_limit();
    peer_stop();
    is(peer_complaints(), 0, "the peer had nothing to complain of");
    return done_testing();
}
