/* Forks in every state: while other threads are inside calls, and while one initialises and finalises. Each child works on its own. */
#include "peer.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 4, FORKS = 15, BEGINNINGS = 60, CHILD_SECONDS = 20 };

static CK_FUNCTION_LIST *f;
static CK_MECHANISM m_hmac = {CKM_SHA256_HMAC, NULL, 0};
static atomic_bool stop;

static CK_RV sign(CK_SESSION_HANDLE session)
{
    CK_BYTE out[32];
    CK_ULONG n = sizeof(out);
    CK_RV rv = f->C_SignInit(session, &m_hmac, PEER_KEY);

    return rv == CKR_OK ? f->C_Sign(session, (CK_BYTE *)"abc", 3, out, &n) : rv;
}

/* A child that waits for a lock of a thread that it does not have ends by its alarm. */
static void be_child(void)
{
    CK_SESSION_HANDLE own;

    alarm(CHILD_SECONDS);
    if (f->C_Finalize(NULL) != CKR_CRYPTOKI_NOT_INITIALIZED)
        _exit(1);
    if (f->C_Initialize(NULL) != CKR_OK)
        _exit(2);
    own = module_session();
    if (!own || sign(own) != CKR_OK)
        _exit(3);
    _exit(f->C_Finalize(NULL) == CKR_OK ? 0 : 4);
}

/* How many children did not do their work. */
static unsigned long fork_often(void)
{
    unsigned long bad = 0;

    for (int i = 0; i < FORKS; i++) {
        int status = -1;
        pid_t child = fork();

        if (child == 0)
            be_child();
        waitpid(child, &status, 0);
        bad += status != 0;
        usleep(3000);
    }
    return bad;
}

static void *work(void *arg)
{
    CK_SESSION_HANDLE session = module_session();
    unsigned long bad = 0;

    (void)arg;
    while (!atomic_load(&stop))
        bad += sign(session) != CKR_OK;
    f->C_CloseSession(session);
    return (void *)bad;
}

static void inside_calls(void)
{
    pthread_t all[THREADS];
    unsigned long bad = 0;

    for (int i = 0; i < THREADS; i++)
        pthread_create(&all[i], NULL, work, NULL);
    is(fork_often(), 0, "children born while threads sign, initialise and sign");
    atomic_store(&stop, true);
    for (int i = 0; i < THREADS; i++) {
        void *one;

        pthread_join(all[i], &one);
        bad += (unsigned long)one;
    }
    is(bad, 0, "and disturb none of them");
}

/* With a connection as often as the peer has places for, then without. */
static void *begin_and_end(void *arg)
{
    unsigned long bad = 0;

    (void)arg;
    for (int i = 0; !atomic_load(&stop); i++) {
        bad += f->C_Initialize(NULL) != CKR_OK;
        if (i < BEGINNINGS)
            bad += sign(module_session()) != CKR_OK;
        bad += f->C_Finalize(NULL) != CKR_OK;
    }
    return (void *)bad;
}

static void in_between(void)
{
    pthread_t thread;
    void *bad;

    atomic_store(&stop, false);
    pthread_create(&thread, NULL, begin_and_end, NULL);
    is(fork_often(), 0, "children born while a thread initialises and finalises do the same");
    atomic_store(&stop, true);
    pthread_join(thread, &bad);
    is((unsigned long)bad, 0, "and do not disturb it");
}

int main(void)
{
    peer_start();
    f = module_list();
    f->C_Initialize(NULL);
    inside_calls();
    f->C_Finalize(NULL);
    in_between();
    peer_stop();
    is(peer_complaints(), 0, "the peer had nothing to complain of");
    return done_testing();
}
